/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who is watched, and the first sight of a thread. */
#ifndef EBPH_SCOPE_BPF_H
#define EBPH_SCOPE_BPF_H

enum {
	ANCESTORS = 4096, /* generations below the root */
	CGROUP_LEVELS = 64,
};

/* The embedding process itself, or a child of its that has not yet become
 * another program. */
static __always_inline bool scope__is_self(struct task_struct *task)
{
	if (task->tgid == globals.self_tgid)
		return true;
	return BPF_CORE_READ(task, real_parent, tgid) == globals.self_tgid &&
	       BPF_CORE_READ(task, self_exec_id) == BPF_CORE_READ(task, parent_exec_id);
}

struct ancestor_walk {
	struct task_struct *at;
	u32 found;
};

static int scope__ancestor(u32 i, struct ancestor_walk *w)
{
	struct task_struct *at = w->at;

	if (BPF_CORE_READ(at, tgid) == globals.root_tgid &&
	    BPF_CORE_READ(at, group_leader, start_boottime) == globals.root_start) {
		w->found = 1;
		return 1;
	}
	at = BPF_CORE_READ(at, real_parent);
	w->at = at;
	return !at || !BPF_CORE_READ(at, tgid);
}

static __always_inline bool scope__in_tree(struct task_struct *task)
{
	struct ancestor_walk w = { .at = task };

	if (!globals.root_tgid)
		return false;
	bpf_loop(ANCESTORS, scope__ancestor, &w, 0);
	return w.found;
}

static int scope__level(u32 level, u32 *found)
{
	u64 id = bpf_get_current_ancestor_cgroup_id(level);

	if (id == cfg_cgroup_id)
		*found = 1;
	return !id || *found;
}

/* Current task only. */
static __always_inline bool scope__in_cgroup(void)
{
	u32 found = 0;

	bpf_loop(CGROUP_LEVELS, scope__level, &found, 0);
	return found;
}

static __always_inline u64 cgroup__of(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp->kn->id;
}

/* Decides whether the current thread is watched, and remembers it. */
static __noinline int scope__decide(struct ebph_task *ts, struct task_struct *task)
{
	bool in = true;

	if (!ts)
		return 0;
	if (cfg_scope == EBPH_SCOPE_TREE) {
		in = scope__in_tree(task);
	} else if (cfg_scope == EBPH_SCOPE_CGROUP) {
		ts->cgroup = cgroup__of(task);
		in = scope__in_cgroup();
	}
	if (in)
		ts->flags |= EBPH_TASK_IN;
	else
		ts->flags &= ~EBPH_TASK_IN;
	return 0;
}

/* A thread that the kernel made for a process, such as io_uring's that polls a
 * submission queue. It never runs the program's code, and no fork announces it. */
static __always_inline bool task__is_worker(struct task_struct *task)
{
	return task->flags & PF_IO_WORKER;
}

/* Such a thread is its process's: it cannot be found otherwise once that was given
 * to another parent, and its script is known from the exec only. */
static __always_inline void task__join(struct ebph_task *ts, struct task_struct *task)
{
	struct ebph_task *leader = bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);

	if (!leader)
		return;
	ts->script = leader->script;
	if (cfg_scope == EBPH_SCOPE_TREE)
		ts->flags |= leader->flags & EBPH_TASK_IN;
	ts->flags |= leader->flags & EBPH_TASK_SELF;
}

/* A thread without state: it ran before the monitor did, or its fork was missed,
 * and it starts afresh with its executable's profile; or the kernel dropped it. */
static __noinline struct ebph_task *task__first_sight(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct ebph_task *ts = task__restore(task);
	bool late;

	if (ts)
		return ts;
	ts = task__make(task);
	if (!ts) {
		count(no_state);
		return NULL;
	}
	scope__decide(ts, task);
	late = task->start_boottime > globals.started;
	if (task__is_worker(task))
		task__join(ts, task);
	else if (late && ts->flags & EBPH_TASK_IN && !scope__is_self(task))
		count(late_tasks);
	if (!late || !task__is_worker(task))
		ts->flags |= EBPH_TASK_UNCERTAIN;
	if (scope__is_self(task))
		ts->flags |= EBPH_TASK_SELF;
	return ts;
}

#endif
