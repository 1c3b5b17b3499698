/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A profile's state word, and what changes it.
 *
 * It carries the count of sequences beside the flags, so that a transition,
 * which is one compare-and-swap of the word, fails if anything new was learnt
 * since the counts it rests on were read.
 */
#ifndef EBPH_STATE_BPF_H
#define EBPH_STATE_BPF_H

enum {
	STATE_TRIES = 8,
	EPOCH_FRAMES = 1,               /* locality frames are void */
	EPOCH_BOTH = 1ULL << 32 | 1ULL, /* so are counts held back by threads */
};

static __always_inline u64 call__now(const struct ebph_call *c)
{
	return c->now ?: bpf_ktime_get_boot_ns();
}

static __always_inline u64 profile__state(struct ebph_profile *p)
{
	return *(volatile u64 *)&p->state;
}

/* One holder at a time for whatever takes more than one step. */
static __always_inline bool profile__lock(struct ebph_profile *p, u64 need, u64 refuse)
{
	u64 s;
	int i;

	for (i = 0; i < STATE_TRIES; i++) {
		s = profile__state(p);
		if ((s & need) != need || s & (refuse | EBPH_BUSY))
			return false;
		if (__sync_val_compare_and_swap(&p->state, s, s | EBPH_BUSY) == s)
			return true;
	}
	count(contended);
	return false;
}

static __always_inline void profile__unlock(struct ebph_profile *p)
{
	__sync_fetch_and_and(&p->state, ~(u64)EBPH_BUSY);
}

static __always_inline void task__empty_frame(struct ebph_task *ts)
{
	ts->frame[0] = 0;
	ts->frame[1] = 0;
	ts->lfc = 0;
	ts->max_lfc = 0;
}

/* Calls held back are counted as seen, but not for the profile: what they
 * would have been added to was wiped. */
static __always_inline void task__forfeit(struct ebph_task *ts)
{
	u32 n = ts->batch;

	ts->batch = 0;
	ts->calls += n;
	if (n)
		count_add(recorded, n);
}

enum {
	SEEN_TRAIN = 0x00ff,
	SEEN_BOTH = 0xffff,
};

/* Whatever takes a pair away from what is learnt or normal moves the epochs: with
 * the old ones goes what the thread remembers. */
static __always_inline void task__note_epochs(struct ebph_task *ts, u64 epochs)
{
	ts->epochs = epochs;
	ts->memos = (ts->memos + 2) | EBPH_MEMOS_SET;
}

static __always_inline void task__note_state(struct ebph_task *ts, u64 state)
{
	ts->state = state;
	ts->memos = (ts->memos & ~1U) | !!(state & EBPH_NORMAL);
}

/* Another thread taught the profile something new since the calls held back
 * were made: they count, but not as calls since the last novelty. */
static __always_inline void task__settle(struct ebph_profile *p, struct ebph_task *ts, u64 state)
{
	u32 n = ts->batch;

	if (n && ts->state >> 8 != state >> 8) {
		ts->batch = 0;
		ts->calls += n;
		count_add(recorded, n);
		__sync_fetch_and_add(&p->train_count, n);
	}
	task__note_state(ts, state);
}

/* The thread that makes a transition is the first to obey it. */
static __always_inline void profile__bump(struct ebph_profile *p, struct ebph_task *ts, u64 epochs)
{
	u64 was = __sync_fetch_and_add(&p->epochs, epochs);

	if (!ts)
		return;
	if (epochs == EPOCH_BOTH)
		task__forfeit(ts);
	task__empty_frame(ts);
	/* If somebody else's came in between, the next call finds both. */
	if (ts->epochs == was)
		task__note_epochs(ts, was + epochs);
}

/* START_NORMAL, with EBPH_BUSY held. */
static __always_inline void profile__promote(struct ebph_profile *p, u32 slot, struct ebph_task *ts)
{
	plane__all(slot, PLANE_PROMOTE);
	p->anomalies = 0;
	p->basis = (p->basis & EBPH_BASIS_OVER ? 0 : p->basis) + p->train_count;
	p->train_count = 0;
	p->last_mod_count = 0;
	p->period += 1;
	profile__bump(p, ts, EPOCH_BOTH);
	__sync_fetch_and_and(&p->state, ~(u64)EBPH_FROZEN);
	__sync_fetch_and_or(&p->state, EBPH_NORMAL);
	profile__unlock(p);
}

/* RESET_TRAIN, with EBPH_BUSY held. The count of sequences goes first: what
 * others learn again while the plane is wiped must leave it above zero, or the
 * profile would never freeze. */
static __always_inline void profile__wipe_train(struct ebph_profile *p, u32 slot,
						struct ebph_task *ts)
{
	__sync_fetch_and_and(&p->state, (u64)(EBPH_LIVE | EBPH_NORMAL | EBPH_INCOMPLETE |
					      EBPH_BUSY | EBPH_CHANGED));
	plane__all(slot, PLANE_WIPE_TRAIN);
	p->basis |= EBPH_BASIS_OVER;
	p->train_count = 0;
	p->last_mod_count = 0;
	profile__bump(p, ts, EPOCH_BOTH);
	profile__unlock(p);
}

/* STOP_NORMAL: one step, one winner. */
static __always_inline bool profile__stop_normal(struct ebph_profile *p, struct ebph_task *ts)
{
	u64 s;
	int i;

	for (i = 0; i < STATE_TRIES; i++) {
		s = profile__state(p);
		if (!(s & EBPH_NORMAL) || s & EBPH_BUSY)
			return false;
		if (__sync_val_compare_and_swap(&p->state, s,
						s & ~(u64)(EBPH_NORMAL | EBPH_FROZEN)) == s) {
			profile__bump(p, ts, EPOCH_FRAMES);
			return true;
		}
	}
	count(contended);
	return false;
}

#endif
