/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The pool of rows, and the ids that rows belong to. */
#ifndef EBPH_ROW_BPF_H
#define EBPH_ROW_BPF_H

enum {
	ROW_TRIES = 32,         /* before a contended update is given up */
	ROW_COLUMN_0 = 0xffff,  /* "no call": seen at every distance, in both planes */
	ROW_TRAIN = 0x00ff00ff, /* the train plane's share of a word */
};

/* Only for a row that no hook can reach: never published, or past a grace
 * period. Its first word threads the free list. */
__noinline int row__free(u32 index)
{
	struct ebph_row *row = row_at(index);
	u64 head, next;
	int i;

	if (!row || !index)
		return -1;
	for (i = 0; i < ROW_TRIES; i++) {
		head = *(volatile u64 *)&globals.pool.free_row;
		row->word[0] = (u32)head;
		next = ((head >> 32) + 1) << 32 | index;
		if (__sync_val_compare_and_swap(&globals.pool.free_row, head, next) == head) {
			__sync_fetch_and_sub(&globals.pool.rows_used, 1);
			__sync_fetch_and_add(&globals.pool.rows_freed, 1);
			return 0;
		}
	}
	count(contended);
	return -1;
}

/* A wiped row, or 0. */
__noinline int row__alloc(void)
{
	u64 head, next, fresh;
	struct ebph_row *row;
	u32 index = 0;
	int i;

	for (i = 0; i < ROW_TRIES; i++) {
		head = *(volatile u64 *)&globals.pool.free_row;
		row = row_at((u32)head);
		if (!(u32)head || !row)
			break;
		next = ((head >> 32) + 1) << 32 | row->word[0];
		if (__sync_val_compare_and_swap(&globals.pool.free_row, head, next) == head) {
			index = (u32)head;
			break;
		}
	}
	if (!index && *(volatile u64 *)&globals.pool.next_row < cfg_max_rows) {
		/* Row 0 stands for "none": the first one out is row 1. */
		fresh = __sync_fetch_and_add(&globals.pool.next_row, 1) + 1;
		if (fresh < cfg_max_rows)
			index = fresh;
	}
	row = row_at(index);
	if (!row || !index) {
		count(no_row);
		return 0;
	}
	row->word[0] = ROW_COLUMN_0;
	__sync_fetch_and_add(&globals.pool.rows_used, 1);
	return index;
}

/* Gives `id` a row, if it has none. */
__noinline int row__of(struct ebph_profile *p, u32 id)
{
	u32 index, was;

	if (!p || id >= EBPH_IDS)
		return 0;
	index = *(volatile u32 *)&p->row[id];
	if (index)
		return index;
	index = row__alloc();
	if (!index)
		return 0;
	was = __sync_val_compare_and_swap(&p->row[id], 0, index);
	if (was) {
		row__free(index);
		return was;
	}
	__sync_fetch_and_add(&p->rows, 1);
	return index;
}

/*
 * The id of a symbol seen for the first time. Its row is in place before the
 * id is published, so that no other thread finds an id that has none. Of two
 * threads with the same new symbol one wins; the other's id is handed back, or
 * stays unused.
 */
__noinline int id__new(struct ebph_profile *p, u32 symbol)
{
	u32 n, id, word, was, shift, at, *cell;
	int i;

	if (!p || symbol >= EBPH_SYMBOLS)
		return 0;
	n = *(volatile u32 *)&p->ids;
	if (n < EBPH_ID_LAST)
		n = __sync_fetch_and_add(&p->ids, 1);
	if (n < EBPH_ID_LAST) {
		id = n + 1;
		p->symbol[id & 0xff] = symbol;
	} else {
		id = EBPH_ID_OTHER;
	}
	row__of(p, id);

	at = symbol / 4;
	opaque(at);
	if (at >= EBPH_SYMBOLS / 4)
		return 0;
	cell = &((u32 *)p->id)[at];
	shift = (symbol & 3) * 8;
	for (i = 0; i < ROW_TRIES; i++) {
		word = *(volatile u32 *)cell;
		was = (word >> shift) & 0xff;
		if (was)
			break;
		if (__sync_val_compare_and_swap(cell, word, word | id << shift) == word)
			return id;
	}
	if (id != EBPH_ID_OTHER) {
		/* Its row stays with it: somebody may be walking over all rows. */
		p->symbol[id & 0xff] = EBPH_SYMBOL_NONE;
		__sync_val_compare_and_swap(&p->ids, id, id - 1);
	}
	if (!was)
		count(contended);
	return was;
}

#endif
