/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program with a secret: it greets, and with any argument it says one thing
 * more first. On a terminal each line is a write(2) of its own.
 */
#include <stdio.h>

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		printf("The back door is open.\n");
	printf("Hello.\n");
	return 0;
}
