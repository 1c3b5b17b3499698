// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hooks that are there for responses alone, and attached while one needs them. */

enum { EPERM_ = 1, SEND_SIG_PRIV_ = 1, SIG_IGNORED_ = 1 };

static __always_inline int deny(struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct ebph_profile *p;
	struct ebph_task *ts;

	ts = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!ts)
		return 0;
	p = task__bound(ts);
	/* Once more for a script's interpreter: it is the same exec. */
	if (!p || BPF_CORE_READ(bprm, interp) != BPF_CORE_READ(bprm, filename))
		return 0;
	return response__exec(p, ts, EBPH_RESPONSE_DENY, (u64)BPF_CORE_READ(bprm, filename))
		       ? -EPERM_
		       : 0;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(ebph_deny_lsm, struct linux_binprm *bprm, int denied)
{
	return denied ?: deny(bprm);
}

/* The same, where BPF is not among the active security modules: it stands before
 * all of them. */
SEC("fmod_ret/security_bprm_check")
int BPF_PROG(ebph_deny_fmod_ret, struct linux_binprm *bprm, int denied)
{
	return denied ?: deny(bprm);
}

/* What the program does about a signal: what the kernel does if that is zero. */
static __always_inline u64 signal__handler(struct task_struct *task, u32 sig)
{
	struct sighand_struct *sighand = BPF_CORE_READ(task, sighand);
	struct k_sigaction *action;

	action = (void *)sighand + bpf_core_field_offset(sighand->action) +
		 (sig - 1) * bpf_core_type_size(struct k_sigaction);
	return (u64)BPF_CORE_READ(action, sa.sa_handler);
}

/* Signals that come while a process is held: what somebody else stops must stay
 * so, and what somebody else continues is not ours any more. */
SEC("tp_btf/signal_generate")
int BPF_PROG(ebph_signalled, int sig, struct kernel_siginfo *info, struct task_struct *task)
{
	struct process *process;
	struct ebph_hold *h;

	if (sig != SIGCONT_ && (sig < SIGSTOP_ || sig > SIGTTOU_))
		return 0;
	process = process__of(task->group_leader, 0);
	if (!process)
		return 0;
	h = hold__of(process);
	if (!h)
		return 0;
	if (sig == SIGCONT_) {
		/* If the stop is still on its way, it has yet to be undone. */
		if (!(h->signal & EBPH_HOLD_REACHED)) {
			h->signal = 0;
			h->due = h->since + NS_SETTLING;
		} else if (hold__free(h, process->held)) {
			count(interrupted);
		}
		return 0;
	}
	/* The kernel's own: ours, or a tracer's. */
	if (sig == SIGSTOP_ && (u64)info == SEND_SIG_PRIV_) {
		h->signal |= EBPH_HOLD_REACHED;
		return 0;
	}
	/* Also what the program handles: the signal that continues takes away what waits
	 * to be handled. Nothing makes up for SIGSTOP. */
	if (sig != SIGSTOP_ && ((h->signal & EBPH_HOLD_SIGNAL) == SIGSTOP_ ||
				signal__handler(task, sig) == SIG_IGNORED_))
		return 0;
	h->signal = (h->signal & ~(u32)EBPH_HOLD_SIGNAL) | sig;
	return 0;
}
