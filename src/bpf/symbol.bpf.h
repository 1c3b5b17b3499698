/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The alphabet: the one place that turns a call into a letter. */
#ifndef EBPH_SYMBOL_BPF_H
#define EBPH_SYMBOL_BPF_H

/* What calls are more than letters, in one load. */
enum {
	CARE_RETURN = 1, /* from a handler */
	CARE_EXIT = 2,   /* the last call of a native thread that ends by itself */
	CARE_THREAD = 4, /* it may make one; a ring's poller and workers are threads as well */
};

enum {
	COMPAT_SIGRETURN = EBPH_SYMBOL_COMPAT + ARCH_COMPAT_NR_SIGRETURN,
	COMPAT_RT_SIGRETURN = EBPH_SYMBOL_COMPAT + ARCH_COMPAT_NR_RT_SIGRETURN,
	COMPAT_FORK = EBPH_SYMBOL_COMPAT + COMPAT_NR_FORK,
	COMPAT_VFORK = EBPH_SYMBOL_COMPAT + COMPAT_NR_VFORK,
	COMPAT_CLONE = EBPH_SYMBOL_COMPAT + COMPAT_NR_CLONE,
	COMPAT_CLONE3 = EBPH_SYMBOL_COMPAT + NR_CLONE3,
	COMPAT_IO_URING_SETUP = EBPH_SYMBOL_COMPAT + NR_IO_URING_SETUP,
};

const u8 symbol_care[EBPH_SYMBOLS] = {
	[ARCH_NR_SIGRETURN] = CARE_RETURN,
	[COMPAT_SIGRETURN] = CARE_RETURN,
	[COMPAT_RT_SIGRETURN] = CARE_RETURN,
	[ARCH_NR_EXIT] = CARE_EXIT,
	[ARCH_NR_EXIT_GROUP] = CARE_EXIT,
	[ARCH_NR_CLONE] = CARE_THREAD,
#if defined(__TARGET_ARCH_x86)
	[ARCH_NR_FORK] = CARE_THREAD,
	[ARCH_NR_VFORK] = CARE_THREAD,
#endif
	[NR_CLONE3] = CARE_THREAD,
	[NR_IO_URING_SETUP] = CARE_THREAD,
	[COMPAT_FORK] = CARE_THREAD,
	[COMPAT_VFORK] = CARE_THREAD,
	[COMPAT_CLONE] = CARE_THREAD,
	[COMPAT_CLONE3] = CARE_THREAD,
	[COMPAT_IO_URING_SETUP] = CARE_THREAD,
};

static __always_inline u32 symbol__care(u32 symbol)
{
	opaque(symbol);
	return symbol < EBPH_SYMBOLS ? symbol_care[symbol] : 0;
}

#if defined(__TARGET_ARCH_x86)

static __always_inline bool symbol__compat(struct task_struct *task)
{
	return task->thread_info.status & ARCH_TS_COMPAT;
}

static __always_inline bool symbol__x32(u32 nr)
{
	return nr & ARCH_X32_BIT;
}

static __always_inline bool symbol__x32_sigreturn(u32 nr)
{
	return nr == (ARCH_X32_BIT | ARCH_NR_X32_SIGRETURN);
}

static __always_inline bool symbol__x32_restart(u32 nr)
{
	return nr == (ARCH_X32_BIT | ARCH_NR_RESTART);
}

#else

static __always_inline bool symbol__compat(struct task_struct *task)
{
	return task->thread_info.flags & (1UL << ARCH_TIF_32BIT);
}

static __always_inline bool symbol__x32(u32 nr)
{
	return false;
}

static __always_inline bool symbol__x32_sigreturn(u32 nr)
{
	return false;
}

static __always_inline bool symbol__x32_restart(u32 nr)
{
	return false;
}

#endif

/* EBPH_SYMBOL_NONE: a call that was cancelled (by ptrace or seccomp), or that
 * the kernel issues by itself under an ABI whose calls are one letter. */
static __always_inline u32 symbol__of(struct task_struct *task, s64 nr)
{
	u32 n = nr;
	bool compat = symbol__compat(task);

	if (unlikely(n >= EBPH_SYMBOL_UNKNOWN)) {
		if ((s32)n < 0)
			return EBPH_SYMBOL_NONE;
		if (!compat && symbol__x32(n))
			return symbol__x32_restart(n) ? EBPH_SYMBOL_NONE : EBPH_SYMBOL_X32;
		n = EBPH_SYMBOL_UNKNOWN;
	}
	return compat ? EBPH_SYMBOL_COMPAT + n : n;
}

/* An operation of io_uring; the same for all ABIs. */
static __always_inline u32 symbol__uring(u32 opcode)
{
	if (opcode >= EBPH_SYMBOL_URING_UNKNOWN - EBPH_SYMBOL_URING)
		return EBPH_SYMBOL_URING_UNKNOWN;
	return EBPH_SYMBOL_URING + opcode;
}

static __always_inline bool symbol__is_sigreturn(u32 symbol)
{
	return symbol__care(symbol) & CARE_RETURN;
}

static __always_inline bool symbol__is_exit(u32 symbol)
{
	return symbol__care(symbol) & CARE_EXIT;
}

/* Issued by the kernel, never by a program's own will. */
static __always_inline bool symbol__is_restart(u32 symbol)
{
	return symbol == ARCH_NR_RESTART || symbol == EBPH_SYMBOL_COMPAT + ARCH_COMPAT_NR_RESTART;
}

#endif
