// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Fork, exec and exit of threads (thesis 3.5.1, 3.5.2, 3.5.4). */

SEC("tp_btf/sched_process_fork")
int BPF_PROG(ebph_fork, struct task_struct *parent, struct task_struct *child)
{
	struct ebph_task *from, *to;
	struct pt_regs *above, *below;

	from = bpf_task_storage_get(&tasks, parent, NULL, 0);
	if (!from) {
		from = task__restore(parent);
		if (!from)
			return 0;
	}
	if (cfg_scope == EBPH_SCOPE_TREE && !cfg_may_skip && !(from->flags & EBPH_TASK_IN))
		return 0;
	to = bpf_task_storage_get(&tasks, child, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!to) {
		count(failed_storage);
		return 0;
	}
	above = (struct pt_regs *)bpf_task_pt_regs(parent);
	below = (struct pt_regs *)bpf_task_pt_regs(child);
	task__fork(from, to, above->sp != below->sp);
	response__fork(parent, child, to);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(ebph_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct ebph_profile *p;
	struct ebph_task *ts;

	task = bpf_get_current_task_btf();
	if (cfg_scope == EBPH_SCOPE_TREE && task__is_nobodys(task))
		return 0;
	ts = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!ts)
		ts = task__restore(task);
	if (!ts) {
		ts = task__make(task);
		if (!ts)
			return 0;
		scope__decide(ts, task);
	} else if (cfg_scope == EBPH_SCOPE_CGROUP && ts->cgroup != cgroup__of(task)) {
		scope__decide(ts, task);
	}
	p = task__bound(ts);
	if (p)
		response__exec(p, ts, EBPH_RESPONSE_SUSPEND, (u64)BPF_CORE_READ(bprm, filename));
	task__exec(task, ts, p);
	if ((ts->flags & (EBPH_TASK_IN | EBPH_TASK_SELF)) != EBPH_TASK_IN)
		return 0;
	ts->script = script__hash(bprm);
	/* One that executes takes its leader's pid over. */
	if ((u32)old_pid != (u32)task->pid)
		kept__forget(old_pid);
	if (!bind__current(ts, (u64)BPF_CORE_READ(bprm, filename)))
		return 0;
	p = profile_at(ts->slot);
	if (p) {
		__sync_fetch_and_add(&p->execs, 1);
		p->last_exec = bpf_ktime_get_boot_ns();
	}
	if (kept__possible(task))
		kept__save(ts);
	return 0;
}

/* Two last threads may both see that none is left: the mark on their leader lets
 * one of them count the process. */
static __always_inline void process__count_end(struct task_struct *task, struct ebph_task *leader,
					       struct ebph_profile *p)
{
	if (!task->signal->live.counter &&
	    (!leader || !__sync_lock_test_and_set(&leader->ended, 1)))
		__sync_fetch_and_add(&p->ended, 1);
}

/* The same for a thread of which nothing is known, as of io_uring's workers (which
 * up to 6.4 do not look like it any more when they end): if it outlives the
 * program's own, its leader tells which profile the process had. */
static __always_inline void unknown__exit(struct task_struct *task)
{
	struct ebph_task *leader = bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);
	struct ebph_profile *p;

	if (!leader)
		return;
	p = profile_at(leader->last - 1);
	if (p && p->generation == leader->generation && profile__state(p) & EBPH_LIVE)
		process__count_end(task, leader, p);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(ebph_exit, struct task_struct *task)
{
	struct ebph_task *ts, *leader;
	struct ebph_profile *p;

	task = bpf_get_current_task_btf();
	if (!task->signal->live.counter) {
		hold__drop(task->group_leader);
		/* With the monitor ends what it began, also where another process has
		 * inherited what these programs are attached by. */
		if (task->tgid == globals.self_tgid)
			globals.run = 0;
	} else if (task == task->group_leader) {
		process__hand_over(task);
	}
	ts = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!ts)
		ts = task__restore(task);
	kept__forget(task->pid);
	if (!ts) {
		unknown__exit(task);
		return 0;
	}
	p = task__bound(ts);
	if (p) {
		task__flush(ts, p);
		ts->last = ts->slot + 1;
		leader = bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);
		process__count_end(task, leader, p);
		event__flushed(p, ts);
	} else {
		task__forfeit(ts);
	}
	/* A zombie keeps its storage, but is nobody's thread any more. */
	task__unbind(ts);
	ts->flags = 0;
	return 0;
}
