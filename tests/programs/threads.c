/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads N K          N threads at once make K getppid calls each, then exit.
 *                      In all N * (K + 2) + 1 calls: the clones, the exits and
 *                      the exit_group that ends the program.
 * threads exec PATH    a thread that is not the leader becomes PATH (the
 *                      leader spins). 2 calls: clone, execve.
 * threads loop N       N threads make getppid, getuid, getpid, getuid, getgid
 *                      over and over; the leader ends them all after it has
 *                      read a byte. N clones, 1 read, 1 exit_group besides.
 *
 * Where nothing else is said the leader waits without a system call.
 */
#include "raw.h"

#define MOST 64
#define STACK 8192

static char stacks[MOST][STACK] __attribute__((aligned(16)));
static volatile int tids[MOST];
static volatile int go;
static unsigned long calls;
static char *path;

static void work(void *unused)
{
	(void)unused;
	while (!go)
		pause_cpu();
	repeat(calls, __NR_getppid);
	for (;;)
		sys1(__NR_exit, 0);
}

static void loop(void *unused)
{
	(void)unused;
	for (;;) {
		sys0(__NR_getppid);
		sys0(__NR_getuid);
		sys0(__NR_getpid);
		sys0(__NR_getuid);
		sys0(__NR_getgid);
	}
}

static void become(void *unused)
{
	char *args[] = { path, 0 };
	char *none[] = { 0 };

	(void)unused;
	sys3(__NR_execve, path, args, none);
	leave(96);
}

static void start(int at, void (*run)(void *))
{
	unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			      CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;

	tids[at] = 1;
	if (raw_clone(flags, stacks[at] + STACK, (int *)&tids[at], run, 0) < 0)
		leave(95);
}

static int entry(int argc, char **argv)
{
	const char *text = argv[1];
	char byte;
	int count;

	if (argc < 3)
		return 94;
	if (same(argv[1], "exec")) {
		path = argv[2];
		start(0, become);
		for (;;)
			pause_cpu();
	}
	if (same(argv[1], "loop")) {
		text = argv[2];
		count = (int)number(&text);
		if (count > MOST)
			return 93;
		for (int i = 0; i < count; i++)
			start(i, loop);
		return sys3(__NR_read, 0, &byte, 1) == 1 ? 0 : 92;
	}
	count = (int)number(&text);
	text = argv[2];
	calls = number(&text);
	if (count > MOST)
		return 93;
	for (int i = 0; i < count; i++)
		start(i, work);
	go = 1;
	/* The kernel clears the word after the thread's last call. */
	for (int i = 0; i < count; i++)
		while (tids[i])
			pause_cpu();
	return 0;
}
