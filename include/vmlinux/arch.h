/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What differs between architectures: registers, how a compat task is told,
 * and the numbers of the few system calls that mean something to ebph.
 */
#ifndef EBPH_ARCH_H
#define EBPH_ARCH_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)

struct pt_regs {
	unsigned long ax;
	unsigned long orig_ax;
	unsigned long ip;
	unsigned long sp;
};

struct thread_info {
	u32 status;
};

enum arch {
	ARCH_TS_COMPAT = 0x0002, /* thread_info.status: entered by int 0x80 or as i386 */
	ARCH_X32_BIT = 0x40000000,
	ARCH_NR_SIGRETURN = 15,
	ARCH_NR_RESTART = 219,
	ARCH_NR_EXIT = 60,
	ARCH_NR_EXIT_GROUP = 231,
	ARCH_NR_CLONE = 56,
	ARCH_NR_FORK = 57,
	ARCH_NR_VFORK = 58,
	ARCH_NR_X32_SIGRETURN = 513,
	ARCH_COMPAT_NR_SIGRETURN = 119,
	ARCH_COMPAT_NR_RT_SIGRETURN = 173,
	ARCH_COMPAT_NR_RESTART = 0,
};

#elif defined(__TARGET_ARCH_arm64)

struct user_pt_regs {
	u64 regs[31];
	u64 sp;
	u64 pc;
};

struct pt_regs {
	union {
		struct user_pt_regs user_regs;
		struct {
			u64 regs[31];
			u64 sp;
			u64 pc;
		};
	};
	u64 orig_x0;
	s32 syscallno;
};

struct thread_info {
	unsigned long flags;
};

enum arch {
	ARCH_TIF_32BIT = 22, /* bit of thread_info.flags */
	ARCH_NR_SIGRETURN = 139,
	ARCH_NR_RESTART = 128,
	ARCH_NR_EXIT = 93,
	ARCH_NR_EXIT_GROUP = 94,
	ARCH_NR_CLONE = 220,
	ARCH_COMPAT_NR_SIGRETURN = 119,
	ARCH_COMPAT_NR_RT_SIGRETURN = 173,
	ARCH_COMPAT_NR_RESTART = 0,
};

#else
#error "ebph knows x86-64 and arm64"
#endif

/* The same everywhere. */
enum {
	NR_IO_URING_SETUP = 425,
	NR_CLONE3 = 435,
	COMPAT_NR_FORK = 2,
	COMPAT_NR_CLONE = 120,
	COMPAT_NR_VFORK = 190,
};

#pragma clang attribute pop

#endif
