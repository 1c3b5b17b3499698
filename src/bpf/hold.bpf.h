/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stops of processes. One is asked for by SIGSTOP, and noted in a cell of `holds`
 * before that, so that whatever happens to those who asked, somebody finds out who
 * is to go on.
 */
#ifndef EBPH_HOLD_BPF_H
#define EBPH_HOLD_BPF_H

enum {
	SIGCONT_ = 18,
	SIGSTOP_ = 19,
	SIGTSTP_ = 20,
	SIGTTIN_ = 21,
	SIGTTOU_ = 22,
	SIGNAL_STOP_STOPPED_ = 1, /* signal_struct.flags */
	SIGNAL_GROUP_EXIT_ = 4,
	NS_SETTLING = 1000000, /* as long the guardian waits at least, see there */
	RUN_TRIES = 8,
};

#define SIGNAL_BIT(sig) (1UL << ((sig)-1))
#define STOP_SIGNALS                                                                               \
	(SIGNAL_BIT(SIGSTOP_) | SIGNAL_BIT(SIGTSTP_) | SIGNAL_BIT(SIGTTIN_) | SIGNAL_BIT(SIGTTOU_))

static __always_inline struct process *process__of(struct task_struct *leader, u64 flags)
{
	return bpf_task_storage_get(&processes, leader, NULL, flags);
}

/* The cell that a process is held by; NULL if it is not. */
static __always_inline struct ebph_hold *hold__of(struct process *process)
{
	u64 held = *(volatile u64 *)&process->held;
	struct ebph_hold *h = hold_at(held >> EBPH_HOLD_CELL & (EBPH_HOLDS - 1));

	/* The state of no other cell, and of no other use of this one, is the same. */
	return h && held && *(volatile u64 *)&h->state == held ? h : NULL;
}

/* Held no more; false if somebody else was first. */
static __always_inline bool hold__free(struct ebph_hold *h, u64 held)
{
	u64 end = (held & ~(u64)EBPH_HOLD_MASK) | EBPH_HOLD_FREE;

	return __sync_val_compare_and_swap(&h->state, held, end) == held;
}

/* Its process has ended: nobody is to be continued by that pid. */
static __always_inline void hold__drop(struct task_struct *leader)
{
	struct process *process = process__of(leader, 0);
	struct ebph_hold *h;

	if (!process)
		return;
	h = hold__of(process);
	if (h)
		hold__free(h, process->held);
}

struct hold_claim {
	u32 first;
	u32 cell;
	u64 state; /* TAKEN; 0: none was to be had */
};

static int hold__try(u32 i, struct hold_claim *claim)
{
	u32 cell = (claim->first + i) & (EBPH_HOLDS - 1);
	struct ebph_hold *h = hold_at(cell);
	u64 was, taken;

	if (!h)
		return 1;
	was = *(volatile u64 *)&h->state;
	if ((was & EBPH_HOLD_MASK) != EBPH_HOLD_FREE)
		return 0;
	taken = (was / EBPH_HOLD_TENANT + 1) * EBPH_HOLD_TENANT | cell << EBPH_HOLD_CELL |
		EBPH_HOLD_TAKEN;
	if (__sync_val_compare_and_swap(&h->state, was, taken) != was)
		return 0;
	claim->cell = cell;
	claim->state = taken;
	return 1;
}

/* Threads look at their next call whether they were stopped meanwhile. */
static __always_inline void run__move(void)
{
	u32 run, next;
	int i;

	for (i = 0; i < RUN_TRIES; i++) {
		run = *(volatile u32 *)&globals.run;
		next = (run & ~(u32)(EBPH_RUN - 1)) | ((run + 1) & (EBPH_RUN - 1));
		if (!run || __sync_val_compare_and_swap(&globals.run, run, next) == run)
			return;
	}
	count(contended);
}

static __always_inline u64 stops__pending(struct task_struct *task)
{
	return (task->signal->shared_pending.signal.sig[0] | task->pending.signal.sig[0]) &
	       STOP_SIGNALS;
}

/* Somebody else is stopping the current process, or has. What it blocks does not:
 * it could keep a signal waiting for as long as it likes. */
static __always_inline bool stop__is_foreign(struct task_struct *task)
{
	struct signal_struct *signal = task->signal;

	return signal->group_stop_count || signal->flags & SIGNAL_STOP_STOPPED_ ||
	       stops__pending(task) & (~task->blocked.sig[0] | SIGNAL_BIT(SIGSTOP_));
}

/* The end of a stop takes such signals away from who waits to take them: one of
 * them is to come again. */
static __always_inline u32 stop__blocked(struct task_struct *task)
{
	u64 waiting = stops__pending(task);

	if (waiting & SIGNAL_BIT(SIGTSTP_))
		return SIGTSTP_;
	if (waiting & SIGNAL_BIT(SIGTTIN_))
		return SIGTTIN_;
	return waiting & SIGNAL_BIT(SIGTTOU_) ? SIGTTOU_ : 0;
}

/* Stops the current process until `wait` from now. 0: done; 1: it is held
 * already, and now at least that long; else it cannot be. */
__noinline int process__stop(struct ebph_profile *p, u32 slot, u64 wait)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct hold_claim claim = { .first = bpf_get_prandom_u32() };
	struct process *process;
	struct ebph_hold *h;
	u64 now = bpf_ktime_get_boot_ns(), was, held, due;
	u32 pid;

	if (!p)
		return -1;
	process = process__of(task->group_leader, BPF_LOCAL_STORAGE_GET_F_CREATE);
	/* Some kernels have none for who asks in the middle of another's asking. */
	if (!process) {
		count(unheld);
		return -1;
	}
	was = *(volatile u64 *)&process->held;
	h = hold_at(was >> EBPH_HOLD_CELL & (EBPH_HOLDS - 1));
	due = h ? *(volatile u64 *)&h->due : 0;
	h = hold__of(process);
	if (h) {
		/* Not that of who has the cell next, which is another. */
		if (due < now + wait)
			__sync_val_compare_and_swap(&h->due, due, now + wait);
		return 1;
	}
	pid = task__pid(task->group_leader);
	if (pid)
		bpf_loop(EBPH_HOLDS, hold__try, &claim, 0);
	h = hold_at(claim.cell);
	if (!claim.state || !h) {
		count(unheld);
		return -1;
	}
	h->since = now;
	h->due = now + wait;
	h->start = task->group_leader->start_boottime;
	h->epochs = *(volatile u64 *)&p->epochs;
	h->slot = slot;
	h->generation = p->generation;
	h->pid = pid;
	h->signal = stop__blocked(task);
	h->stops = *(volatile u32 *)&process->stops;
	held = claim.state - EBPH_HOLD_TAKEN + EBPH_HOLD_HELD;
	/* Another thread may have had it stopped meanwhile. */
	if (__sync_val_compare_and_swap(&process->held, was, held) != was) {
		hold__free(h, claim.state);
		return 1;
	}
	__sync_lock_test_and_set(&h->state, held);
	/* After the cell is held: what comes later is seen by ebph_signalled. */
	if (stop__is_foreign(task)) {
		hold__free(h, held);
		count(stopped);
		return -1;
	}
	__sync_fetch_and_add(&process->stops, 1);
	run__move();
	/* To this thread, so that it is the one that hears which call it interrupts. A
	 * worker makes no calls, and may end before it hears of anything. */
	if (task__is_worker(task) ? bpf_send_signal(SIGSTOP_) : bpf_send_signal_thread(SIGSTOP_)) {
		hold__free(h, held);
		count(unheld);
		return -1;
	}
	/* Whoever let it go in between, because it took us too long, did so before it
	 * was stopped: once more. */
	if (*(volatile u64 *)&h->state == (held & ~(u64)EBPH_HOLD_MASK) &&
	    !(*(volatile u32 *)&h->signal & EBPH_HOLD_REACHED)) {
		was = held & ~(u64)EBPH_HOLD_MASK;
		if (__sync_val_compare_and_swap(&h->state, was, held) != was)
			bpf_send_signal(SIGCONT_);
	}
	/* A full ring has woken the guardian already. */
	bpf_ringbuf_output(&wakes, &now, sizeof(now), 0);
	return 0;
}

/* The stop that there is has reached the thread. */
static __always_inline void process__note_stop(struct ebph_task *ts, struct task_struct *task)
{
	struct process *process = process__of(task->group_leader, 0);

	if (process)
		ts->stops_seen = process->stops;
}

/* A stop interrupts what all threads of the process wait for, and one of them is
 * told by a signal. For the others the same call again is taken for that one,
 * issued again by the kernel: they made no mistake by which to be judged. A stop
 * that is not over has not reached a thread that makes a call. False: the same
 * must be asked at the next call. */
static __always_inline bool process__went_on(struct ebph_task *ts, struct task_struct *task)
{
	struct process *process = process__of(task->group_leader, 0);
	struct ebph_profile *p;
	struct ebph_hold *held;
	u32 stops;

	if (!process)
		return true;
	/* In this order: one that begins in between has not reached it either. Whether it
	 * is counted by now shows in its cell alone. */
	stops = *(volatile u32 *)&process->stops;
	held = hold__of(process);
	if (held)
		stops = *(volatile u32 *)&held->stops;
	if ((s32)(stops - ts->stops_seen) <= 0)
		return !held;
	ts->stops_seen = stops;
	p = profile_at(ts->slot);
	if (p && ts->window && !ts->restart && !task__is_worker(task))
		ts->restart = p->symbol[ts->window & 0xff] + 1;
	return !held;
}

#endif
