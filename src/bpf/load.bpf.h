/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Profiles that come from user space: from a file, or from the version of a
 * program that was there before.
 *
 * Beside the hooks, like every command: the profile may belong to a program that
 * runs and learns meanwhile. So what is loaded is added to what is there, by the
 * same atomic steps that a hook takes, and judged by at the very end.
 */
#ifndef EBPH_LOAD_BPF_H
#define EBPH_LOAD_BPF_H

static __always_inline struct ebph_stage *load__stage(void)
{
	u32 first = 0;

	return bpf_map_lookup_elem(&stage, &first);
}

static __always_inline bool load__same_file(struct ebph_profile *p, struct ebph_stage *from)
{
	return p->file_ctime == from->file_ctime && p->file_size == from->file_size;
}

/* The profile of the staged key, locked; made if there is none. NONE: no room,
 * or what `err` says. */
__noinline int load__slot(int *err)
{
	struct ebph_stage *from = load__stage();
	struct ebph_profile *p;
	struct ebph_names *n;
	struct ebph_key key;
	u32 slot, *found;

	if (!from || !err)
		return EBPH_SLOT_NONE;
	key = from->key;
	found = bpf_map_lookup_elem(&slots, &key);
	if (found) {
		slot = *found;
		p = profile_at(slot);
		*err = -EBUSY_;
		if (!p || !profile__lock(p, EBPH_LIVE, 0))
			return EBPH_SLOT_NONE;
		/* Forgotten and given to another between the two steps; or the file is
		 * no longer what was looked at. */
		if (!load__same_file(p, from))
			*err = -ESTALE_;
		else if (p->key.ino == key.ino && p->key.script == key.script &&
			 p->key.partition == key.partition && p->key.dev == key.dev &&
			 p->key.generation == key.generation)
			return slot;
		profile__unlock(p);
		event__changed(p, slot);
		return EBPH_SLOT_NONE;
	}
	slot = profile__claim(&key, from->file_ctime, from->file_size);
	p = profile_at(slot);
	n = bpf_map_lookup_elem(&names, &slot);
	if (!p || !n) {
		*err = -ENOSPC_;
		return EBPH_SLOT_NONE;
	}
	__builtin_memcpy(n, &from->names, sizeof(*n));
	n->exe[EBPH_PATH - 1] = 0;
	n->script[EBPH_PATH - 1] = 0;
	p->flags = from->flags;
	p->created = from->created;
	if (profile__publish(slot) == slot)
		return slot;
	*err = -EBUSY_;
	return EBPH_SLOT_NONE;
}

struct load_job {
	u32 slot;
	u32 short_of; /* symbols that could not get a row */
};

static int load__symbol(u32 i, struct load_job *job)
{
	struct ebph_profile *p = profile_at(job->slot);
	struct ebph_stage *from = load__stage();
	u32 symbol, id;

	if (!p || !from || i >= EBPH_SYMBOLS || i >= from->symbols)
		return 1;
	symbol = from->symbol[i];
	if (symbol >= EBPH_SYMBOLS)
		return 0;
	id = p->id[symbol];
	if (!id)
		id = id__new(p, symbol) & 0xff;
	if (!id || !row__of(p, id))
		job->short_of += 1;
	return 0;
}

/* 0; -EBUSY: try again; -ESTALE: the file has changed; -ENOSPC: no slot (then
 * none is answered), or too few rows (then the profile is held, to be let go
 * with EBPH_ABSORB_NOTHING). */
__noinline int load__open(u32 *slot_out, u32 *generation)
{
	struct load_job job = {};
	struct ebph_profile *p;
	int err = -EINVAL_;
	u32 slot;

	if (!slot_out || !generation)
		return -EINVAL_;
	slot = load__slot(&err);
	*slot_out = EBPH_SLOT_NONE;
	p = profile_at(slot);
	if (!p)
		return err;
	*slot_out = slot;
	*generation = p->generation;
	job.slot = slot;
	bpf_loop(EBPH_SYMBOLS, load__symbol, &job, 0);
	return job.short_of ? -ENOSPC_ : 0;
}

struct load_rows {
	u32 slot;
	u32 planes; /* bits of a word that are taken over */
};

/* Some words of a row a step, as where planes are copied. */
static int load__words(u32 i, struct load_rows *job)
{
	struct ebph_profile *p = profile_at(job->slot);
	u32 id = i / PLANE_CHUNKS + 1, at = i % PLANE_CHUNKS * PLANE_CHUNK, w, value;
	u32 key;
	struct ebph_row *to, *from;

	opaque(id);
	if (!p || id >= EBPH_IDS)
		return 1;
	key = id;
	from = bpf_map_lookup_elem(&stage_rows, &key);
	if (!p->row[id] || !from)
		return 0;
	to = row_at(p->row[id]);
	if (!to)
		return 0;
	for (w = 0; w < PLANE_CHUNK; w++) {
		value = from->word[at + w] & job->planes;
		if (value & ~*(volatile u32 *)&to->word[at + w])
			__sync_fetch_and_or(&to->word[at + w], value);
	}
	return 0;
}

__noinline int load__state(struct ebph_profile *p, struct ebph_stage *from, u32 mode)
{
	u64 add, flags = 0;

	if (!p || !from)
		return 0;
	add = (from->state >> 8) - from->forgotten;
	__sync_fetch_and_add(&p->train_count, from->train_count);
	if (mode == EBPH_ABSORB_PAIRS || from->novel)
		p->last_mod_count = 0;
	else
		__sync_fetch_and_add(&p->last_mod_count, from->last_mod_count);
	if (mode == EBPH_ABSORB_ALL) {
		__sync_fetch_and_add(&p->anomalies, from->anomalies);
		__sync_fetch_and_add(&p->unlearnt, from->unlearnt);
		__sync_fetch_and_add(&p->execs, from->execs);
		__sync_fetch_and_add(&p->ended, from->ended);
		p->basis = (p->basis & ~EBPH_BASIS_OVER) + from->basis;
		p->created = from->created;
		if (!p->last_exec)
			p->last_exec = from->last_exec;
		flags = from->state & (EBPH_NORMAL | EBPH_INCOMPLETE);
		/* What either knows beyond the other thaws it, as it would have then. */
		if (!from->novel)
			flags |= from->state & EBPH_FROZEN;
		if (flags & EBPH_FROZEN)
			p->normal_time = from->normal_time;
		else
			__sync_fetch_and_and(&p->state, ~(u64)EBPH_FROZEN);
		if (flags & EBPH_NORMAL)
			p->period += 1;
	}
	__sync_fetch_and_add(&p->state, add << 8);
	__sync_fetch_and_or(&p->state, flags);
	/* Something new turned up in it, as far as it is concerned. */
	if (mode == EBPH_ABSORB_PAIRS)
		__sync_fetch_and_and(&p->state, ~(u64)EBPH_FROZEN);
	return 0;
}

/* Ends what OPEN began. A file that is rewritten just after it was compared has
 * left its mark, which is obeyed when the profile is let go. */
__noinline int load__absorb(u32 slot, u32 mode)
{
	struct ebph_profile *p = profile_at(slot);
	struct load_rows job = { .slot = slot };
	struct ebph_stage *from = load__stage();
	int err = 0;
	u32 top;

	if (!p || !from || !(profile__state(p) & EBPH_BUSY))
		return -EINVAL_;
	if (!load__same_file(p, from)) {
		err = -ESTALE_;
	} else if (mode != EBPH_ABSORB_NOTHING) {
		job.planes = mode == EBPH_ABSORB_ALL ? ~0U : ROW_TRAIN;
		top = from->top;
		if (top >= EBPH_IDS)
			top = EBPH_IDS - 1;
		bpf_loop(top * PLANE_CHUNKS, load__words, &job, 0);
		load__state(p, from, mode);
		profile__bump(p, NULL, EPOCH_FRAMES);
	}
	profile__unlock(p);
	return err;
}

#endif
