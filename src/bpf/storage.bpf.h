/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state of threads: made, and kept for when the kernel drops it.
 *
 * Where a fork fails early (RLIMIT_NPROC, the most threads there may be), some
 * kernels free the half-made child, whose pointer to its task storage still is its
 * parent's: some time later the parent has none. A program that could bring that
 * about would leave the scope, and its anomalies behind. So what counts is kept in
 * a hash by pid before every call that may make a thread, and found there again.
 *
 * What the thread did since that call is not known then: its window starts afresh.
 */
#ifndef EBPH_STORAGE_BPF_H
#define EBPH_STORAGE_BPF_H

static __always_inline struct ebph_task *task__make(struct task_struct *task)
{
	struct ebph_task *ts;

	ts = bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!ts) {
		count(failed_storage);
		return NULL;
	}
	task__unbind(ts);
	ts->exec_id = task->self_exec_id;
	ts->run = globals.last_run; /* never 0: a pause shows at the first call */
	return ts;
}

enum {
	KEPT_MOST = 16384,
	KEPT_PLACES = 4096,
};

struct kept {
	u64 start; /* of the thread: the same pid may be another's */
	u64 epochs;
	u64 state;
	u64 frame[2];
	u64 calls;
	u64 anomalies;
	u64 script;
	u64 cgroup;
	u32 slot;
	u32 generation;
	u32 run;
	u32 exec_id;
	u32 lfc;
	u32 max_lfc;
	u32 flags;
	u32 stops_seen;
	u32 worst;
	u32 worst_of;
};

/* By pid. Hooks only: fork, exec and exit, and calls of threads without state. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, KEPT_MOST);
	__type(key, u32);
	__type(value, struct kept);
} kept SEC(".maps");

/* How many of those there are, by the lower bits of their pids: so that the absence
 * of state, which every call outside the scope meets, costs no lookup. */
u32 kept_at[KEPT_PLACES];

static __always_inline u32 *kept__place(u32 pid)
{
	opaque(pid);
	return &kept_at[pid & (KEPT_PLACES - 1)];
}

static __always_inline bool kept__possible(struct task_struct *task)
{
	return *(volatile u32 *)kept__place(task->pid);
}

/* Nothing of ours is on the thread, nor was. Where a fork may be missed, that
 * proves nothing, and each thread is decided upon once. */
static __always_inline bool task__is_nobodys(struct task_struct *task)
{
	return !task->bpf_storage && !cfg_may_skip && !kept__possible(task);
}

static __always_inline struct kept *kept__of(struct task_struct *task)
{
	u32 pid = task->pid;
	struct kept *k;

	if (!kept__possible(task))
		return NULL;
	k = bpf_map_lookup_elem(&kept, &pid);
	return k && k->start == task->start_boottime ? k : NULL;
}

/* Of the current thread. */
__noinline int kept__save(struct ebph_task *ts)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kept fresh = {}, *k;
	u32 pid = task->pid;

	if (!ts)
		return 0;
	k = bpf_map_lookup_elem(&kept, &pid);
	if (!k) {
		if (bpf_map_update_elem(&kept, &pid, &fresh, BPF_NOEXIST)) {
			count(failed_storage);
			return 0;
		}
		__sync_fetch_and_add(kept__place(pid), 1);
		k = bpf_map_lookup_elem(&kept, &pid);
		if (!k)
			return 0;
	}
	k->start = task->start_boottime;
	k->epochs = ts->epochs;
	k->state = ts->state;
	k->frame[0] = ts->frame[0];
	k->frame[1] = ts->frame[1];
	k->calls = ts->calls;
	k->anomalies = ts->anomalies;
	k->script = ts->script;
	k->cgroup = ts->cgroup;
	k->slot = ts->slot;
	k->generation = ts->generation;
	k->run = ts->run;
	k->exec_id = ts->exec_id;
	k->lfc = ts->lfc;
	k->max_lfc = ts->max_lfc;
	k->flags = ts->flags;
	k->stops_seen = ts->stops_seen;
	k->worst = ts->worst;
	k->worst_of = ts->worst_of;
	return 0;
}

static __always_inline void kept__forget(u32 pid)
{
	if (*(volatile u32 *)kept__place(pid) && !bpf_map_delete_elem(&kept, &pid))
		__sync_fetch_and_sub(kept__place(pid), 1);
}

/* The state of a thread that had one; NULL if it had none. */
static __noinline struct ebph_task *task__restore(struct task_struct *task)
{
	struct kept *k = kept__of(task);
	struct ebph_task *ts;

	if (!k)
		return NULL;
	ts = task__make(task);
	if (!ts)
		return NULL;
	task__note_epochs(ts, k->epochs);
	task__note_state(ts, k->state);
	ts->frame[0] = k->frame[0];
	ts->frame[1] = k->frame[1];
	ts->calls = k->calls;
	ts->anomalies = k->anomalies;
	ts->script = k->script;
	ts->cgroup = k->cgroup;
	ts->slot = k->slot;
	ts->generation = k->generation;
	ts->run = k->run;
	ts->exec_id = k->exec_id;
	ts->lfc = k->lfc;
	ts->max_lfc = k->max_lfc;
	ts->flags = k->flags | EBPH_TASK_UNCERTAIN;
	ts->stops_seen = k->stops_seen;
	ts->worst = k->worst;
	ts->worst_of = k->worst_of;
	count(restored);
	return ts;
}

#endif
