// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Signals about to act on the current thread (thesis 3.5.3). */

enum {
	SIG_DFL_ = 0,
	SIG_IGN_ = 1,
	SA_ONSTACK_ = 0x08000000,
	SA_RESTART_ = 0x10000000,
	ERESTARTSYS_ = 512,
	ERESTARTNOINTR_ = 513,
	ERESTARTNOHAND_ = 514,
	ERESTART_RESTARTBLOCK_ = 516,
};

#if defined(__TARGET_ARCH_x86)

/* The call that this signal interrupted, and whether it is issued again. */
static __always_inline void delivery__call(struct delivery *s, struct task_struct *task,
					   struct ebph_task *ts, struct pt_regs *regs, u64 sa_flags)
{
	s64 result = regs->ax, nr = regs->orig_ax;
	bool again;

	if ((s32)nr < 0 || result > -ERESTARTSYS_ || result < -ERESTART_RESTARTBLOCK_ ||
	    result == -(ERESTARTNOHAND_ + 1))
		return;
	s->in_call = 1;
	if (s->handled)
		again = result == -ERESTARTNOINTR_ ||
			(result == -ERESTARTSYS_ && sa_flags & SA_RESTART_);
	else
		again = result != -ERESTART_RESTARTBLOCK_;
	if (again)
		s->restart = symbol__of(task, nr) + 1;
}

#else

/* arm64 rewinds the program counter before the signal shows: back at the call
 * it last made, it is about to make it again. Whether a handler turns that into
 * EINTR is decided later, so a call that comes right after a handler without
 * SA_RESTART is told from its flags. */
static __always_inline void delivery__call(struct delivery *s, struct task_struct *task,
					   struct ebph_task *ts, struct pt_regs *regs, u64 sa_flags)
{
	u64 width = symbol__compat(task) ? 2 : 4, back = ts->pc - regs->pc;

	if (!ts->pc || (back != 4 && back != width))
		return;
	s->in_call = 1;
	if (!s->handled || sa_flags & SA_RESTART_)
		s->restart =
			symbol__of(task, symbol__compat(task) ? regs->regs[7] : regs->regs[8]) + 1;
}

#endif

SEC("tp_btf/signal_deliver")
int BPF_PROG(ebph_signal, int sig, struct kernel_siginfo *info, struct k_sigaction *ka)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct delivery s = {};
	struct pt_regs *regs;
	struct ebph_task *ts;
	u64 lo, size, flags;
	u32 did;

	ts = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (!ts || !profile_at(ts->slot))
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	flags = ka->sa.sa_flags;
	s.handled = (u64)ka->sa.sa_handler != SIG_DFL_ && (u64)ka->sa.sa_handler != SIG_IGN_;
	delivery__call(&s, task, ts, regs, flags);
	if (s.handled) {
		s.sp = regs->sp;
		lo = task->sas_ss_sp;
		size = task->sas_ss_size;
		if (size && s.sp > lo && s.sp - lo <= size) {
			/* Already there: the handler goes on below. */
			s.alt_lo = lo;
			s.alt_hi = lo + size + 1;
		} else if (size && flags & SA_ONSTACK_) {
			s.alt_lo = lo;
			s.alt_hi = lo + size + 1;
			s.sp = ~0ULL;
		}
	}
	did = frame__push(ts, &s);
	/* Which call it interrupted is known from here on. */
	if (sig == SIGSTOP_)
		process__note_stop(ts, task);
	if (s.handled)
		count(signals);
	if (did & EBPH_DID_PUSH_DEEP)
		count(frames_overflow);
	return 0;
}
