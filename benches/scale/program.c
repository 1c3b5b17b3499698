/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has a profile of its own for each copy of its file: takes orders from standard
 * input, and passes each on to standard output once it was carried out. So copies make a
 * ring, or all answer into one pipe.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

struct order {
	uint32_t kinds; /* so many different calls, once each */
	uint32_t calls; /* then so many of the same */
};

/* Calls that do nothing without a file. */
static const long idle[] = {
	SYS_fstat,
	SYS_lseek,
	SYS_close,
	SYS_dup,
	SYS_pread64,
	SYS_pwrite64,
	SYS_readv,
	SYS_writev,
	SYS_fsync,
	SYS_fdatasync,
	SYS_ftruncate,
	SYS_fchdir,
	SYS_fchmod,
	SYS_fchown,
	SYS_flock,
	SYS_getdents64,
	SYS_ioctl,
	SYS_fcntl,
	SYS_preadv,
	SYS_pwritev,
	SYS_connect,
	SYS_accept,
	SYS_bind,
	SYS_listen,
	SYS_sendto,
	SYS_recvfrom,
	SYS_getsockname,
	SYS_getpeername,
	SYS_shutdown,
	SYS_setsockopt,
	SYS_getsockopt,
	SYS_sendmsg,
	SYS_recvmsg,
	SYS_accept4,
	SYS_fallocate,
	SYS_epoll_ctl,
	SYS_readahead,
	SYS_fsetxattr,
	SYS_fgetxattr,
	SYS_flistxattr,
	SYS_fremovexattr,
	SYS_fstatfs,
	SYS_syncfs,
	SYS_tee,
	SYS_vmsplice,
	SYS_dup3,
	SYS_sendfile,
	SYS_fadvise64,
	SYS_inotify_rm_watch,
	SYS_timerfd_gettime,
	SYS_getpid,
	SYS_getuid,
	SYS_geteuid,
	SYS_getgid,
	SYS_getegid,
	SYS_gettid,
	SYS_timerfd_settime,
	SYS_sync_file_range,
	SYS_inotify_add_watch,
	SYS_recvmmsg,
};

enum {
	IDLE = sizeof(idle) / sizeof(idle[0]),
	/* Above every call that a kernel has; 40 of these are told apart. */
	FIRST_STRANGE = 471,
};

static void make(uint32_t kind)
{
	long call = kind < IDLE ? idle[kind] : FIRST_STRANGE + (kind - IDLE);

	syscall(call, -1, 0, 0, 0, 0, 0);
}

int main(void)
{
	struct order order;

	while (read(STDIN_FILENO, &order, sizeof(order)) == sizeof(order)) {
		for (uint32_t i = 0; i < order.kinds; i++)
			make(i);
		for (uint32_t i = 0; i < order.calls; i++)
			syscall(SYS_getppid);
		if (write(STDOUT_FILENO, &order, sizeof(order)) != sizeof(order))
			return 1;
	}
	return 0;
}
