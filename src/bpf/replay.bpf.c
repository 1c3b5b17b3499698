// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The detector without hooks: made-up threads, made-up time, the same code. */

static __always_inline struct ebph_task *replay__task(u32 task)
{
	return bpf_map_lookup_elem(&replay_tasks, &task);
}

static __always_inline void replay__flush(struct ebph_task *ts)
{
	struct ebph_profile *p = profile_at(ts->slot);

	if (p)
		task__flush(ts, p);
}

static __always_inline void replay__ended(struct ebph_task *ts)
{
	struct ebph_profile *p = profile_at(ts->slot);

	if (p)
		p->ended += 1;
}

__noinline int replay__call(const struct ebph_replay_op *op, struct ebph_task *ts,
			    struct ebph_verdict *v, u32 batch)
{
	struct ebph_call *c;
	struct ebph_profile *p;
	u32 did = 0;
	u64 epochs;

	if (!op || !ts || !v)
		return 0;
	p = profile_at(ts->slot);
	if (!p)
		return 0;
	c = &ts->call;
	if (ts->depth || ts->restart)
		did = frame__settle(ts, op->sp, op->symbol);
	v->did = did;
	if (did & EBPH_DID_RESTART)
		return 0;
	epochs = p->epochs;
	if (ts->epochs != epochs)
		task__catch_up(ts, epochs);
	/* With a batch of one no call is an ordinary one. */
	if (!symbol__is_sigreturn(op->symbol) && profile__is_calm(p, ts, batch) &&
	    (profile__again(ts, op->symbol) || profile__quick(p, ts, op->symbol))) {
		v->did |= EBPH_DID_RECORD;
		return 0;
	}
	c->now = op->now;
	c->did = did;
	c->anomalies = 0;
	profile__observe(p, ts, op->symbol, ts->slot, batch);
	if (!(c->did & EBPH_DID_IGNORE)) {
		if (symbol__is_sigreturn(op->symbol))
			c->did |= frame__pop(ts);
		v->novel = c->novel;
		v->missed = c->missed;
		v->id = c->id;
		v->lfc = c->lfc;
		v->anomalies = c->anomalies;
	}
	v->did = c->did;
	return 0;
}

static __always_inline void replay__signal(const struct ebph_replay_op *op, struct ebph_task *ts,
					   struct ebph_verdict *v)
{
	struct delivery s = {
		.sp = op->sp,
		.alt_lo = op->alt_lo,
		.alt_hi = op->alt_hi,
		.handled = op->flag & 1,
		.in_call = op->flag & 2,
	};

	if (op->symbol != EBPH_SYMBOL_NONE)
		s.restart = op->symbol + 1;
	v->did = frame__push(ts, &s);
}

static int replay__step(u32 i, struct ebph_replay *run)
{
	struct ebph_replay_op *op = bpf_map_lookup_elem(&replay_ops, &i);
	struct ebph_verdict *v = bpf_map_lookup_elem(&replay_verdicts, &i);
	struct ebph_task *ts, *other;
	struct ebph_profile *p;

	if (!op || !v)
		return 1;
	__builtin_memset(v, 0, sizeof(*v));
	ts = replay__task(op->task);
	if (!ts)
		return 1;
	switch (op->kind) {
	case EBPH_REPLAY_CALL:
		replay__call(op, ts, v, run->batch);
		break;
	case EBPH_REPLAY_FORK:
		other = replay__task(op->other);
		if (other && profile_at(ts->slot))
			task__fork(ts, other, op->flag & 1);
		break;
	case EBPH_REPLAY_EXEC:
		p = profile_at(op->other);
		if (!p)
			break;
		replay__flush(ts);
		replay__ended(ts);
		task__bind(ts, p, op->other);
		ts->flags &= ~EBPH_TASK_UNCERTAIN;
		p->execs += 1;
		break;
	case EBPH_REPLAY_EXIT:
		replay__flush(ts);
		replay__ended(ts);
		task__unbind(ts);
		break;
	case EBPH_REPLAY_SIGNAL:
		if (profile_at(ts->slot))
			replay__signal(op, ts, v);
		break;
	case EBPH_REPLAY_COMMAND:
		v->result = profile__command(op->flag, op->other, op->now, &v->did);
		if (v->result)
			v->did = 0;
		break;
	}
	return 0;
}

static int replay__open(u32 i, void *unused)
{
	struct ebph_profile *p = profile_at(i);

	if (!p)
		return 1;
	p->state = EBPH_LIVE;
	p->generation = 1;
	p->symbol[0] = EBPH_SYMBOL_NONE;
	p->symbol[EBPH_ID_OTHER] = EBPH_SYMBOL_NONE;
	return 0;
}

static int replay__unbind(u32 i, void *unused)
{
	struct ebph_task *ts = replay__task(i);

	if (!ts)
		return 1;
	task__unbind(ts);
	return 0;
}

SEC("syscall")
int ebph_replay(struct ebph_replay *run)
{
	struct ebph_replay copy = { .count = run->count, .batch = run->batch };

	if (run->profiles) {
		bpf_loop(run->profiles, replay__open, NULL, 0);
		bpf_loop(EBPH_REPLAY_TASKS, replay__unbind, NULL, 0);
	}
	bpf_loop(copy.count, replay__step, &copy, 0);
	return 0;
}
