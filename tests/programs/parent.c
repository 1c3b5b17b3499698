/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parent PROGRAM ARG...    Starts the program, waits for whatever becomes of it, and
 *                          writes what was seen to standard output, a line each:
 *                          "stopped SIGNAL", "continued", "exited STATUS", and last
 *                          "signals N", how often SIGCHLD came; several at once are one.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t signals;

static void on_child(int signal)
{
	(void)signal;
	signals++;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_child, .sa_flags = SA_RESTART };
	siginfo_t info;
	pid_t pid;

	if (argc < 2 || sigaction(SIGCHLD, &action, NULL))
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	pid = fork();
	if (pid == 0) {
		execv(argv[1], argv + 1);
		_exit(127);
	}
	do {
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WCONTINUED | WEXITED))
			return 3;
		if (info.si_code == CLD_STOPPED)
			printf("stopped %d\n", info.si_status);
		else if (info.si_code == CLD_CONTINUED)
			printf("continued\n");
		else
			printf("exited %d\n", info.si_status);
	} while (info.si_code == CLD_STOPPED || info.si_code == CLD_CONTINUED);
	printf("signals %d\n", (int)signals);
	return 0;
}
