/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Signal frames: windows kept aside while handlers run (thesis 3.5.3). */
#ifndef EBPH_FRAME_BPF_H
#define EBPH_FRAME_BPF_H

enum { DEPTH_MAX = 0xffff };

/* What a signal found, as far as the algorithm cares. */
struct delivery {
	u64 sp; /* of the interrupted code; all ones if the handler gets another stack */
	u64 alt_lo, alt_hi; /* the alternate stack the handler runs on; 0, 0: none */
	u32 handled;        /* a function of the program runs */
	u32 in_call;        /* it interrupted a system call */
	u32 restart;        /* in_call: 1 + the symbol to be issued again; 0: it is not */
};

/* A kept frame; the mask is for the verifier, the callers have checked. */
static __always_inline struct ebph_signal_frame *frame__at(struct ebph_task *ts, u32 depth)
{
	opaque(depth);
	return &ts->frames[depth & (EBPH_SIGNAL_FRAMES - 1)];
}

static __always_inline u32 frame__push(struct ebph_task *ts, const struct delivery *s)
{
	u32 restart = s->in_call ? s->restart : ts->restart;
	u32 did = EBPH_DID_PUSH_DEEP;

	if (!s->handled) {
		ts->restart = restart;
		return 0;
	}
	if (ts->depth < EBPH_SIGNAL_FRAMES) {
		struct ebph_signal_frame *f = frame__at(ts, ts->depth);

		f->window = ts->window;
		f->sp = s->sp;
		f->alt_lo = s->alt_lo;
		f->alt_hi = s->alt_hi;
		f->restart = restart;
		did = EBPH_DID_PUSH;
	}
	if (ts->depth < DEPTH_MAX)
		ts->depth += 1;
	ts->window = 0;
	ts->restart = 0;
	return did;
}

/* rt_sigreturn, after it was recorded in the handler's window. */
__noinline int frame__pop(struct ebph_task *ts)
{
	struct ebph_signal_frame *f;

	if (!ts)
		return 0;
	if (!ts->depth)
		return EBPH_DID_UNBALANCED;
	ts->depth -= 1;
	if (ts->depth >= EBPH_SIGNAL_FRAMES) {
		ts->window = 0;
		ts->restart = 0;
		return EBPH_DID_POP | EBPH_DID_POP_DEEP;
	}
	f = frame__at(ts, ts->depth);
	ts->window = f->window;
	ts->restart = f->restart;
	return EBPH_DID_POP;
}

/*
 * Before a call while a handler runs or a restart is due. A handler left by
 * siglongjmp shows in the stack pointer: a call from at or above the code that
 * the signal interrupted cannot come from the handler. What this misses: a next
 * call from deeper down, and programs that switch stacks by themselves.
 */
__noinline int frame__settle(struct ebph_task *ts, u64 sp, u32 symbol)
{
	u32 did = 0, restart, depth;
	int i;

	if (!ts)
		return 0;
	depth = ts->depth;
	for (i = 0; i < EBPH_SIGNAL_FRAMES; i++) {
		struct ebph_signal_frame *f;

		if (!depth)
			break;
		/* Of frames that were not kept the last one kept knows most. */
		if (depth > EBPH_SIGNAL_FRAMES)
			depth = EBPH_SIGNAL_FRAMES;
		f = frame__at(ts, depth - 1);
		if (sp < f->sp && (!f->alt_hi || (sp >= f->alt_lo && sp < f->alt_hi)))
			break;
		depth -= 1;
		ts->depth = depth;
		ts->window = f->window;
		ts->restart = 0;
		ts->flags |= EBPH_TASK_UNCERTAIN;
		did |= EBPH_DID_DROP_FRAME;
	}
	restart = ts->restart;
	ts->restart = 0;
	if (restart && restart == symbol + 1)
		did |= EBPH_DID_RESTART;
	return did;
}

#endif
