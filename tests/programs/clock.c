/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock N       asks for the time N times as programs do: no system call is made
 * clock N call  the same by the system call
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long times = argc > 1 ? atol(argv[1]) : 0;
	struct timespec now;

	/* This clock is read in user space whatever the machine's clocks are. */
	while (times--)
		if (argc > 2 ? syscall(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &now)
			     : clock_gettime(CLOCK_MONOTONIC_COARSE, &now))
			return 1;
	return 0;
}
