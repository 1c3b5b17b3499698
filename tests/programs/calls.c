/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes the calls that its arguments spell, then exit_group(0).
 *
 *   N  NxK     system call N, all arguments 0, once or K times
 *   iN iNxK    the same through int 0x80 (x86-64 only)
 *   xN         the same with the x32 bit
 *   r          read one byte from standard input (waits for it)
 *   w          write one byte to standard output
 *   e/PATH     execve PATH without arguments; goes on if it fails
 *   sN         from now on seccomp refuses call N with EPERM (one call)
 *   lN         the next arguments up to "." are repeated N times
 *   qN         exit_group(N) at the end instead of 0
 *   kN         raise signal N at itself (getpid, kill: two calls)
 *   /... ./... ignored: a script's own path, when this is its interpreter
 */
#include "raw.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

#define X32_BIT 0x40000000

static int status;

static void compat(unsigned long call)
{
#if defined(__x86_64__)
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(call), "b"(0L), "c"(0L), "d"(0L), "S"(0L), "D"(0L)
			 : "r8", "r9", "r10", "r11", "memory");
#else
	(void)call;
	leave(99);
#endif
}

static void refuse(unsigned int call)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		leave(98);
}

static void one(char *argument)
{
	const char *text = argument;
	char kind = *text;
	unsigned long call, times = 1;
	char *none[] = { 0 };
	char byte = '.';

	if (kind == 'r') {
		if (sys3(__NR_read, 0, &byte, 1) < 0)
			leave(97);
		return;
	}
	if (kind == 'w') {
		sys3(__NR_write, 1, &byte, 1);
		return;
	}
	if (kind == '/' || kind == '.')
		return;
	if (kind == 'e') {
		char *args[] = { argument + 1, 0 };

		sys3(__NR_execve, argument + 1, args, none);
		return;
	}
	if (kind < '0' || kind > '9')
		text++;
	call = number(&text);
	if (*text == 'x') {
		text++;
		times = number(&text);
	}
	switch (kind) {
	case 's':
		refuse((unsigned int)call);
		break;
	case 'q':
		status = (int)call;
		break;
	case 'k':
		sys2(__NR_kill, sys0(__NR_getpid), call);
		break;
	case 'i':
		while (times--)
			compat(call);
		break;
	case 'x':
		repeat(times, (long)(call | X32_BIT));
		break;
	default:
		repeat(times, (long)call);
	}
}

static int entry(int argc, char **argv)
{
	int at = 1;

	while (at < argc) {
		const char *text = argv[at] + 1;
		int end = at + 1;

		if (argv[at][0] != 'l') {
			one(argv[at++]);
			continue;
		}
		while (end < argc && !same(argv[end], "."))
			end++;
		for (unsigned long left = number(&text); left; left--)
			for (int i = at + 1; i < end; i++)
				one(argv[i]);
		at = end + 1;
	}
	return status;
}
