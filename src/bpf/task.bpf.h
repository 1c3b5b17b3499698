/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Threads: what fork, exec and exit do to their state (thesis 3.5.1, 3.5.2). */
#ifndef EBPH_TASK_BPF_H
#define EBPH_TASK_BPF_H

/* A child goes on where its parent is, so that a fork launders nothing. A clone
 * onto a new stack cannot return into its parent's handlers: window only. */
static __always_inline void task__fork(const struct ebph_task *parent, struct ebph_task *child,
				       bool new_stack)
{
	child->window = parent->window;
	task__note_epochs(child, parent->epochs);
	task__note_state(child, parent->state);
	child->slot = parent->slot;
	child->generation = parent->generation;
	child->run = parent->run;
	child->exec_id = parent->exec_id;
	child->script = parent->script;
	child->cgroup = parent->cgroup;
	child->flags = parent->flags;
	child->batch = 0;
	child->restart = 0;
	child->depth = 0;
	child->calls = 0;
	child->anomalies = 0;
	child->retry = parent->retry;
	child->stops_seen = parent->stops_seen;
	child->worst = parent->worst;
	child->worst_of = parent->worst_of;
	child->pc = 0;
	child->ended = 0;
	task__empty_frame(child);
	if (new_stack)
		return;
	child->depth = parent->depth;
	child->frame[0] = parent->frame[0];
	child->frame[1] = parent->frame[1];
	child->lfc = parent->lfc;
	child->max_lfc = parent->max_lfc;
	__builtin_memcpy(child->frames, parent->frames, sizeof(child->frames));
}

/* Bound to a profile from now on; nothing of the past counts (thesis 3.5.1). */
static __always_inline void task__bind(struct ebph_task *ts, struct ebph_profile *p, u32 slot)
{
	ts->slot = slot;
	ts->generation = p->generation;
	task__note_epochs(ts, *(volatile u64 *)&p->epochs);
	task__note_state(ts, profile__state(p));
	ts->window = 0;
	ts->depth = 0;
	ts->restart = 0;
	ts->retry = 0;
	task__empty_frame(ts);
}

static __always_inline void task__unbind(struct ebph_task *ts)
{
	ts->slot = EBPH_SLOT_NONE;
	ts->worst = 0;
	ts->window = 0;
	ts->depth = 0;
	ts->restart = 0;
	task__empty_frame(ts);
}

/* The profile's epochs moved since the thread's last call. */
static __always_inline void task__catch_up(struct ebph_task *ts, u64 epochs)
{
	if (ts->epochs >> 32 != epochs >> 32)
		task__forfeit(ts);
	task__empty_frame(ts);
	task__note_epochs(ts, epochs);
}

/* The profile a thread is bound to; none if its slot has another tenant now. */
static __always_inline struct ebph_profile *task__bound(struct ebph_task *ts)
{
	struct ebph_profile *p = profile_at(ts->slot);

	if (!p || p->generation != ts->generation || !(profile__state(p) & EBPH_LIVE))
		return NULL;
	return p;
}

/* Counts what the thread holds back, unless it is no longer wanted. */
static __always_inline void task__flush(struct ebph_task *ts, struct ebph_profile *p)
{
	u64 epochs = *(volatile u64 *)&p->epochs;

	ts->call.did = 0;
	ts->call.now = 0;
	ts->call.slot = ts->slot;
	if (ts->epochs >> 32 != epochs >> 32) {
		task__forfeit(ts);
		return;
	}
	task__settle(p, ts, profile__state(p));
	profile__count(p, ts);
}

#endif
