/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Submits operations through an io_uring, with no call besides those named here.
 * Steps are done in their order, and the program ends with exit_group:
 *
 * ring          sets a ring up: io_uring_setup, mmap, mmap
 * sqpoll        the same, for a ring that a thread of the kernel polls, and an
 *               io_uring_enter that wakes it: operations then need no call at all
 * nop:N         N operations in one io_uring_enter that waits for them
 * link:N        likewise, each linked to the next
 * async:N       likewise, left to workers of the kernel
 * op:OPCODE     one with all else zero and no file, whether or not it fails:
 *               io_uring_enter
 * getppid:N     N calls of getppid
 * file:PATH     openat, write, fsync, read, close: each an operation, and an
 *               io_uring_enter
 * unix          socketpair; send, recv, each an operation and an io_uring_enter
 * tcp           an operation each: socket; socket; then, after bind, listen and
 *               getsockname, accept and connect in one io_uring_enter; send, recv,
 *               shutdown
 * multi:N       pipe2; one poll_add; N times write, and io_uring_enter to wait
 * wait          reads a byte from standard input
 * handler       rt_sigaction, getpid, kill; in the handler io_uring_enter, a nop
 *               and rt_sigreturn
 * thread:N      clone; the new thread does nop:1 N times, then exit, while the
 *               first waits without a call
 * exec:PATH     fcntl, execve: that program gets the ring, and the next steps
 * fd:N,...      mmap, mmap: the ring that the program before has set up
 *
 * A path is passed over: a script's, when this is its interpreter. What fails
 * ends the program with the step's number.
 */
#include "raw.h"
#include <linux/fcntl.h>
#include <linux/in.h>
#include <linux/io_uring.h>
#include <linux/mman.h>

#define ENTRIES 64
#define AF_UNIX 1
#define AF_INET 2
#define SOCK_STREAM 1
#define SHUT_RDWR 2
#define POLLIN 1
#define SIGUSR1_ 10
/* Longer than a victim runs: the kernel's thread does not fall asleep again. */
#define IDLE_MS 600000

static struct io_uring_params params;
static struct io_uring_sqe *sqes;
static char *rings;
static int ring_fd, polled, step;
static char buffer[16];
static char stack[16384] __attribute__((aligned(16)));
static volatile int tid;
static unsigned long times;

static void check(int well)
{
	if (!well)
		leave(step);
}

static unsigned int *in_ring(unsigned int offset)
{
	return (unsigned int *)(rings + offset);
}

static void *map(unsigned long size, unsigned long offset)
{
	long at = sys6(__NR_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		       ring_fd, (long)offset);

	check(at > 0 || at < -4095);
	return (void *)at;
}

static void map_ring(void)
{
	unsigned long sq = params.sq_off.array + params.sq_entries * sizeof(int);
	unsigned long cq = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);

	rings = map(sq > cq ? sq : cq, IORING_OFF_SQ_RING);
	sqes = map(params.sq_entries * sizeof(*sqes), IORING_OFF_SQES);
}

static void ring(unsigned int flags)
{
	params.flags = flags;
	params.sq_thread_idle = IDLE_MS;
	polled = flags != 0;
	ring_fd = (int)sys2(__NR_io_uring_setup, ENTRIES, &params);
	check(ring_fd >= 0 && params.features & IORING_FEAT_SINGLE_MMAP);
	map_ring();
	if (!polled)
		return;
	/* It falls asleep when it has looked at the queue for the first time; once woken
	 * it looks for as long as was asked for. */
	while (!(__atomic_load_n(in_ring(params.sq_off.flags), __ATOMIC_ACQUIRE) &
		 IORING_SQ_NEED_WAKEUP))
		pause_cpu();
	check(sys6(__NR_io_uring_enter, ring_fd, 0, 0, IORING_ENTER_SQ_WAKEUP, 0, 0) >= 0);
}

/* The next place of the queue, wiped. */
static struct io_uring_sqe *prepare(int opcode, int fd)
{
	unsigned int *tail = in_ring(params.sq_off.tail), at = *tail & (ENTRIES - 1);
	volatile char *bytes = (volatile char *)&sqes[at];

	for (unsigned long i = 0; i < sizeof(*sqes); i++)
		bytes[i] = 0;
	sqes[at].opcode = (unsigned char)opcode;
	sqes[at].fd = fd;
	in_ring(params.sq_off.array)[at] = at;
	return &sqes[at];
}

static void queue(void)
{
	unsigned int *tail = in_ring(params.sq_off.tail);

	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
}

/* Takes `count` completions that are there; the result of the last one. */
static int reap(unsigned int count)
{
	struct io_uring_cqe *cqes = (struct io_uring_cqe *)(rings + params.cq_off.cqes);
	unsigned int *head = in_ring(params.cq_off.head);
	int result = 0;

	while (count--) {
		while (__atomic_load_n(in_ring(params.cq_off.tail), __ATOMIC_ACQUIRE) == *head)
			pause_cpu();
		result = cqes[*head & (params.cq_entries - 1)].res;
		__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	}
	return result;
}

static int enter(unsigned int submit, unsigned int complete)
{
	if (!polled)
		check(sys6(__NR_io_uring_enter, ring_fd, submit, complete, IORING_ENTER_GETEVENTS,
			   0, 0) == (long)submit);
	return reap(complete);
}

static int submit(void)
{
	queue();
	return enter(1, 1);
}

static void nops(unsigned int count, unsigned char flags)
{
	for (unsigned int i = 0; i < count; i++) {
		/* The last one's link would be to what comes later. */
		prepare(IORING_OP_NOP, -1)->flags =
			flags == IOSQE_IO_LINK && i + 1 == count ? 0 : flags;
		queue();
	}
	check(enter(count, count) == 0);
}

static int transfer(int opcode, int fd, int length)
{
	struct io_uring_sqe *sqe = prepare(opcode, fd);

	sqe->addr = (unsigned long)buffer;
	sqe->len = (unsigned int)length;
	return submit();
}

static void file(const char *path)
{
	struct io_uring_sqe *sqe = prepare(IORING_OP_OPENAT, AT_FDCWD);
	int fd;

	sqe->addr = (unsigned long)path;
	sqe->open_flags = O_RDWR | O_CREAT;
	sqe->len = 0600;
	fd = submit();
	check(fd >= 0);
	check(transfer(IORING_OP_WRITE, fd, 4) == 4);
	prepare(IORING_OP_FSYNC, fd);
	check(submit() == 0);
	check(transfer(IORING_OP_READ, fd, 4) == 4);
	prepare(IORING_OP_CLOSE, fd);
	check(submit() == 0);
}

static void pair_of_sockets(void)
{
	int ends[2];

	check(sys4(__NR_socketpair, AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	check(transfer(IORING_OP_SEND, ends[0], 4) == 4);
	check(transfer(IORING_OP_RECV, ends[1], 4) == 4);
}

static int new_socket(void)
{
	struct io_uring_sqe *sqe = prepare(IORING_OP_SOCKET, AF_INET);
	int fd;

	sqe->off = SOCK_STREAM;
	fd = submit();
	check(fd >= 0);
	return fd;
}

static void tcp(void)
{
	static struct sockaddr_in at;
	int listener = new_socket(), client = new_socket(), size = sizeof(at), server;
	struct io_uring_sqe *sqe;

	at.sin_family = AF_INET;
	at.sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK);
	check(sys3(__NR_bind, listener, &at, sizeof(at)) == 0);
	check(sys2(__NR_listen, listener, 1) == 0);
	check(sys3(__NR_getsockname, listener, &at, &size) == 0);
	sqe = prepare(IORING_OP_ACCEPT, listener);
	sqe->user_data = 1;
	queue();
	sqe = prepare(IORING_OP_CONNECT, client);
	sqe->addr = (unsigned long)&at;
	sqe->off = sizeof(at);
	queue();
	enter(2, 2);
	/* The two completions come in any order; the newest descriptor is the server's. */
	server = client + 1;
	check(transfer(IORING_OP_SEND, client, 4) == 4);
	check(transfer(IORING_OP_RECV, server, 4) == 4);
	sqe = prepare(IORING_OP_SHUTDOWN, client);
	sqe->len = SHUT_RDWR;
	check(submit() == 0);
}

static void many_completions(unsigned int count)
{
	struct io_uring_sqe *sqe;
	int ends[2];

	check(sys2(__NR_pipe2, ends, O_NONBLOCK) == 0);
	sqe = prepare(IORING_OP_POLL_ADD, ends[0]);
	sqe->poll32_events = POLLIN;
	sqe->len = IORING_POLL_ADD_MULTI;
	queue();
	enter(1, 0);
	while (count--) {
		check(sys3(__NR_write, ends[1], buffer, 1) == 1);
		check(enter(0, 1) > 0);
	}
}

static void on_signal(int signal)
{
	(void)signal;
	nops(1, 0);
}

static void in_thread(void *unused)
{
	(void)unused;
	while (times--)
		nops(1, 0);
	for (;;)
		sys1(__NR_exit, 0);
}

static void thread(void)
{
	unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			      CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;

	tid = 1;
	check(raw_clone(flags, stack + sizeof(stack), (int *)&tid, in_thread, 0) > 0);
	while (tid)
		pause_cpu();
}

/* Where things are in a ring: the next program cannot ask for it. */
static unsigned int *const layout[] = {
	&params.sq_entries,  &params.cq_entries,  &params.sq_off.tail, &params.sq_off.array,
	&params.cq_off.head, &params.cq_off.tail, &params.cq_off.cqes,
};
#define LAYOUT (sizeof(layout) / sizeof(layout[0]))

static char *spell(char *to, unsigned int value)
{
	char digits[10];
	int count = 0;

	do
		digits[count++] = (char)('0' + value % 10);
	while (value /= 10);
	while (count)
		*to++ = digits[--count];
	return to;
}

static void become(char *path, char **steps)
{
	static char *none[1], *args[32];
	static char text[128] = "fd:";
	char *at = spell(text + 3, (unsigned int)ring_fd);
	int count = 0;

	check(sys3(__NR_fcntl, ring_fd, F_SETFD, 0) == 0);
	for (unsigned long i = 0; i < LAYOUT; i++) {
		*at++ = ',';
		at = spell(at, *layout[i]);
	}
	args[count++] = path;
	args[count++] = text;
	while (*steps && count < 31)
		args[count++] = *steps++;
	sys3(__NR_execve, path, args, none);
	check(0);
}

static void inherit(const char *text)
{
	ring_fd = (int)number(&text);
	for (unsigned long i = 0; i < LAYOUT && *text++ == ','; i++)
		*layout[i] = (unsigned int)number(&text);
	map_ring();
}

/* "name:rest": the rest; else 0. */
static char *after(char *text, const char *name)
{
	while (*name)
		if (*text++ != *name++)
			return 0;
	return text;
}

static int entry(int argc, char **argv)
{
	for (step = 1; step < argc; step++) {
		const char *text;
		char *rest, byte;

		if (same(argv[step], "ring"))
			ring(0);
		else if (same(argv[step], "sqpoll"))
			ring(IORING_SETUP_SQPOLL);
		else if (same(argv[step], "unix"))
			pair_of_sockets();
		else if (same(argv[step], "tcp"))
			tcp();
		else if (same(argv[step], "wait"))
			check(sys3(__NR_read, 0, &byte, 1) == 1);
		else if (same(argv[step], "handler")) {
			check(raw_sigaction(SIGUSR1_, on_signal, 0) == 0);
			check(sys2(__NR_kill, sys0(__NR_getpid), SIGUSR1_) == 0);
		} else if ((rest = after(argv[step], "file:")))
			file(rest);
		else if ((rest = after(argv[step], "exec:")))
			become(rest, argv + step + 1);
		else if ((text = rest = after(argv[step], "nop:")))
			nops((unsigned int)number(&text), 0);
		else if ((text = rest = after(argv[step], "link:")))
			nops((unsigned int)number(&text), IOSQE_IO_LINK);
		else if ((text = rest = after(argv[step], "async:")))
			nops((unsigned int)number(&text), IOSQE_ASYNC);
		else if ((text = rest = after(argv[step], "multi:")))
			many_completions((unsigned int)number(&text));
		else if ((text = rest = after(argv[step], "getppid:")))
			repeat(number(&text), __NR_getppid);
		else if ((rest = after(argv[step], "fd:")))
			inherit(rest);
		else if ((text = rest = after(argv[step], "op:"))) {
			prepare((int)number(&text), -1);
			submit();
		} else if ((text = rest = after(argv[step], "thread:"))) {
			times = number(&text);
			thread();
		} else if (argv[step][0] != '/')
			return 99;
	}
	return 0;
}
