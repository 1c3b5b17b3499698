/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk SEED STEPS   STEPS calls in an order that only SEED decides, out of 40
 *                   numbers for which no kernel has a call, then exit_group(0).
 */
#include "raw.h"

#define FIRST 471
#define NUMBERS 40

static int entry(int argc, char **argv)
{
	const char *text;
	unsigned long state, steps;

	if (argc != 3)
		return 99;
	text = argv[1];
	state = number(&text);
	text = argv[2];
	steps = number(&text);
	while (steps--) {
		state = state * 6364136223846793005ul + 1442695040888963407ul;
		sys0(FIRST + (long)((state >> 33) % NUMBERS));
	}
	return 0;
}
