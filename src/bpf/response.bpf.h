/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is done about anomalies besides telling (pH; thesis 5.2.2). Observation
 * comes first: whatever is answered here was learnt and judged before.
 */
#ifndef EBPH_RESPONSE_BPF_H
#define EBPH_RESPONSE_BPF_H

enum {
	SIGKILL_ = 9,
	NS_PER_TICK = 10000000, /* of the clock that /proc tells starts by */
};

/* Who is never answered, whatever it does; nobody is during a pause. */
static __always_inline bool response__never(struct task_struct *task, struct ebph_task *ts)
{
	return (ts->flags & (EBPH_TASK_IN | EBPH_TASK_SELF)) != EBPH_TASK_IN || task->tgid == 1 ||
	       task->tgid == globals.self_tgid || task->flags & PF_KTHREAD_ ||
	       !*(volatile u32 *)&globals.run;
}

/* An interpreter that is exempt is so whatever it runs; a script whatever runs it. */
__noinline int response__exempt(struct ebph_profile *p)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *leader = task->group_leader;
	struct ebph_exempt e = {};

	if (!p)
		return false;
	e.ino = p->key.ino;
	e.dev = p->key.dev;
	e.generation = p->key.generation;
	if (bpf_map_lookup_elem(&exempt, &e))
		return true;
	__builtin_memset(&e, 0, sizeof(e));
	e.script = p->key.script;
	if (e.script && bpf_map_lookup_elem(&exempt, &e))
		return true;
	e.script = 0;
	e.ino = leader->start_boottime / NS_PER_TICK;
	e.dev = task__pid(leader);
	e.process = 1;
	return e.dev && bpf_map_lookup_elem(&exempt, &e);
}

/* A tenant's time of being normal: what was done in another counts no more. */
static __always_inline u32 profile__era(struct ebph_profile *p)
{
	return p->generation << 16 ^ p->period;
}

static __always_inline u32 response__worst(u32 worst, u32 worst_of, struct ebph_profile *p)
{
	return worst_of == profile__era(p) ? worst : 0;
}

/* The process's, and with it that of all who descend from it from now on. */
static __always_inline void response__remember(struct ebph_profile *p, struct ebph_task *ts,
					       struct task_struct *task)
{
	struct process *process;
	u32 worst = response__worst(ts->worst, ts->worst_of, p), of_all;

	if (ts->call.lfc > worst)
		worst = ts->call.lfc;
	ts->worst = worst;
	ts->worst_of = profile__era(p);
	process = process__of(task->group_leader, BPF_LOCAL_STORAGE_GET_F_CREATE);
	/* Its own will do until the next anomaly. */
	if (!process)
		return;
	of_all = response__worst(process->worst, process->worst_of, p);
	process->worst = worst > of_all ? worst : of_all;
	process->worst_of = profile__era(p);
}

static __always_inline bool response__dry(u32 what)
{
	return globals.responses.dry >> what & 1;
}

/* Whether it is the first time that this is, or would be, done to the process. Who
 * meets another thread here is told that it is not, and asks again. */
static __always_inline bool response__first(struct ebph_profile *p, u32 what)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process *process = process__of(task->group_leader, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 told, now, period = p->period << EBPH_RESPONSES;

	if (!process)
		return false;
	told = *(volatile u32 *)&process->told;
	now = told >> EBPH_RESPONSES << EBPH_RESPONSES == period ? told : period;
	now |= 1u << what;
	return now != told && __sync_val_compare_and_swap(&process->told, told, now) == told;
}

/* Does it, or only says so. */
__noinline int response__do(struct ebph_profile *p, struct ebph_task *ts, u32 what, u64 wait)
{
	bool dry = response__dry(what);
	struct ebph_call *c;
	int held = 0;

	if (!p || !ts)
		return false;
	c = &ts->call;

	opaque(what);
	what &= EBPH_RESPONSES - 1;
	if (dry) {
		bool first = response__first(p, what);

		/* Nobody dies twice. */
		if (what == EBPH_RESPONSE_KILL && !first)
			return 0;
		count(would_have[what]);
		/* What it does most must not hide what it does once. */
		if (first ? event__too_many_of_profile(p) : event__too_many(p, ts)) {
			ts->untold += 1;
			return 0;
		}
	} else {
		if (wait)
			held = process__stop(p, c->slot, wait);
		/* An exec whose call is delayed as well is one stop, and longer: it is told of
		 * all the same. */
		if (held && !(held == 1 && what == EBPH_RESPONSE_SUSPEND))
			return 0;
		/* It is shown the signal, or the stop was over before it came to that. */
		if (wait && !held)
			process__note_stop(ts, bpf_get_current_task_btf());
		if (what == EBPH_RESPONSE_KILL && bpf_send_signal(SIGKILL_)) {
			count(unheld);
			return 0;
		}
		count(responses[what]);
		/* A denial costs who is denied nothing, and it may try without end. */
		if (what == EBPH_RESPONSE_DENY && !response__first(p, what) &&
		    event__too_many(p, ts)) {
			ts->untold += 1;
			return true;
		}
	}
	c->response = what;
	c->wait = wait;
	if (event__wanted(EBPH_EVENT_RESPONSE) &&
	    !event__alert(EBPH_EVENT_RESPONSE, dry ? EBPH_WOULD_HAVE : 0, p, c, ts->untold))
		ts->untold = 0;
	return !dry;
}

/* After a call of a thread with anomalies among its last ones was told of. */
__noinline int response__call(struct ebph_profile *p, struct ebph_task *ts)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct ebph_responses *r = &globals.responses;
	u64 wait, unit = r->delay_unit, cap = r->delay_cap;
	struct ebph_call *c;
	u32 kill_at = r->kill_at;
	bool kill, delay;

	if (!p || !ts)
		return 0;
	c = &ts->call;
	if (c->did & EBPH_DID_ANOMALY)
		response__remember(p, ts, task);
	kill = kill_at && c->lfc >= kill_at;
	/* Not for who is dead by then, or would be; but one that is not killed after
	 * all is delayed all the same. */
	delay = unit && !symbol__is_exit(c->symbol) &&
		(!kill ||
		 (response__dry(EBPH_RESPONSE_KILL) && !response__dry(EBPH_RESPONSE_DELAY)));
	if (!kill && !delay)
		return 0;
	/* It may have ceased to be normal by this very call; or is dying already. */
	if (!(profile__state(p) & EBPH_NORMAL) || task->signal->flags & SIGNAL_GROUP_EXIT_ ||
	    response__never(task, ts))
		return 0;
	if (response__exempt(p)) {
		count(exempted);
		return 0;
	}
	c->target = 0;
	if (kill)
		response__do(p, ts, EBPH_RESPONSE_KILL, 0);
	if (!delay)
		return 0;
	wait = cap;
	if (c->lfc < 32 && unit < cap >> c->lfc)
		wait = unit << c->lfc;
	response__do(p, ts, EBPH_RESPONSE_DELAY, wait);
	return 0;
}

/* At an exec that is about to be allowed (DENY), or was made (SUSPEND). True: it
 * is to fail. */
__noinline int response__exec(struct ebph_profile *p, struct ebph_task *ts, u32 what, u64 filename)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 exec_at = globals.responses.exec_at, worst, of_all, id;
	u64 wait = globals.responses.suspend;
	struct process *process;
	struct ebph_call *c;

	if (!p || !ts || !exec_at || (what == EBPH_RESPONSE_SUSPEND) != (wait != 0))
		return false;
	if (!(profile__state(p) & EBPH_NORMAL) || response__never(task, ts))
		return false;
	worst = response__worst(ts->worst, ts->worst_of, p);
	process = process__of(task->group_leader, 0);
	if (process) {
		of_all = response__worst(process->worst, process->worst_of, p);
		if (of_all > worst)
			worst = of_all;
	}
	if (worst < exec_at)
		return false;
	if (response__exempt(p)) {
		count(exempted);
		return false;
	}
	/* The exec itself was recorded last; what the scratch says of it may be of an
	 * earlier call, since an ordinary one does not touch that. */
	c = &ts->call;
	id = ts->window & 0xff;
	c->symbol = p->symbol[id] == EBPH_SYMBOL_NONE ? EBPH_SYMBOL_UNKNOWN : p->symbol[id];
	c->window = ts->window >> 8;
	c->slot = ts->slot;
	c->missed = 0;
	c->lfc = ts->lfc;
	c->max_lfc = worst;
	c->target = filename;
	return response__do(p, ts, what, wait);
}

/* A fork launders nothing, onto whichever stack: posix_spawn needs a new one. */
static __always_inline void response__fork(struct task_struct *parent, struct task_struct *child,
					   struct ebph_task *to)
{
	struct process *process = process__of(parent->group_leader, 0);

	if (process) {
		to->worst = process->worst;
		to->worst_of = process->worst_of;
	}
	if (parent->tgid != child->tgid)
		to->stops_seen = 0;
}

/* A thread that executes something becomes its process's first one, and the one
 * that was it ends for that. */
static __always_inline void process__hand_over(struct task_struct *leader)
{
	struct task_struct *next = leader->signal->group_exec_task;
	struct process *from = process__of(leader, 0), *to;

	if (!from || !next || next == leader)
		return;
	to = process__of(next, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!to) {
		count(failed_storage);
		return;
	}
	to->held = from->held;
	to->stops = from->stops;
	to->worst = from->worst;
	to->worst_of = from->worst_of;
	to->told = from->told;
}

/* What it is from now on has done nothing yet. */
static __always_inline void process__forgive(struct task_struct *task)
{
	struct process *process = process__of(task->group_leader, 0);

	if (process) {
		process->worst = 0;
		process->told = 0;
	}
}

#endif
