/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes a call that seccomp decides upon: getppid twice, seccomp, getuid three
 * times, getgid twice, exit_group. MODE is what becomes of getuid:
 *
 * allow, log      it is made
 * errno           it fails
 * trap            SIGSYS, whose handler makes a getpid and returns
 * trace           it fails, there being no tracer
 * killthread      the thread, which is the only one, ends
 * killprocess     the process ends
 * deny, continue  another thread of the program is asked, and has it fail or made: a clone,
 *                 and its two ioctl for each getuid and exit
 */
#include "raw.h"

#include <linux/filter.h>
#include <linux/ioctl.h>
#include <linux/seccomp.h>

#define SIGSYS_ 31

static char stack[8192] __attribute__((aligned(16)));
static volatile int listener = -1, tid;
static int goes_on;

static void handler(int signal)
{
	(void)signal;
	sys0(__NR_getpid);
}

static long filter(unsigned int verdict, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getuid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, verdict),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void answer(void *unused)
{
	(void)unused;
	while (listener < 0)
		pause_cpu();
	for (int i = 0; i < 3; i++) {
		struct seccomp_notif asked = { 0 };
		struct seccomp_notif_resp told = { 0 };

		if (sys3(__NR_ioctl, listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0)
			leave(91);
		told.id = asked.id;
		if (goes_on)
			told.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		else
			told.error = -1;
		if (sys3(__NR_ioctl, listener, SECCOMP_IOCTL_NOTIF_SEND, &told) < 0)
			leave(90);
	}
	for (;;)
		sys1(__NR_exit, 0);
}

static int ask(void)
{
	unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			      CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
	long fd;

	tid = 1;
	if (raw_clone(flags, stack + sizeof(stack), (int *)&tid, answer, 0) < 0)
		return 95;
	fd = filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	if (fd < 0)
		return 98;
	listener = (int)fd;
	return 0;
}

static int entry(int argc, char **argv)
{
	unsigned int verdict = SECCOMP_RET_ALLOW;
	int failed = 0;

	if (argc < 2)
		return 94;
	repeat(2, __NR_getppid);
	if (same(argv[1], "log"))
		verdict = SECCOMP_RET_LOG;
	else if (same(argv[1], "errno"))
		verdict = SECCOMP_RET_ERRNO | 1;
	else if (same(argv[1], "trap"))
		verdict = SECCOMP_RET_TRAP;
	else if (same(argv[1], "trace"))
		verdict = SECCOMP_RET_TRACE;
	else if (same(argv[1], "killthread"))
		verdict = SECCOMP_RET_KILL_THREAD;
	else if (same(argv[1], "killprocess"))
		verdict = SECCOMP_RET_KILL_PROCESS;
	goes_on = same(argv[1], "continue");
	if (same(argv[1], "trap") && raw_sigaction(SIGSYS_, handler, 0))
		return 93;
	if (goes_on || same(argv[1], "deny"))
		failed = ask();
	else if (filter(verdict, 0))
		failed = 98;
	if (failed)
		return failed;
	repeat(3, __NR_getuid);
	/* The kernel clears the word after the other thread's last call. */
	while (tid)
		pause_cpu();
	repeat(2, __NR_getgid);
	return 0;
}
