/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A call of the current thread, whichever hook saw it: whose it is, and the long way. */
#ifndef EBPH_CALL_BPF_H
#define EBPH_CALL_BPF_H

/* Its process has become another program; `p` is the profile it had. */
static __always_inline void task__exec(struct task_struct *task, struct ebph_task *ts,
				       struct ebph_profile *p)
{
	if (p) {
		task__flush(ts, p);
		__sync_fetch_and_add(&p->ended, 1);
		event__flushed(p, ts);
	}
	process__forgive(task);
	task__unbind(ts);
	ts->exec_id = task->self_exec_id;
	ts->flags &= ~EBPH_TASK_UNCERTAIN;
	ts->ended = 0;
	ts->retry = 0;
	ts->script = 0;
	ts->calls = 0;
	ts->anomalies = 0;
	/* The embedding process stays excluded, whatever it becomes. */
	if (task->tgid != globals.self_tgid)
		ts->flags &= ~EBPH_TASK_SELF;
}

/* The thread's run, scope or exec is not what its state says. False: this call
 * is not for us. */
__noinline int task__refresh(struct ebph_task *ts)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 run = *(volatile u32 *)&globals.run;
	struct ebph_profile *p;

	if (!ts)
		return false;
	p = task__bound(ts);
	if (cfg_scope == EBPH_SCOPE_CGROUP && ts->cgroup != cgroup__of(task))
		scope__decide(ts, task);
	if (ts->exec_id != task->self_exec_id) {
		/* An exec whose event was skipped. */
		task__exec(task, ts, p);
		if (ts->flags & EBPH_TASK_IN)
			count(late_execs);
	}
	if ((ts->flags & (EBPH_TASK_IN | EBPH_TASK_SELF)) != EBPH_TASK_IN) {
		p = task__bound(ts);
		if (p) {
			task__flush(ts, p);
			event__flushed(p, ts);
		}
		ts->slot = EBPH_SLOT_OUT;
		ts->run = globals.last_run;
		return false;
	}
	if (ts->slot == EBPH_SLOT_OUT)
		task__unbind(ts);
	if (!run) {
		count(paused);
		return false;
	}
	if ((ts->run ^ run) / EBPH_RUN) {
		/* What happened during a pause is not known: no pair spans it. */
		ts->window = 0;
		ts->depth = 0;
		ts->restart = 0;
		ts->flags |= EBPH_TASK_UNCERTAIN;
		task__empty_frame(ts);
	} else if (ts->run != run && !process__went_on(ts, task)) {
		return true;
	}
	ts->run = run;
	return true;
}

/* The thread has no profile, or the profile's epochs moved. */
__noinline int task__profile(struct ebph_task *ts)
{
	struct ebph_profile *p;
	u64 epochs;

	if (!ts || !task__refresh(ts))
		return false;
	p = task__bound(ts);
	if (p) {
		epochs = *(volatile u64 *)&p->epochs;
		task__catch_up(ts, epochs);
		return true;
	}
	if (profile_at(ts->slot)) {
		task__forfeit(ts);
		task__unbind(ts);
		count(late_binds);
	}
	if (bind__current(ts, 0)) {
		/* In the middle of its run: it may be within a handler, unless it has none. */
		if (!task__is_worker(bpf_get_current_task_btf()))
			ts->flags |= EBPH_TASK_UNCERTAIN;
		return true;
	}
	count(unprofiled);
	return false;
}

static __always_inline u64 regs__sp(struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	return regs->sp;
}

static __always_inline void regs__keep_pc(struct task_struct *task, struct ebph_task *ts)
{
#if defined(__TARGET_ARCH_arm64)
	/* There the kernel has already set up the restart when a signal is
	 * delivered; it shows in the program counter alone. */
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	ts->pc = regs->pc;
#endif
}

/* What `number` is. */
enum call_kind {
	CALL_SYSTEM = 0, /* that of a system call */
	CALL_URING = 1,  /* the opcode of an io_uring operation */
};

/* The long way: finds everything out anew. */
__noinline int call__slow(s64 number, u32 kind)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct ebph_profile *p;
	struct ebph_task *ts;
	u32 symbol, did;

	ts = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!ts) {
		ts = task__first_sight();
		if (!ts)
			return 0;
	}
	if (!task__refresh(ts))
		return 0;
	p = profile_at(ts->slot);
	if (!p || ts->epochs != *(volatile u64 *)&p->epochs) {
		if (!task__profile(ts))
			return 0;
		p = profile_at(ts->slot);
		if (!p)
			return 0;
	}
	if (kind == CALL_URING) {
		/* The call that submits it has settled frames and restarts. */
		symbol = symbol__uring(number);
		goto observe;
	}
	regs__keep_pc(task, ts);
	symbol = symbol__of(task, number);
	if (symbol == EBPH_SYMBOL_NONE) {
		count(ignored);
		return 0;
	}
	if (ts->depth || ts->restart) {
		did = frame__settle(ts, regs__sp(task), symbol);
		if (did & EBPH_DID_DROP_FRAME)
			count(frames_dropped);
		if (did & EBPH_DID_RESTART) {
			count(restarts);
			return 0;
		}
	}
observe:
	ts->call.did = 0;
	profile__observe(p, ts, symbol, ts->slot, EBPH_BATCH);
	event__report(p, ts);
	if (ts->call.did & EBPH_DID_TEST && ts->call.lfc)
		response__call(p, ts);
	if (symbol__care(symbol) & (CARE_EXIT | CARE_THREAD)) {
		/* Where hooks can be preempted, the one at exit may be skipped. */
		task__flush(ts, p);
		event__flushed(p, ts);
	}
	if (symbol__care(symbol) & CARE_THREAD)
		kept__save(ts);
	if (symbol__is_sigreturn(symbol) || symbol__x32_sigreturn(number))
		event__sigreturn(p, ts, frame__pop(ts));
	return 0;
}

enum thread_is {
	THREAD_OURS,    /* and its state agrees with its profile's */
	THREAD_OUTSIDE, /* of the scope */
	THREAD_UNCLEAR, /* the long way finds out */
};

static __always_inline enum thread_is thread__look(struct task_struct *task, u32 scope,
						   struct ebph_task **state,
						   struct ebph_profile **profile)
{
	struct ebph_task *ts = bpf_task_storage_get(&tasks, task, NULL, 0);
	struct ebph_profile *p;

	if (!ts || ts->run != globals.run || ts->exec_id != task->self_exec_id)
		return THREAD_UNCLEAR;
	if (scope == EBPH_SCOPE_CGROUP && ts->cgroup != cgroup__of(task))
		return THREAD_UNCLEAR;
	p = profile__of(ts);
	if (!p)
		return ts->slot == EBPH_SLOT_OUT ? THREAD_OUTSIDE : THREAD_UNCLEAR;
	if (ts->epochs != *(volatile u64 *)&p->epochs)
		return THREAD_UNCLEAR;
	*state = ts;
	*profile = p;
	return THREAD_OURS;
}

#endif
