/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * headless PATH ARG... The first thread ends; then another one runs PATH and waits for it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char **command;

/* Whether the first thread has ended: its state is the field behind the name in parentheses. */
static int is_over(void)
{
	char text[512];
	char *at;
	ssize_t length;
	int fd = open("/proc/self/stat", O_RDONLY);

	if (fd < 0)
		_exit(99);
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length < 0)
		_exit(98);
	text[length] = 0;
	at = strrchr(text, ')');
	return at && at[2] == 'Z';
}

static void *run(void *unused)
{
	int status = 0;
	pid_t child;

	(void)unused;
	while (!is_over())
		usleep(1000);
	child = fork();
	if (child < 0)
		_exit(97);
	if (!child) {
		execv(command[0], command);
		_exit(96);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		_exit(95);
	_exit(WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc < 2)
		return 94;
	command = argv + 1;
	if (pthread_create(&thread, NULL, run, NULL))
		return 93;
	pthread_exit(NULL);
}
