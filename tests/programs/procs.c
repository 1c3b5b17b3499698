/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * procs fork K         a child makes K getppid calls and exits; the parent waits.
 *                      Calls: 1 clone, K + 1 in the child, 1 wait4, 1 exit_group.
 * procs vfork K        the same through CLONE_VM | CLONE_VFORK, on the same stack.
 * procs exec PATH      fork; the child becomes PATH. 1 clone, 1 execve, 1 wait4, 1 exit_group.
 * procs before N C K   N calls of number C, then fork, then K getppid in the child
 *                      (does the child inherit the window?).
 */
#include "raw.h"

#define SIGCHLD_FLAG 17

static int entry(int argc, char **argv)
{
	unsigned long flags = SIGCHLD_FLAG, calls = 0;
	const char *text;
	char *path = 0;
	char *none[] = { 0 };
	long child;

	if (argc < 3)
		return 94;
	if (same(argv[1], "exec")) {
		path = argv[2];
	} else if (same(argv[1], "before") && argc == 5) {
		unsigned long times, call;

		text = argv[2];
		times = number(&text);
		text = argv[3];
		call = number(&text);
		text = argv[4];
		calls = number(&text);
		repeat(times, (long)call);
	} else {
		if (same(argv[1], "vfork"))
			flags |= CLONE_VM | CLONE_VFORK;
		text = argv[2];
		calls = number(&text);
	}
	child = sys6(__NR_clone, (long)flags, 0, 0, 0, 0, 0);
	if (child < 0)
		return 93;
	if (child == 0) {
		if (path) {
			char *args[] = { path, 0 };

			sys3(__NR_execve, path, args, none);
		}
		repeat(calls, __NR_getppid);
		leave(0);
	}
	sys4(__NR_wait4, child, 0, 0, 0);
	return 0;
}
