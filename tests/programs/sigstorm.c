/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storms of signals. Where the number of calls is not known beforehand the
 * program counts them itself, and at the end writes the count, in 8 bytes, to
 * the file that its last argument names; those two calls are counted as well,
 * exit_group is not.
 *
 * children N PATH   N children end at once; a SIGCHLD handler reaps them
 * timer N PATH      a timer interrupts a wait4 until N handlers have run
 * queue N D         N real-time signals of D numbers are queued while blocked, and
 *                   delivered at once, nested D deep. D rt_sigaction, 1 getpid,
 *                   2 rt_sigprocmask, N rt_sigqueueinfo, N getppid, N rt_sigreturn, 1 getuid
 * leave N D         N times D nested handlers, all left by longjmp. 1 rt_sigaction,
 *                   N * (D * (getpid, kill, getppid) + getuid)
 * deeper 1 1        a handler is left by longjmp, and the next call is made from deeper
 *                   down the stack than what it had interrupted; then one from above
 * within 1 1        a handler that makes an rt_sigreturn of its own, which nothing survives
 */
#include "raw.h"

#define SIGUSR1_ 10
#define SIGALRM_ 14
#define SIGCHLD_ 17
#define SIGRTMIN_ 34
#define SI_QUEUE_ -1
#define SA_NODEFER_ 0x40000000
#define SA_RESTART_ 0x10000000
#define WNOHANG_ 1

static volatile unsigned long made, reaped, entered, depth, deepest;
static volatile long child;
static unsigned long wanted;
static void *back[5];

struct interval {
	long every_seconds, every_microseconds, seconds, microseconds;
};

/* Handlers count as well, and interrupt the one that counts. */
static void counted(void)
{
	__atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
}

static void timer(long microseconds)
{
	struct interval interval = { 0, microseconds, 0, microseconds };

	counted();
	sys3(__NR_setitimer, 0, &interval, 0);
}

static void reap(int signal)
{
	(void)signal;
	for (;;) {
		counted();
		if (sys4(__NR_wait4, -1, 0, WNOHANG_, 0) <= 0)
			break;
		reaped++;
	}
	counted(); /* rt_sigreturn */
}

static void tick(int signal)
{
	(void)signal;
	entered++;
	counted();
	sys0(__NR_getppid);
	if (entered == wanted) {
		timer(0);
		counted();
		sys2(__NR_kill, child, 9);
	}
	counted();
}

static void one(int signal)
{
	(void)signal;
	entered++;
	sys0(__NR_getppid);
}

static void raise_usr1(void)
{
	sys2(__NR_kill, sys0(__NR_getpid), SIGUSR1_);
}

static void nested(int signal)
{
	(void)signal;
	sys0(__NR_getppid);
	if (++depth < deepest)
		raise_usr1();
	else
		__builtin_longjmp(back, 1);
}

static __attribute__((noinline)) void leave_once(void)
{
	depth = 0;
	if (__builtin_setjmp(back) == 0)
		raise_usr1();
	else
		sys0(__NR_getuid);
}

/* Far below where the handler came in. */
static __attribute__((noinline)) void deep_down(void)
{
	volatile char room[65536];

	room[0] = 0;
	sys0(__NR_getuid);
	room[1] = room[0];
}

static void forge(int signal)
{
	(void)signal;
	sys0(__NR_getppid);
	sys0(__NR_rt_sigreturn);
}

static __attribute__((noinline)) void deeper(void)
{
	deepest = 1;
	if (__builtin_setjmp(back) == 0) {
		raise_usr1();
		return;
	}
	deep_down();
	sys0(__NR_getgid);
}

static long forked(void)
{
	counted();
	return sys6(__NR_clone, SIGCHLD_, 0, 0, 0, 0, 0);
}

static int report(const char *path)
{
	unsigned long calls;
	long fd;

	counted();
	fd = sys3(__NR_openat, -100, path, 1);
	counted();
	calls = made;
	return sys3(__NR_write, fd, &calls, sizeof(calls)) == sizeof(calls) ? 0 : 92;
}

static int children(unsigned long count, const char *path)
{
	unsigned long blocked = 1UL << (SIGCHLD_ - 1), none = 0;

	counted();
	raw_sigaction(SIGCHLD_, reap, SA_RESTART_);
	for (unsigned long i = 0; i < count; i++) {
		long pid = forked();

		if (pid < 0)
			return 91;
		if (pid == 0)
			leave(0);
	}
	counted();
	sys4(__NR_rt_sigprocmask, 0, &blocked, 0, 8);
	while (reaped < count) {
		counted();
		sys2(__NR_rt_sigsuspend, &none, 8);
	}
	return report(path);
}

static int timed(unsigned long count, const char *path)
{
	wanted = count;
	counted();
	raw_sigaction(SIGALRM_, tick, SA_RESTART_);
	child = forked();
	if (child == 0) {
		/* Without a call: whether it is killed before one, nobody knows. */
		for (;;)
			pause_cpu();
	}
	timer(1000);
	counted();
	if (sys4(__NR_wait4, child, 0, 0, 0) != child)
		return 91;
	return report(path);
}

static int queue(unsigned long count, unsigned long numbers)
{
	unsigned long all = ~0UL;
	struct {
		int signo, error, code, pad;
		char rest[112];
	} info = { .code = SI_QUEUE_ };
	long self = sys0(__NR_getpid);

	for (unsigned long i = 0; i < numbers; i++)
		raw_sigaction((int)(SIGRTMIN_ + i), one, 0);
	sys4(__NR_rt_sigprocmask, 0, &all, 0, 8);
	for (unsigned long i = 0; i < count; i++)
		if (sys3(__NR_rt_sigqueueinfo, self, SIGRTMIN_ + i % numbers, &info) < 0)
			return 91;
	sys4(__NR_rt_sigprocmask, 1, &all, 0, 8);
	sys0(__NR_getuid);
	return entered == count ? 0 : 90;
}

static int entry(int argc, char **argv)
{
	const char *text;
	unsigned long count;

	if (argc < 4)
		return 94;
	text = argv[2];
	count = number(&text);
	if (same(argv[1], "children"))
		return children(count, argv[3]);
	if (same(argv[1], "timer"))
		return timed(count, argv[3]);
	text = argv[3];
	deepest = number(&text);
	if (same(argv[1], "queue"))
		return queue(count, deepest);
	if (same(argv[1], "within")) {
		raw_sigaction(SIGUSR1_, forge, 0);
		raise_usr1();
		return 89;
	}
	raw_sigaction(SIGUSR1_, nested, SA_NODEFER_);
	if (same(argv[1], "deeper")) {
		deeper();
		return 0;
	}
	while (count--)
		leave_once();
	return 0;
}
