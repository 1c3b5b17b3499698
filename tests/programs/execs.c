/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * execs WAY N PATH     nine getppid calls, then N times one getpid and nine getppid
 *                      calls, then PATH is executed; the status is that of PATH,
 *                      7 if its execve failed with EPERM, 8 if with something else.
 *   self               this process executes it
 *   fork vfork spawn   a child does, made by fork, by vfork, or onto a new stack as
 *                      posix_spawn makes it
 *   thread             the calls are made by a thread of their own; then as self
 */
#include "raw.h"

#define EPERM 1
#define SIGCHLD_FLAG 17
#define STACK 8192

static char stack[STACK] __attribute__((aligned(16)));
static volatile int tid;
static unsigned long times;
static char *path;

static void calls(void)
{
	repeat(9, __NR_getppid);
	for (unsigned long left = times; left; left--) {
		sys0(__NR_getpid);
		repeat(9, __NR_getppid);
	}
}

static void work(void *unused)
{
	(void)unused;
	calls();
	for (;;)
		sys1(__NR_exit, 0);
}

static void become(void *unused)
{
	char *args[] = { path, 0 };
	char *none[] = { 0 };

	(void)unused;
	leave(sys3(__NR_execve, path, args, none) == -EPERM ? 7 : 8);
}

static int wait_for(long pid)
{
	int status = 0;

	if (pid < 0 || sys4(__NR_wait4, pid, &status, 0, 0) != pid || status & 0x7f)
		return 9;
	return status >> 8;
}

static int child(unsigned long flags)
{
	long pid = sys6(__NR_clone, (long)(flags | SIGCHLD_FLAG), 0, 0, 0, 0, 0);

	if (pid == 0)
		become(0);
	return wait_for(pid);
}

static int spawned(void)
{
	return wait_for(
		raw_clone(CLONE_VM | CLONE_VFORK | SIGCHLD_FLAG, stack + STACK, 0, become, 0));
}

static int entry(int argc, char **argv)
{
	unsigned long threads = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
				CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
	const char *text;

	if (argc < 4)
		return 94;
	text = argv[2];
	times = number(&text);
	path = argv[3];
	if (same(argv[1], "thread")) {
		tid = 1;
		if (raw_clone(threads, stack + STACK, (int *)&tid, work, 0) < 0)
			return 95;
		while (tid)
			pause_cpu();
	} else {
		calls();
	}
	if (same(argv[1], "fork"))
		return child(0);
	if (same(argv[1], "vfork"))
		return child(CLONE_VM | CLONE_VFORK);
	if (same(argv[1], "spawn"))
		return spawned();
	become(0);
	return 96;
}
