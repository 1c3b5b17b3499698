/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Events: what is sent, to say what, and when not to. */
#ifndef EBPH_EVENT_BPF_H
#define EBPH_EVENT_BPF_H

enum {
	NS_PER_SEC = 1000000000,
	TOLD_SLOTS = 1,
	TOLD_ROWS = 2,
};

__noinline int event__actor(struct ebph_actor *a)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct cred *cred = task->cred;
	struct task_struct *leader = task->group_leader;

	if (!a)
		return 0;
	a->start = leader->start_boottime;
	a->cgroup_id = bpf_get_current_cgroup_id();
	a->pid = task__pid(leader);
	a->tid = task__pid(task);
	a->ppid = task__pid(BPF_CORE_READ(leader, real_parent, group_leader));
	a->uid = cred->uid.val;
	a->euid = cred->euid.val;
	a->gid = cred->gid.val;
	a->egid = cred->egid.val;
	a->pad = 0;
	if (bpf_get_current_comm(a->comm, sizeof(a->comm)))
		count(failed_read);
	return 0;
}

__noinline int event__view(struct ebph_view *v, struct ebph_profile *p, u32 slot)
{
	u64 state;

	if (!v || !p)
		return 0;
	state = profile__state(p);
	v->key = p->key;
	v->train_count = p->train_count;
	v->last_mod_count = p->last_mod_count;
	v->sequences = state >> 8;
	v->anomalies = p->anomalies;
	v->normal_time = p->normal_time;
	v->created = p->created;
	v->basis = p->basis & ~EBPH_BASIS_OVER;
	v->execs = p->execs;
	v->state = state & EBPH_STATE_MASK;
	v->flags = p->flags;
	v->slot = slot;
	v->generation = p->generation;
	return 0;
}

static __always_inline bool event__wanted(u32 kind)
{
	return globals.limits.event_mask >> kind & 1;
}

static __always_inline void event__sent(bool failed)
{
	count(submitted);
	if (!failed)
		return;
	count(ring_lost);
	__sync_fetch_and_add(&globals.pool.lost, 1);
}

/* Whether the ring has room for a record just now. */
static __always_inline bool event__fits(u32 size)
{
	u64 used = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);

	/* Behind the ring's own header; and it is never filled to the last byte. */
	return used + size + 8 < bpf_ringbuf_query(&events, BPF_RB_RING_SIZE);
}

static __always_inline void *event__reserve(u32 size)
{
	void *e = bpf_ringbuf_reserve(&events, size, 0);

	event__sent(!e);
	return e;
}

static __always_inline void event__head(struct ebph_event *e, u32 kind, u32 flags, u32 size)
{
	e->head.kind = kind;
	e->head.size = size;
	e->head.flags = flags;
	e->head.time = bpf_ktime_get_boot_ns();
	e->head.lost = *(volatile u64 *)&globals.pool.lost;
	event__actor(&e->actor);
}

static __always_inline void event__names(struct ebph_event *e, u32 slot)
{
	struct ebph_names *n = bpf_map_lookup_elem(&names, &slot);

	if (n)
		__builtin_memcpy(&e->names, n, sizeof(e->names));
	else
		__builtin_memset(&e->names, 0, sizeof(e->names));
}

/* Not static: the verifier walks it once, not at each of its many callers. */
__noinline int event__send(u32 kind, u32 flags, u32 slot)
{
	struct ebph_profile *p;
	struct ebph_event *e;

	if (!event__wanted(kind))
		return 0;
	e = event__reserve(sizeof(*e));
	if (!e)
		return -1;
	p = profile_at(slot);
	if (!p)
		flags |= EBPH_NO_PROFILE;
	event__head(e, kind, flags, sizeof(*e));
	if (p)
		event__view(&e->view, p, slot);
	else
		__builtin_memset(&e->view, 0, sizeof(e->view));
	event__names(e, slot);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Once per cause, until something was given back. */
static __always_inline void event__exhausted(u32 told, u32 cause, u32 slot)
{
	if (*(volatile u64 *)&globals.pool.told & told)
		return;
	if (!(__sync_fetch_and_or(&globals.pool.told, (u64)told) & told))
		event__send(EBPH_EVENT_CAPACITY_EXHAUSTED, cause, slot);
}

static __always_inline void event__fill(struct ebph_call_event *e, u32 kind, u32 flags,
					struct ebph_profile *p, struct ebph_call *c, u64 suppressed)
{
	u32 i, others = 0;
	u64 window;

	event__head(&e->base, kind, flags, sizeof(*e));
	event__view(&e->base.view, p, c->slot);
	/* As it was when the call was judged: an anomaly may have ended it. */
	if (kind == EBPH_EVENT_ANOMALY) {
		e->base.view.state = c->state & EBPH_STATE_MASK;
		e->base.view.anomalies = c->anomalies;
	}
	event__names(&e->base, c->slot);
	window = c->window;
	for (i = 0; i < EBPH_DISTANCES; i++) {
		u32 id = window & 0xff;

		/* No branch: the verifier would walk both sides eight times over. */
		e->call.window[i] = p->symbol[id];
		others |= (id + 1) >> 8 << i;
		window >>= 8;
	}
	e->call.others = others;
	e->call.symbol = c->symbol;
	e->call.missed = kind == EBPH_EVENT_NEW_SEQUENCE ? c->novel : c->missed;
	e->call.lfc = c->lfc;
	e->call.max_lfc = c->max_lfc;
	e->call.response = kind == EBPH_EVENT_RESPONSE ? c->response : 0;
	e->call.suppressed = suppressed;
	e->call.wait = kind == EBPH_EVENT_RESPONSE ? c->wait : 0;
}

__noinline int event__call(u32 kind, u32 flags, struct ebph_profile *p, struct ebph_call *c,
			   u64 suppressed)
{
	struct ebph_call_event *e;

	if (!p || !c)
		return -1;
	e = event__reserve(sizeof(*e));
	if (!e)
		return -1;
	event__fill(e, kind, flags, p, c, suppressed);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* An event that somebody should look at, with all that surrounds it; without
 * that, rather than not at all. */
__noinline int event__alert(u32 kind, u32 flags, struct ebph_profile *p, struct ebph_call *c,
			    u64 suppressed)
{
	struct report *r;
	u32 cell, size;
	int err;

	if (!p || !c)
		return -1;
	/* While nobody reads, what is lost anyway must not cost the looking. */
	if (!event__fits(sizeof(struct ebph_call_event))) {
		event__sent(true);
		return -1;
	}
	cell = report__claim();
	r = report_at(cell);
	if (!r)
		return event__call(kind, flags, p, c, suppressed);
	report__gather(cell);
	if (kind == EBPH_EVENT_RESPONSE)
		report__target(cell, c->target);
	event__fill(&r->event, kind, flags | EBPH_SURROUNDED, p, c, suppressed);
	size = r->at.texts;
	if (size > EBPH_TEXT_ROOM)
		size = EBPH_TEXT_ROOM;
	size += sizeof(r->event) + sizeof(r->at);
	r->event.base.head.size = size;
	err = bpf_ringbuf_output(&events, r, size, 0);
	report__release(r);
	if (err)
		return event__call(kind, flags, p, c, suppressed);
	event__sent(false);
	return 0;
}

static __always_inline bool event__too_many_of_thread(struct ebph_task *ts)
{
	u64 now = bpf_ktime_get_boot_ns();

	if ((s64)(now - ts->rate_start) >= NS_PER_SEC) {
		ts->rate_start = now;
		ts->rate_used = 0;
	}
	if (ts->rate_used >= globals.limits.thread_report_rate)
		return true;
	ts->rate_used += 1;
	return false;
}

static __always_inline bool event__too_many_of_profile(struct ebph_profile *p)
{
	u64 start, now = bpf_ktime_get_boot_ns();

	/* Another thread may have begun a second after we looked at the clock. */
	start = *(volatile u64 *)&p->rate_start;
	if ((s64)(now - start) >= NS_PER_SEC &&
	    __sync_val_compare_and_swap(&p->rate_start, start, now) == start)
		p->rate_used = 0;
	return __sync_fetch_and_add(&p->rate_used, 1) >= globals.limits.report_rate;
}

/* The thread is asked first, so that what it may not send uses up nothing of its
 * profile's share. */
static __always_inline bool event__too_many(struct ebph_profile *p, struct ebph_task *ts)
{
	return event__too_many_of_thread(ts) || event__too_many_of_profile(p);
}

/* The first of a kind is always sent, repeats so many a second. */
static __always_inline void event__anomaly(struct ebph_profile *p, struct ebph_task *ts)
{
	struct kind kind = {};
	struct ebph_call *c = &ts->call;
	u64 held, one = 1;
	bool first = false;
	u32 d, id;
	long err;

	if (!event__wanted(EBPH_EVENT_ANOMALY))
		return;
	for (d = 0; d < EBPH_DISTANCES - 1; d++)
		if (c->missed & 1 << d)
			break;
	id = c->window >> 8 * d & 0xff;
	kind.period = p->period;
	kind.slot = c->slot;
	kind.generation = p->generation;
	kind.symbol = c->symbol;
	kind.previous = p->symbol[id];
	kind.distance = d + 1;
	if (!bpf_map_lookup_elem(&kinds, &kind)) {
		err = bpf_map_update_elem(&kinds, &kind, &one, BPF_NOEXIST);
		/* A kind that could not be noted is told again rather than never. */
		first = err != -EEXIST_;
		if (err && first)
			count(failed_index);
	}
	if (!first && event__too_many(p, ts)) {
		__sync_fetch_and_add(&p->suppressed, 1);
		count(suppressed);
		return;
	}
	held = __sync_lock_test_and_set(&p->suppressed, 0);
	if (event__alert(EBPH_EVENT_ANOMALY, 0, p, c, held)) {
		/* Not told after all: neither what was held back nor that it is known. */
		__sync_fetch_and_add(&p->suppressed, held);
		if (first)
			bpf_map_delete_elem(&kinds, &kind);
	}
}

/* A file that was rewritten under its profile: what is new in it must be learnt
 * first. Whoever finds the mark and the profile at rest does it; who holds it
 * busy, when it is let go. */
__noinline int event__changed(struct ebph_profile *p, u32 slot)
{
	u64 s;
	int i;

	if (!p)
		return 0;
	for (i = 0; i < STATE_TRIES; i++) {
		s = profile__state(p);
		if (!(s & EBPH_CHANGED) || !(s & EBPH_LIVE) || s & EBPH_BUSY)
			return 0;
		if (__sync_val_compare_and_swap(
			    &p->state, s, s & ~(u64)(EBPH_CHANGED | EBPH_NORMAL | EBPH_FROZEN)) !=
		    s)
			continue;
		profile__bump(p, NULL, EPOCH_FRAMES);
		/* As if something new had been learnt just now: that nothing was new
		 * before says little. */
		p->last_mod_count = 0;
		if (p->train_count < s >> 8)
			p->train_count = s >> 8;
		count(changed);
		if (s & EBPH_NORMAL)
			event__send(EBPH_EVENT_STOP_NORMAL, EBPH_CAUSE_CHANGED, slot);
		else if (s & EBPH_FROZEN)
			event__send(EBPH_EVENT_PROFILE_THAWED, 0, slot);
		event__send(EBPH_EVENT_EXECUTABLE_CHANGED, 0, slot);
		return 0;
	}
	count(contended);
	return 0;
}

/* What a call did that is worth telling, in the order it happened: up to its
 * judgement. */
static __always_inline void event__learnt(struct ebph_profile *p, struct ebph_call *c, u32 did)
{
	if (did & EBPH_DID_IGNORE)
		count(ignored);
	if (did & EBPH_DID_OTHER_ID)
		count(other_ids);
	if (did & EBPH_DID_NO_ROW)
		event__exhausted(TOLD_ROWS, EBPH_CAUSE_ROWS, c->slot);
	if (did & EBPH_DID_NOVEL && event__wanted(EBPH_EVENT_NEW_SEQUENCE))
		event__call(EBPH_EVENT_NEW_SEQUENCE, 0, p, c, 0);
	if (did & EBPH_DID_FREEZE)
		event__send(EBPH_EVENT_PROFILE_FROZEN, 0, c->slot);
	if (did & EBPH_DID_THAW)
		event__send(EBPH_EVENT_PROFILE_THAWED, 0, c->slot);
	if (did & EBPH_DID_START)
		event__send(EBPH_EVENT_START_NORMAL, did & EBPH_DID_REFRESH ? EBPH_REFRESH : 0,
			    c->slot);
}

/* What calls that were held back did, once they are counted: none is judged. */
__noinline int event__flushed(struct ebph_profile *p, struct ebph_task *ts)
{
	if (!p || !ts)
		return 0;
	event__learnt(p, &ts->call, ts->call.did);
	if (profile__state(p) & EBPH_CHANGED)
		event__changed(p, ts->call.slot);
	return 0;
}

__noinline int event__report(struct ebph_profile *p, struct ebph_task *ts)
{
	struct ebph_call *c;
	u32 did;

	if (!p || !ts)
		return 0;
	c = &ts->call;
	did = c->did;
	event__learnt(p, c, did);
	if (did & EBPH_DID_ANOMALY)
		event__anomaly(p, ts);
	if (did & EBPH_DID_STOP)
		event__send(EBPH_EVENT_STOP_NORMAL, EBPH_CAUSE_LIMIT, c->slot);
	if (did & EBPH_DID_RESET_TRAIN)
		event__send(EBPH_EVENT_TOLERIZE_LIMIT, 0, c->slot);
	if (profile__state(p) & EBPH_CHANGED)
		event__changed(p, c->slot);
	return 0;
}

static __always_inline void event__sigreturn(struct ebph_profile *p, struct ebph_task *ts, u32 did)
{
	if (!(did & EBPH_DID_UNBALANCED))
		return;
	count(unbalanced);
	if (event__wanted(EBPH_EVENT_UNBALANCED_SIGRETURN))
		event__alert(EBPH_EVENT_UNBALANCED_SIGRETURN,
			     ts->flags & EBPH_TASK_UNCERTAIN ? 0 : EBPH_CERTAIN, p, &ts->call, 0);
}

#endif
