// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* System call entry: the hot path. The plan attaches one of these programs. */

/* `scope` and `preemptible` (the hooks of this kernel are) are constants where
 * this is used: each has a program of its own, so that none pays for another's
 * questions. */
static __always_inline int sys_enter(long nr, u32 scope, bool preemptible)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct ebph_profile *p;
	struct ebph_task *ts;
	u32 symbol;

	if (scope == EBPH_SCOPE_TREE && task__is_nobodys(task))
		return 0;
	switch (thread__look(task, scope, &ts, &p)) {
	case THREAD_OURS:
		break;
	case THREAD_OUTSIDE:
		return 0;
	case THREAD_UNCLEAR:
		goto slow;
	}
	regs__keep_pc(task, ts);
	/* Numbers above the table, negative ones, and the return from a handler
	 * need a closer look. */
	symbol = nr;
	if ((u64)nr >= EBPH_SYMBOL_UNKNOWN)
		goto slow;
	if (symbol__compat(task))
		symbol += EBPH_SYMBOL_COMPAT;
	if (!profile__is_calm(p, ts, EBPH_BATCH))
		goto slow;
	if (profile__again(ts, symbol))
		return 0;
	if (symbol__care(symbol) & (CARE_RETURN | CARE_THREAD | (preemptible ? CARE_EXIT : 0)))
		goto slow;
	if (profile__quick(p, ts, symbol))
		return 0;
slow:
	return call__slow(nr, CALL_SYSTEM);
}

/* The second of each pair is for kernels whose tp_btf programs run preemptibly,
 * and lose calls. */
#define ENTRY(name, scope)                                                                         \
	SEC("tp_btf/sys_enter")                                                                    \
	int BPF_PROG(ebph_sys_enter_##name, struct pt_regs *regs, long id)                         \
	{                                                                                          \
		return sys_enter(id, scope, false);                                                \
	}                                                                                          \
	SEC("tracepoint/raw_syscalls/sys_enter")                                                   \
	int ebph_sys_enter_##name##_tp(struct trace_event_raw_sys_enter *ctx)                      \
	{                                                                                          \
		return sys_enter(ctx->id, scope, true);                                            \
	}

ENTRY(system, EBPH_SCOPE_SYSTEM)
ENTRY(tree, EBPH_SCOPE_TREE)
ENTRY(cgroup, EBPH_SCOPE_CGROUP)
