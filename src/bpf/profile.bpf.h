/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The detector: learn, freeze, become normal, judge (thesis 3.4, 3.6; pH).
 * No hook in here.
 */
#ifndef EBPH_PROFILE_BPF_H
#define EBPH_PROFILE_BPF_H

/* 2^64 over the golden ratio: its product's upper bits depend on all of the other's. */
#define MEMO_SPREAD 0x9e3779b97f4a7c15ULL
#define MEMO_SHIFT (64 - 4)
_Static_assert(EBPH_MEMOS == 1 << (64 - MEMO_SHIFT), "as many memos as the spread has values");

/* Counts the calls a thread has held back, and freezes the profile if nothing
 * new was learnt for long enough. */
__noinline int profile__count(struct ebph_profile *p, struct ebph_task *ts)
{
	struct ebph_limits *l = &globals.limits;
	struct ebph_call *c;
	u64 s, trained, last, first, factor;
	u32 n;

	if (!p || !ts)
		return 0;
	c = &ts->call;
	n = ts->batch;
	if (!n)
		return 0;
	ts->batch = 0;
	ts->calls += n;
	count_add(recorded, n);
	s = profile__state(p);
	__sync_fetch_and_add(&p->train_count, n);
	__sync_fetch_and_add(&p->last_mod_count, n);
	/* Read the other way round: what another thread adds meanwhile can make the
	 * profile look younger, never older. */
	last = *(volatile u64 *)&p->last_mod_count;
	trained = *(volatile u64 *)&p->train_count;

	if (s & (EBPH_FROZEN | EBPH_BUSY) || s < EBPH_SEQUENCE)
		return 0;
	if (trained < l->min_train_calls || p->ended < l->min_train_processes)
		return 0;
	factor = *(volatile u64 *)&l->factor;
	/* The calls at the last novelty; a wipe between the two additions above can
	 * leave `last` the larger. */
	first = trained > last ? trained - last : 0;
	if (trained * (u32)factor <= first * (factor >> 32))
		return 0;
	/* The time before the flag: whoever sees the flag sees the time. */
	p->normal_time = call__now(c) + l->normal_wait;
	if (__sync_val_compare_and_swap(&p->state, s, s | EBPH_FROZEN) == s)
		c->did |= EBPH_DID_FREEZE;
	return 0;
}

/* A call with something new in it. */
__noinline int profile__learn(struct ebph_profile *p, struct ebph_task *ts, struct ebph_row *row)
{
	struct ebph_call *c;
	u64 window;
	u32 d, was;

	if (!p || !ts || !row)
		return 0;
	c = &ts->call;
	profile__count(p, ts);
	window = c->window;
	for (d = 0; d < EBPH_DISTANCES; d++) {
		u32 column = window & 0xff;

		if (c->novel & 1 << d)
			__sync_fetch_and_or(&row->word[column >> 1], 1U << (d + 16 * (column & 1)));
		window >>= 8;
	}
	ts->calls += 1;
	count(recorded);
	__sync_fetch_and_add(&p->train_count, 1);
	p->last_mod_count = 0;
	was = __sync_fetch_and_add(&p->state, EBPH_SEQUENCE);
	c->did |= EBPH_DID_NOVEL;
	if (was & EBPH_FROZEN && __sync_fetch_and_and(&p->state, ~(u64)EBPH_FROZEN) & EBPH_FROZEN)
		c->did |= EBPH_DID_THAW;
	return 0;
}

/* No row was to be had: the call cannot be learnt, and says so. */
__noinline int profile__give_up(struct ebph_profile *p, struct ebph_task *ts)
{
	struct ebph_call *c;
	if (!p || !ts)
		return 0;
	c = &ts->call;
	profile__count(p, ts);
	ts->calls += 1;
	count(recorded);
	count(unlearnt);
	__sync_fetch_and_add(&p->unlearnt, 1);
	__sync_fetch_and_or(&p->state, EBPH_INCOMPLETE);
	c->did |= EBPH_DID_NO_ROW;
	return 0;
}

/* START_NORMAL, if the wait is over. The clock is read when a program makes its
 * first call and once a batch, so a week of frozen calls costs nothing. */
__noinline int profile__ripen(struct ebph_profile *p, struct ebph_task *ts)
{
	struct ebph_call *c;
	u64 s;

	if (!p || !ts)
		return 0;
	c = &ts->call;
	if (call__now(c) < p->normal_time)
		return 0;
	s = profile__state(p);
	if (!profile__lock(p, EBPH_LIVE | EBPH_FROZEN, EBPH_INCOMPLETE | EBPH_CHANGED))
		return 0;
	profile__promote(p, c->slot, ts);
	c->did |= EBPH_DID_START;
	if (s & EBPH_NORMAL)
		c->did |= EBPH_DID_REFRESH;
	return 0;
}

/* TEST, for a call that misses or a thread whose locality frame is not empty. */
__noinline int profile__judge(struct ebph_profile *p, struct ebph_task *ts)
{
	struct ebph_call *c;
	struct ebph_limits *l = &globals.limits;
	u32 miss;

	if (!p || !ts)
		return 0;
	c = &ts->call;
	miss = c->missed != 0;
	ts->lfc += miss - (u32)(ts->frame[1] >> 63);
	ts->frame[1] = ts->frame[1] << 1 | ts->frame[0] >> 63;
	ts->frame[0] = ts->frame[0] << 1 | miss;
	if (ts->lfc > ts->max_lfc)
		ts->max_lfc = ts->lfc;
	c->lfc = ts->lfc;
	c->max_lfc = ts->max_lfc;
	if (miss) {
		ts->anomalies += 1;
		count(anomalies);
		c->anomalies = __sync_fetch_and_add(&p->anomalies, 1) + 1;
		c->did |= EBPH_DID_ANOMALY;
		if (c->anomalies > l->anomaly_limit) {
			if (profile__stop_normal(p, ts))
				c->did |= EBPH_DID_STOP;
			return 0;
		}
	}
	if (ts->lfc > l->tolerize_limit && profile__lock(p, EBPH_LIVE, 0)) {
		profile__wipe_train(p, c->slot, ts);
		c->did |= EBPH_DID_RESET_TRAIN;
	}
	return 0;
}

/* What the pairs of `window` before a call of this row were seen as: low byte
 * in training, high byte in the test plane, a bit for each distance. A load
 * answers for both planes; an empty place in the window is column 0, where
 * every bit is set, so that a short history needs no branch. */
static __always_inline u32 row__seen(struct ebph_row *row, u64 window)
{
	u16 *column = (u16 *)row->word;
	u32 seen;

#define LOOK(d) (column[window >> 8 * (d)&0xff] & 0x0101U << (d))
	seen = LOOK(0);
	seen |= LOOK(1);
	seen |= LOOK(2);
	seen |= LOOK(3);
	seen |= LOOK(4);
	seen |= LOOK(5);
	seen |= LOOK(6);
	seen |= LOOK(7);
#undef LOOK
	return seen;
}

/* What a call means for its profile, once its pairs were looked up. */
__noinline int profile__apply(struct ebph_profile *p, struct ebph_task *ts)
{
	struct ebph_call *c;
	struct ebph_row *row;
	u64 before, state;
	u32 index;

	if (!p || !ts)
		return 0;
	c = &ts->call;
	before = profile__state(p);
	task__settle(p, ts, before);
	index = p->row[c->id];
	row = row_at(index);
	if (!row || !index) {
		profile__give_up(p, ts);
	} else if (c->novel) {
		profile__learn(p, ts, row);
	} else {
		ts->batch += 1;
		if (ts->batch >= c->batch)
			profile__count(p, ts);
	}
	state = profile__state(p);
	if (state & EBPH_FROZEN) {
		profile__ripen(p, ts);
		state = profile__state(p);
	}
	c->missed = 0;
	/* The plane after the state: what became normal just now counts. And the state
	 * once more after the plane: one that is being wiped judges nobody. */
	if (state & EBPH_NORMAL && row)
		c->missed = ~row__seen(row, c->window) >> 8;
	if (c->missed)
		state = profile__state(p);
	if (state & EBPH_NORMAL) {
		c->did |= EBPH_DID_TEST;
		c->state = state;
		/* An empty frame with an empty bit pushed stays as it is. */
		if (c->missed || ts->lfc)
			profile__judge(p, ts);
	} else {
		c->missed = 0;
	}
	/* What is held back must not seem younger than it is. */
	state = profile__state(p);
	if (!ts->batch || state >> 8 == before >> 8)
		task__note_state(ts, state);
	return 0;
}

/* The id of the call's symbol, its row in place if one was to be had.
 * 0: this symbol is never recorded. */
__noinline int profile__new_symbol(struct ebph_profile *p, struct ebph_task *ts, u32 symbol)
{
	u32 id;

	if (!p || !ts || symbol >= EBPH_SYMBOLS)
		return 0;
	id = p->id[symbol];
	if (id) {
		row__of(p, id);
		return id;
	}
	id = symbol__is_restart(symbol) ? 0 : id__new(p, symbol) & 0xff;
	if (!id)
		ts->call.did |= EBPH_DID_IGNORE;
	else
		ts->call.did |= id == EBPH_ID_OTHER ? EBPH_DID_OTHER_ID : EBPH_DID_NEW_ID;
	return id;
}

/*
 * The ordinary call: nothing new, nothing missed, nothing due. This is what
 * every system call of the machine pays for, so it calls nothing and keeps all
 * it needs in registers. Where one of these says false, nothing was done, and the
 * long way must be taken; whatever they do, the long way would have done as well.
 */

/* Neither the thread nor its profile is in need of the long way. */
static __always_inline bool profile__is_calm(struct ebph_profile *p, struct ebph_task *ts,
					     u32 batch)
{
	return !ts->special && ts->batch + 1 < batch && ts->state == profile__state(p);
}

static __always_inline void task__commit(struct ebph_task *ts, u64 window, u32 id)
{
	ts->window = window << 8 | id;
	ts->batch += 1;
}

static __always_inline struct ebph_memo *memo__of(struct ebph_task *ts, u32 symbol, u64 window)
{
	u64 at = ((window << 8 ^ symbol) * MEMO_SPREAD) >> MEMO_SHIFT;

	opaque(at);
	return &ts->memo[at & (EBPH_MEMOS - 1)];
}

static __always_inline u64 memo__call(struct ebph_task *ts, u32 symbol)
{
	return (u64)ts->memos << 32 | symbol << 8;
}

/* A call that was an ordinary one after the same others. Programs go in circles,
 * so most are, and these need neither id, row nor columns. */
static __always_inline bool profile__again(struct ebph_task *ts, u32 symbol)
{
	u64 window = ts->window;
	struct ebph_memo *memo = memo__of(ts, symbol, window);
	u64 id = memo->call ^ memo__call(ts, symbol);

	if (memo->window != window || id >= EBPH_IDS)
		return false;
	task__commit(ts, window, id);
	return true;
}

/* One that has all its pairs. */
static __always_inline bool profile__quick(struct ebph_profile *p, struct ebph_task *ts, u32 symbol)
{
	u32 id, wanted = ts->memos & 1 ? SEEN_BOTH : SEEN_TRAIN;
	struct ebph_memo *memo;
	struct ebph_row *row;
	u64 window;

	opaque(symbol);
	if (symbol >= EBPH_SYMBOLS)
		return false;
	id = p->id[symbol];
	/* It is given one for good; row 0 is nobody's. */
	if (!p->row[id])
		return false;
	row = row__of_id(p, id);
	window = ts->window;
	if (!row || !window || (row__seen(row, window) & wanted) != wanted)
		return false;
	memo = memo__of(ts, symbol, window);
	memo->window = window;
	memo->call = memo__call(ts, symbol) | id;
	task__commit(ts, window, id);
	return true;
}

/* Any call of a thread whose state agrees with its profile's epochs. What it
 * did is in ts->call. */
static __always_inline void profile__observe(struct ebph_profile *p, struct ebph_task *ts,
					     u32 symbol, u32 slot, u32 batch)
{
	struct ebph_call *c = &ts->call;
	struct ebph_row *row;
	u32 id, seen;

	opaque(symbol);
	if (symbol >= EBPH_SYMBOLS)
		return;
	id = p->id[symbol];
	if (!p->row[id]) {
		id = profile__new_symbol(p, ts, symbol) & 0xff;
		if (!id)
			return;
	}
	row = row_at(p->row[id]);
	if (!row)
		return;
	seen = row__seen(row, ts->window);
	c->window = ts->window;
	c->symbol = symbol;
	c->slot = slot;
	c->batch = batch;
	c->novel = ~seen;
	c->id = id;
	c->lfc = 0;
	c->did |= EBPH_DID_RECORD;
	ts->window = c->window << 8 | id;
	profile__apply(p, ts);
}

#endif
