/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes the calls that its arguments spell, writes when it made some of them to
 * standard output, and then exit_group(0).
 *
 *   tN       N times: reads the boot-time clock (one call), and keeps what it says
 *   N NxK    system call N, all arguments 0, once or K times
 *   r        reads one byte from standard input (waits for it)
 *   e/PATH   execve PATH without arguments
 *   i        ignores SIGCONT
 *   h        handles SIGCONT: for each, the clock's time is kept with its sign changed
 *   z        handles SIGTSTP likewise
 *   b        blocks SIGTSTP, and sends it to itself
 *   o        writes what was kept so far, as signed 64-bit numbers (one call)
 */
#include "raw.h"

#ifndef CLOCK_BOOTTIME
#define CLOCK_BOOTTIME 7
#endif
#define MOST 4096

static long kept[MOST];
static volatile int count;

static long now(void)
{
	long time[2];

	sys2(__NR_clock_gettime, CLOCK_BOOTTIME, (long)time);
	return time[0] * 1000000000 + time[1];
}

static void keep(long time)
{
	if (count < MOST)
		kept[count++] = time;
}

static void on_continue(int signal)
{
	(void)signal;
	keep(-now());
}

static void one(char *argument)
{
	const char *text = argument;
	char kind = *text;
	char *args[] = { argument + 1, 0 };
	char *none[] = { 0 };
	unsigned long call, mask, times = 1;
	char byte;

	switch (kind) {
	case 'r':
		sys3(__NR_read, 0, &byte, 1);
		return;
	case 'e':
		sys3(__NR_execve, argument + 1, args, none);
		leave(97);
		return;
	case 'i':
		raw_sigaction(SIGCONT, (void (*)(int))1, 0);
		return;
	case 'h':
		raw_sigaction(SIGCONT, on_continue, 0);
		return;
	case 'z':
		raw_sigaction(SIGTSTP, on_continue, 0);
		return;
	case 'b':
		mask = 1UL << (SIGTSTP - 1);
		sys4(__NR_rt_sigprocmask, 0, &mask, 0, sizeof(mask));
		sys2(__NR_kill, sys0(__NR_getpid), SIGTSTP);
		return;
	case 'o':
		sys3(__NR_write, 1, kept, count * sizeof(kept[0]));
		count = 0;
		return;
	case 't':
		text++;
		for (times = number(&text); times; times--)
			keep(now());
		return;
	}
	call = number(&text);
	if (*text == 'x') {
		text++;
		times = number(&text);
	}
	repeat(times, (long)call);
}

static int entry(int argc, char **argv)
{
	for (int at = 1; at < argc; at++)
		one(argv[at]);
	return 0;
}
