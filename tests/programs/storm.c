/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storms that end by themselves: each has a count that it never passes.
 *
 * storm forks N K     a fork bomb: every process forks as often as it can, until N
 *                     were made in all; each of them makes K getppid calls first.
 *                     1 mmap, N clones, N wait4, N * K getppid, N + 1 exit_group.
 * storm limited L N   N attempts to fork, of which those beyond the limit of L processes for
 *                     this user fail; then the others end. With S that succeed: 1 prlimit64,
 *                     1 mmap, N clones, S + 1 futex, S wait4, S + 1 exit_group; ends with S.
 * storm refused N     a fork that fails, since this user may have no other process; when a
 *                     byte was read, N getppid. 1 prlimit64, 1 clone, 1 read, 1 exit_group.
 * storm threads N M K N threads one after the other, up to M at once, that make K
 *                     getppid calls each. N clones, N * K getppid, N exit, 1 exit_group.
 * storm held N        N threads that wait, while the leader reads a byte. N clones,
 *                     N futex, 1 read, 1 exit_group.
 * storm execs DIR N   executes DIR/0 to DIR/N-1, each in a child, and has each end with
 *                     status 7. N clones, N execve, N wait4, 1 exit_group besides.
 *
 * Ends with 0 if all went well.
 */
#include "raw.h"

#define SIGCHLD_FLAG 17
#define MOST 256
#define STACK 4096

static char stacks[MOST][STACK] __attribute__((aligned(16)));
static volatile int tids[MOST];
static unsigned long calls;

struct shared {
	unsigned long made;
	unsigned long failed;
	volatile int go;
};

static struct shared *share(void)
{
	/* PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS */
	return (struct shared *)sys6(__NR_mmap, 0, 4096, 3, 0x21, -1, 0);
}

static int forks(unsigned long most)
{
	struct shared *shared = share();
	unsigned long children = 0;

	while (__atomic_fetch_add(&shared->made, 1, __ATOMIC_RELAXED) < most) {
		long child = sys6(__NR_clone, SIGCHLD_FLAG, 0, 0, 0, 0, 0);

		if (child < 0) {
			__atomic_fetch_add(&shared->failed, 1, __ATOMIC_RELAXED);
			break;
		}
		children++;
		if (child == 0) {
			children = 0;
			repeat(calls, __NR_getppid);
		}
	}
	while (children--)
		if (sys4(__NR_wait4, -1, 0, 0, 0) < 0)
			__atomic_fetch_add(&shared->failed, 1, __ATOMIC_RELAXED);
	return shared->failed != 0;
}

static int limited(unsigned long limit, unsigned long attempts)
{
	unsigned long both[2] = { limit, limit };
	struct shared *shared = share();
	unsigned long children = 0;

	/* RLIMIT_NPROC */
	if (sys4(__NR_prlimit64, 0, 6, both, 0))
		return 0;
	for (unsigned long i = 0; i < attempts; i++) {
		long child = sys6(__NR_clone, SIGCHLD_FLAG, 0, 0, 0, 0, 0);

		if (child == 0) {
			/* FUTEX_WAIT while it is 0 */
			sys4(__NR_futex, &shared->go, 0, 0, 0);
			leave(0);
		}
		children += child > 0;
	}
	shared->go = 1;
	/* FUTEX_WAKE */
	sys4(__NR_futex, &shared->go, 1, attempts, 0);
	for (unsigned long i = 0; i < children; i++)
		sys4(__NR_wait4, -1, 0, 0, 0);
	return (int)children;
}

static int refused(void)
{
	unsigned long none[2] = { 0, 0 };
	char byte;

	/* RLIMIT_NPROC */
	if (sys4(__NR_prlimit64, 0, 6, none, 0))
		return 90;
	if (sys6(__NR_clone, SIGCHLD_FLAG, 0, 0, 0, 0, 0) >= 0)
		return 91;
	if (sys3(__NR_read, 0, &byte, 1) != 1)
		return 92;
	repeat(calls, __NR_getppid);
	return 0;
}

static void work(void *unused)
{
	(void)unused;
	repeat(calls, __NR_getppid);
	for (;;)
		sys1(__NR_exit, 0);
}

static void hold(void *unused)
{
	int never = 0;

	(void)unused;
	/* FUTEX_WAIT for what nobody wakes; arm64 has no pause(2). */
	for (;;)
		sys4(__NR_futex, &never, 0, 0, 0);
}

static void start(unsigned long at, void (*run)(void *))
{
	unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			      CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;

	tids[at] = 1;
	if (raw_clone(flags, stacks[at] + STACK, (int *)&tids[at], run, 0) < 0)
		leave(95);
}

static int threads(unsigned long all, unsigned long most)
{
	for (unsigned long i = 0; i < all; i++) {
		/* The kernel clears the word after the thread's last call. */
		while (tids[i % most])
			pause_cpu();
		start(i % most, work);
	}
	for (unsigned long i = 0; i < most; i++)
		while (tids[i])
			pause_cpu();
	return 0;
}

static int execs(const char *directory, unsigned long count)
{
	static char path[4096];
	unsigned long length = 0, failed = 0;
	char *args[] = { path, 0 };
	char *none[] = { 0 };

	while (directory[length] && length < sizeof(path) - 32) {
		path[length] = directory[length];
		length++;
	}
	path[length++] = '/';
	for (unsigned long i = 0; i < count; i++) {
		char digits[24];
		int at = 0, ended = 0;
		unsigned long rest = i, end = length;
		long child;

		do
			digits[at++] = (char)('0' + rest % 10);
		while (rest /= 10);
		while (at)
			path[end++] = digits[--at];
		path[end] = 0;
		child = sys6(__NR_clone, CLONE_VM | CLONE_VFORK | SIGCHLD_FLAG, 0, 0, 0, 0, 0);
		if (child == 0) {
			sys3(__NR_execve, path, args, none);
			leave(96);
		}
		if (sys4(__NR_wait4, child, &ended, 0, 0) != child || ended != 7 << 8)
			failed++;
	}
	return failed != 0;
}

static int entry(int argc, char **argv)
{
	unsigned long count, most;
	const char *text;
	char byte;

	if (argc < 3)
		return 94;
	text = argv[2];
	if (same(argv[1], "held")) {
		count = number(&text);
		if (count > MOST)
			return 93;
		for (unsigned long i = 0; i < count; i++)
			start(i, hold);
		return sys3(__NR_read, 0, &byte, 1) == 1 ? 0 : 92;
	}
	if (same(argv[1], "refused")) {
		calls = number(&text);
		return refused();
	}
	if (argc < 4)
		return 94;
	if (same(argv[1], "execs")) {
		text = argv[3];
		return execs(argv[2], number(&text));
	}
	count = number(&text);
	text = argv[3];
	most = number(&text);
	if (same(argv[1], "limited"))
		return limited(count, most);
	if (same(argv[1], "forks")) {
		calls = most;
		return forks(count);
	}
	if (argc < 5 || !most || most > MOST)
		return 93;
	text = argv[4];
	calls = number(&text);
	return threads(count, most);
}
