/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Root of a monitored tree: runs what it is told to, one request a line on
 * standard input, one answer a line on standard output. Fields are separated
 * by the byte 0x1f.
 *
 *   start [OPTION...] -- PROGRAM [ARG...]    "ok PID" or "err ERRNO"
 *   wait PID                                 "ok STATUS" as of waitpid
 *   cgroup DIRECTORY                         moves itself there: "ok 0"
 *
 * Options: in=PATH out=PATH (default /dev/null), uid=N, pid=N (clone3 with set_tid),
 * cgroup=DIRECTORY, memfd=1 (run a copy without a name).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEPARATOR "\x1f"

struct request {
	const char *in, *out, *cgroup;
	long uid, pid;
	int memfd;
	char *argv[64];
};

static void redirect(const char *path, int flags, int fd)
{
	int opened = open(path, flags | O_CLOEXEC);

	if (opened < 0 || dup2(opened, fd) < 0)
		_exit(126);
}

static int join_cgroup(const char *directory)
{
	char path[4096];
	int fd, result;

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	result = write(fd, "0", 1) == 1 ? 0 : -1;
	close(fd);
	return result;
}

static int nameless_copy(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = memfd_create("nameless", MFD_CLOEXEC);

	if (from < 0 || to < 0)
		return -1;
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		;
	close(from);
	return to;
}

static pid_t new_process(long wanted)
{
	pid_t pid = (pid_t)wanted;
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .set_tid = (uintptr_t)&pid,
				   .set_tid_size = 1 };

	return wanted ? (pid_t)syscall(SYS_clone3, &args, sizeof(args)) : fork();
}

static void start(struct request *request)
{
	int told[2], failed = 0;
	pid_t pid;

	if (pipe2(told, O_CLOEXEC) < 0) {
		printf("err %d\n", errno);
		return;
	}
	pid = new_process(request->pid);
	if (pid < 0) {
		printf("err %d\n", errno);
		close(told[0]);
		close(told[1]);
		return;
	}
	if (pid == 0) {
		char *none[] = { NULL };

		redirect(request->in, O_RDONLY, 0);
		redirect(request->out, O_WRONLY | O_NOCTTY, 1);
		if (request->cgroup && join_cgroup(request->cgroup) < 0)
			_exit(126);
		if (request->uid >= 0 && setresuid(request->uid, request->uid, request->uid) < 0)
			_exit(126);
		if (request->memfd)
			fexecve(nameless_copy(request->argv[0]), request->argv, none);
		else
			execve(request->argv[0], request->argv, none);
		failed = errno;
		(void)!write(told[1], &failed, sizeof(failed));
		_exit(127);
	}
	close(told[1]);
	if (read(told[0], &failed, sizeof(failed)) == sizeof(failed)) {
		waitpid(pid, NULL, 0);
		printf("err %d\n", failed);
	} else {
		printf("ok %d\n", pid);
	}
	close(told[0]);
}

static void parse_and_start(void)
{
	struct request request = { .in = "/dev/null", .out = "/dev/null", .uid = -1 };
	size_t count = 0;
	char *field;

	while ((field = strtok(NULL, SEPARATOR)) && strcmp(field, "--")) {
		char *value = strchr(field, '=');

		if (!value)
			continue;
		*value++ = 0;
		if (!strcmp(field, "in"))
			request.in = value;
		else if (!strcmp(field, "out"))
			request.out = value;
		else if (!strcmp(field, "cgroup"))
			request.cgroup = value;
		else if (!strcmp(field, "uid"))
			request.uid = atol(value);
		else if (!strcmp(field, "pid"))
			request.pid = atol(value);
		else if (!strcmp(field, "memfd"))
			request.memfd = 1;
	}
	while (count < 63 && (field = strtok(NULL, SEPARATOR)))
		request.argv[count++] = field;
	if (!count)
		printf("err %d\n", EINVAL);
	else
		start(&request);
}

int main(void)
{
	static char line[65536];
	struct rlimit no_cores = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_cores);
	while (fgets(line, sizeof(line), stdin)) {
		char *verb, *field;
		int status;

		line[strcspn(line, "\n")] = 0;
		verb = strtok(line, SEPARATOR);
		if (!verb)
			continue;
		if (!strcmp(verb, "start")) {
			parse_and_start();
		} else if (!strcmp(verb, "wait") && (field = strtok(NULL, SEPARATOR))) {
			if (waitpid((pid_t)atol(field), &status, 0) < 0)
				printf("err %d\n", errno);
			else
				printf("ok %d\n", status);
		} else if (!strcmp(verb, "cgroup") && (field = strtok(NULL, SEPARATOR))) {
			if (join_cgroup(field) < 0)
				printf("err %d\n", errno);
			else
				printf("ok 0\n");
		} else {
			printf("err %d\n", EINVAL);
		}
		fflush(stdout);
	}
	return 0;
}
