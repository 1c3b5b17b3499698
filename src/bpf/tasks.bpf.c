// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Walks over all threads of the machine, on user space's demand. */

/* What a thread's own state says of it. */
__noinline int task__record(struct ebph_task_record *r, struct ebph_task *ts)
{
	struct ebph_profile *p;
	u64 epochs;

	if (!r || !ts)
		return 0;
	r->slot = ts->slot;
	r->generation = ts->generation;
	r->pending = ts->batch;
	r->calls = ts->calls + ts->batch;
	r->anomalies = ts->anomalies;
	r->lfc = ts->lfc;
	r->max_lfc = ts->max_lfc;
	r->depth = ts->depth;
	r->flags = ts->flags;
	p = profile_at(ts->slot);
	if (!p || p->generation != ts->generation)
		return 0;
	epochs = *(volatile u64 *)&p->epochs;
	r->key = p->key;
	if (ts->epochs >> 32 == epochs >> 32) {
		r->pending_for = EBPH_PENDING_TRAIN;
		if (ts->state >> 8 == profile__state(p) >> 8)
			r->pending_for |= EBPH_PENDING_LAST_MOD;
	}
	/* A frame of an older epoch empties at the thread's next call. */
	if ((u32)ts->epochs != (u32)epochs) {
		r->lfc = 0;
		r->max_lfc = 0;
	}
	return 0;
}

/* Lists the watched ones, a record each. */
SEC("iter/task")
int ebph_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct ebph_task_record r = {};
	struct ebph_task *ts;

	if (!task)
		return 0;
	ts = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!ts || (ts->flags & (EBPH_TASK_IN | EBPH_TASK_SELF)) != EBPH_TASK_IN)
		return 0;
	r.pid = task__pid(task->group_leader);
	r.tid = task__pid(task);
	r.start = task->group_leader->start_boottime;
	bpf_probe_read_kernel_str(r.comm, sizeof(r.comm), task->comm);
	task__record(&r, ts);
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}

/* Marks the threads that the tree already has, and writes one byte for each
 * that was not marked before: user space repeats the walk until there is none.
 * They bind at their next call, when what they run can be read safely. */
SEC("iter/task")
int ebph_adopt(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct ebph_task *ts;
	u8 found = 1;

	if (!task)
		return 0;
	if (!globals.root_tgid && task == task->group_leader && task__pid(task) == cfg_root_pid) {
		globals.root_start = task->start_boottime;
		globals.root_tgid = task->tgid;
	}
	if (!scope__in_tree(task))
		return 0;
	ts = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (ts && ts->flags & EBPH_TASK_IN)
		return 0;
	if (!ts)
		ts = task__make(task);
	if (!ts)
		return 0;
	ts->slot = EBPH_SLOT_NONE;
	ts->flags |= EBPH_TASK_IN | EBPH_TASK_UNCERTAIN;
	if (scope__is_self(task))
		ts->flags |= EBPH_TASK_SELF;
	bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
	return 0;
}
