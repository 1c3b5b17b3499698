/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pids as the monitor's own namespace has them. */
#ifndef EBPH_PID_BPF_H
#define EBPH_PID_BPF_H

/* What a pid is in the namespace of this level, counted from the machine's. */
static __always_inline struct upid *pid__at(struct pid *pid, u32 level)
{
	return (void *)pid + bpf_core_field_offset(struct pid, numbers) +
	       level * bpf_core_type_size(struct upid);
}

/* A pid as the monitor's own namespace sees it; 0: not at all. */
static __always_inline u32 pid__here(struct pid *pid)
{
	struct upid *at;
	u32 level = globals.self_level;

	if (!pid || BPF_CORE_READ(pid, level) < level)
		return 0;
	at = pid__at(pid, level);
	if (BPF_CORE_READ(at, ns, ns.inum) != globals.self_ns)
		return 0;
	return BPF_CORE_READ(at, nr);
}

static __always_inline u32 task__pid(struct task_struct *task)
{
	return pid__here(BPF_CORE_READ(task, thread_pid));
}

#endif
