/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tracer that alters what its tracee does. PROGRAM is executed by a traced
 * child; A and B are numbers of calls.
 *
 * change A B PROGRAM...   every call A becomes call B before it is made
 * cancel A PROGRAM...     every call A is cancelled: its number becomes -1
 * emulate N PROGRAM...    the first N calls are not made, by PTRACE_SYSEMU
 * inject A B PROGRAM...   after its first call A, the program is made to make call B
 * stop A PROGRAM...       SIGSTOP waits for the program while it makes call A, and is
 *                         taken away before it stops it
 *
 * Ends with the tracee's status.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#endif

typedef struct user_regs_struct regs_t;

static regs_t get(pid_t pid)
{
	regs_t regs;
	struct iovec room = { &regs, sizeof(regs) };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &room) < 0)
		exit(101);
	return regs;
}

static void set(pid_t pid, regs_t regs)
{
	struct iovec room = { &regs, sizeof(regs) };

	if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &room) < 0)
		exit(102);
}

#if defined(__x86_64__)

static long number_of(pid_t pid)
{
	return (long)get(pid).orig_rax;
}

static void renumber(pid_t pid, long number)
{
	regs_t regs = get(pid);

	regs.orig_rax = (unsigned long)number;
	set(pid, regs);
}

/* From after a call to before it, to make another one there. */
static void rewind_to(pid_t pid, regs_t regs, long number)
{
	regs.rip -= 2;
	regs.rax = (unsigned long)number;
	set(pid, regs);
}

#else

static long number_of(pid_t pid)
{
	return (long)get(pid).regs[8];
}

static void renumber(pid_t pid, long number)
{
	int word = (int)number;
	struct iovec room = { &word, sizeof(word) };

	if (ptrace(PTRACE_SETREGSET, pid, 0x404 /* NT_ARM_SYSTEM_CALL */, &room) < 0)
		exit(103);
}

static void rewind_to(pid_t pid, regs_t regs, long number)
{
	regs.pc -= 4;
	regs.regs[8] = (unsigned long)number;
	set(pid, regs);
}

#endif

static void resume(pid_t pid, int how)
{
	if (ptrace(how, pid, 0, 0) < 0)
		exit(104);
}

/* Until the next stop at a call; false: it ended. */
static int stopped_at_call(pid_t pid, int how, int *status)
{
	for (;;) {
		resume(pid, how);
		if (waitpid(pid, status, 0) != pid)
			exit(105);
		if (!WIFSTOPPED(*status))
			return 0;
		if (WSTOPSIG(*status) == (SIGTRAP | 0x80))
			return 1;
	}
}

static pid_t start(char **argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execv(argv[0], argv);
		_exit(127);
	}
	/* The stop that a traced exec ends in. */
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		exit(106);
	if (ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		exit(107);
	return pid;
}

static int change(char **argv, long from, long to)
{
	pid_t pid = start(argv);
	int status;

	while (stopped_at_call(pid, PTRACE_SYSCALL, &status)) {
		if (number_of(pid) == from)
			renumber(pid, to);
		if (!stopped_at_call(pid, PTRACE_SYSCALL, &status))
			break;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static int stop(char **argv, long at)
{
	pid_t pid = start(argv);
	int status;

	while (stopped_at_call(pid, PTRACE_SYSCALL, &status))
		if (number_of(pid) == at)
			kill(pid, SIGSTOP);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static int emulate(char **argv, long times)
{
	pid_t pid = start(argv);
	int status;

	while (times--)
		if (!stopped_at_call(pid, PTRACE_SYSEMU, &status))
			return 99;
	resume(pid, PTRACE_CONT);
	if (waitpid(pid, &status, 0) != pid)
		return 98;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static int inject(char **argv, long after, long call)
{
	pid_t pid = start(argv);
	int status, done = 0;

	while (stopped_at_call(pid, PTRACE_SYSCALL, &status)) {
		int here = !done && number_of(pid) == after;

		if (!stopped_at_call(pid, PTRACE_SYSCALL, &status))
			break;
		if (here) {
			regs_t regs = get(pid);

			rewind_to(pid, regs, call);
			if (!stopped_at_call(pid, PTRACE_SYSCALL, &status) ||
			    !stopped_at_call(pid, PTRACE_SYSCALL, &status))
				return 97;
			set(pid, regs);
			done = 1;
		}
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 94;
	if (!strcmp(argv[1], "cancel"))
		return change(argv + 3, atol(argv[2]), -1);
	if (!strcmp(argv[1], "stop"))
		return stop(argv + 3, atol(argv[2]));
	if (!strcmp(argv[1], "emulate"))
		return emulate(argv + 3, atol(argv[2]));
	if (argc < 5)
		return 94;
	if (!strcmp(argv[1], "change"))
		return change(argv + 4, atol(argv[2]), atol(argv[3]));
	return inject(argv + 4, atol(argv[2]), atol(argv[3]));
}
