/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blocked N...    Threads that wait, each in a call of its own: read, futex, ppoll,
 *                 nanosleep, accept4, epoll_pwait. The leader makes the arguments'
 *                 calls (N or NxK) after it has read a byte, and ends them all.
 *
 * In all 19 calls and those of the arguments: 5 that prepare, 6 clones, the leader's
 * read, 6 that wait, the exit_group.
 */
#include "raw.h"

#include <asm/errno.h>

#define STACK 8192
#define THREADS 6
#define AF_UNIX_ 1
#define SOCK_STREAM_ 1
#define FUTEX_WAIT_ 0

static char stacks[THREADS][STACK] __attribute__((aligned(16)));
static int tids[THREADS];
static int ends[2], listener, epoll, word;

static void forever(long result)
{
	(void)result;
	/* It was not to return. */
	leave(90);
}

static void in_read(void *unused)
{
	char byte;

	(void)unused;
	forever(sys3(__NR_read, ends[0], &byte, 1));
}

static void in_futex(void *unused)
{
	(void)unused;
	forever(sys4(__NR_futex, &word, FUTEX_WAIT_, 0, 0));
}

static void in_ppoll(void *unused)
{
	long hour[2] = { 3600, 0 };

	(void)unused;
	forever(sys6(__NR_ppoll, 0, 0, (long)hour, 0, 8, 0));
}

static void in_nanosleep(void *unused)
{
	long hour[2] = { 3600, 0 };

	(void)unused;
	forever(sys2(__NR_nanosleep, hour, hour));
}

static void in_accept(void *unused)
{
	(void)unused;
	forever(sys4(__NR_accept4, listener, 0, 0, 0));
}

static void in_epoll(void *unused)
{
	long event[2], result;

	(void)unused;
	/* A stop ends it with EINTR, handler or not: signal(7) names those that do so. */
	do
		result = sys6(__NR_epoll_pwait, epoll, (long)event, 1, -1, 0, 8);
	while (result == -EINTR);
	forever(result);
}

static void start(int at, void (*run)(void *))
{
	unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			      CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;

	if (raw_clone(flags, stacks[at] + STACK, &tids[at], run, 0) < 0)
		leave(95);
}

static int entry(int argc, char **argv)
{
	unsigned short family = AF_UNIX_;
	char byte;

	sys2(__NR_pipe2, ends, 0);
	listener = (int)sys3(__NR_socket, AF_UNIX_, SOCK_STREAM_, 0);
	sys3(__NR_bind, listener, &family, sizeof(family));
	sys2(__NR_listen, listener, 1);
	epoll = (int)sys1(__NR_epoll_create1, 0);
	if (listener < 0 || epoll < 0)
		return 94;
	start(0, in_read);
	start(1, in_futex);
	start(2, in_ppoll);
	start(3, in_nanosleep);
	start(4, in_accept);
	start(5, in_epoll);
	if (sys3(__NR_read, 0, &byte, 1) != 1)
		return 93;
	for (int at = 1; at < argc; at++) {
		const char *text = argv[at];
		unsigned long call = number(&text), times = 1;

		if (*text == 'x') {
			text++;
			times = number(&text);
		}
		repeat(times, (long)call);
	}
	return 0;
}
