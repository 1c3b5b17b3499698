/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What signals do to the order of calls. Each mode says what it makes; setting
 * up a handler is 1 rt_sigaction, an alternate stack 1 sigaltstack.
 *
 * nest D      a handler that raises its own signal until D are nested
 * nestjump D  the innermost of D nested handlers leaves them all by longjmp; then
 *             reads one byte
 * inside      a handler that reads one byte and makes a getppid, then returns
 * jump K      K times: the handler leaves by longjmp
 * jumpalt K   the same on an alternate stack
 * read        reads one byte with an SA_RESTART handler set for SIGUSR1
 * eintr       the same without SA_RESTART, reading again on EINTR
 * sigreturn   rt_sigreturn without a signal
 * forged      jump once, then rt_sigreturn without a signal
 * sleep       nanosleep of an hour, ended by SIGUSR2's handler (a stop in between
 *             is followed by restart_syscall)
 */
#include "raw.h"

#define SIGUSR1_ 10
#define SIGUSR2_ 12
#define SA_NODEFER_ 0x40000000
#define SA_RESTART_ 0x10000000
#define SA_ONSTACK_ 0x08000000
#define EINTR_ 4

static volatile unsigned long depth, deepest;
static volatile int leaves;
static void *back[5];
static char alternate[32768] __attribute__((aligned(16)));

static void raise_usr1(void)
{
	sys2(__NR_kill, sys0(__NR_getpid), SIGUSR1_);
}

/* In each handler: getppid; all but the innermost: getpid, kill. */
static void nested(int signal)
{
	(void)signal;
	depth++;
	sys0(__NR_getppid);
	if (depth < deepest)
		raise_usr1();
	else if (leaves)
		__builtin_longjmp(back, 1);
}

static void waits(int signal)
{
	char byte;

	(void)signal;
	sys3(__NR_read, 0, &byte, 1);
	sys0(__NR_getppid);
}

static void jump(int signal)
{
	(void)signal;
	sys0(__NR_getppid);
	__builtin_longjmp(back, 1);
}

static void plain(int signal)
{
	(void)signal;
	sys0(__NR_getppid);
}

static __attribute__((noinline)) void jump_once(void)
{
	if (__builtin_setjmp(back) == 0)
		raise_usr1();
	else
		sys0(__NR_getuid);
}

static int entry(int argc, char **argv)
{
	const char *text = argc > 2 ? argv[2] : "1";
	unsigned long times = number(&text);
	char byte;

	if (argc < 2)
		return 94;
	if (same(argv[1], "nest")) {
		/* 1 rt_sigaction + times * (getpid, kill, getppid, rt_sigreturn) + getuid */
		deepest = times;
		raw_sigaction(SIGUSR1_, nested, SA_NODEFER_);
		raise_usr1();
		sys0(__NR_getuid);
		return depth == times ? 0 : 93;
	}
	if (same(argv[1], "nestjump")) {
		/* 1 rt_sigaction + times * (getpid, kill, getppid) + getuid, read */
		deepest = times;
		leaves = 1;
		raw_sigaction(SIGUSR1_, nested, SA_NODEFER_);
		jump_once();
		return sys3(__NR_read, 0, &byte, 1) == 1 && depth == times ? 0 : 93;
	}
	if (same(argv[1], "inside")) {
		/* rt_sigaction, getpid, kill, read, getppid, rt_sigreturn */
		raw_sigaction(SIGUSR1_, waits, 0);
		raise_usr1();
		return 0;
	}
	if (same(argv[1], "jump") || same(argv[1], "jumpalt")) {
		/* 1 rt_sigaction [+ 1 sigaltstack] + times * (getpid, kill, getppid, getuid) */
		unsigned long flags = SA_NODEFER_;

		if (argv[1][4]) {
			stack_t stack = { alternate, 0, sizeof(alternate) };

			flags |= SA_ONSTACK_;
			sys2(__NR_sigaltstack, &stack, 0);
		}
		raw_sigaction(SIGUSR1_, jump, flags);
		while (times--)
			jump_once();
		return 0;
	}
	if (same(argv[1], "read")) {
		/* rt_sigaction, read; getppid and rt_sigreturn for each signal */
		raw_sigaction(SIGUSR1_, plain, SA_RESTART_);
		return sys3(__NR_read, 0, &byte, 1) == 1 ? 0 : 93;
	}
	if (same(argv[1], "eintr")) {
		/* rt_sigaction, read once more than signals; getppid and rt_sigreturn for each */
		long got;

		raw_sigaction(SIGUSR1_, plain, 0);
		do
			got = sys3(__NR_read, 0, &byte, 1);
		while (got == -EINTR_);
		return got == 1 ? 0 : 93;
	}
	if (same(argv[1], "forged")) {
		raw_sigaction(SIGUSR1_, jump, SA_NODEFER_);
		jump_once();
		sys0(__NR_rt_sigreturn);
		return 93;
	}
	if (same(argv[1], "sigreturn")) {
		sys0(__NR_getppid);
		sys0(__NR_rt_sigreturn);
		return 93;
	}
	if (same(argv[1], "sleep")) {
		struct {
			long seconds, nanoseconds;
		} hour = { 3600, 0 };

		/* rt_sigaction, nanosleep (once), getppid and rt_sigreturn of the signal that ends it */
		raw_sigaction(SIGUSR2_, plain, 0);
		return sys2(__NR_nanosleep, &hour, 0) == -EINTR_ ? 0 : 93;
	}
	return 92;
}
