/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What one can tell a profile to become (thesis 3.7), by the same rules of concurrency as what it
 * becomes on its own. */
#ifndef EBPH_TRANSITION_BPF_H
#define EBPH_TRANSITION_BPF_H

__noinline int profile__freeze(struct ebph_profile *p, u64 now)
{
	u64 s;
	int i;

	if (!p)
		return -ESTALE_;
	for (i = 0; i < STATE_TRIES; i++) {
		s = profile__state(p);
		if (!(s & EBPH_LIVE))
			return -ESTALE_;
		if (s & EBPH_FROZEN)
			return -EINVAL_;
		if (s & EBPH_BUSY)
			return -EBUSY_;
		p->normal_time = now + globals.limits.normal_wait;
		if (__sync_val_compare_and_swap(&p->state, s, s | EBPH_FROZEN) == s)
			return 0;
	}
	return -EBUSY_;
}

static __always_inline int profile__reset(struct ebph_profile *p, u32 slot)
{
	/* First what the profile is held to be: an emptied test plane judges nobody. */
	__sync_fetch_and_and(&p->state, (u64)(EBPH_LIVE | EBPH_BUSY));
	plane__all(slot, PLANE_WIPE_BOTH);
	p->train_count = 0;
	p->last_mod_count = 0;
	p->anomalies = 0;
	p->normal_time = 0;
	p->unlearnt = 0;
	p->execs = 0;
	p->ended = 0;
	p->basis = 0;
	profile__bump(p, NULL, EPOCH_BOTH);
	profile__unlock(p);
	return 0;
}

/* A command on a profile: 0, -EINVAL if what it needs is not met, -EBUSY if
 * somebody else is at it. `did` says what to tell. */
__noinline int profile__command(u32 op, u32 slot, u64 now, u32 *did)
{
	struct ebph_profile *p = profile_at(slot);
	u64 s;
	int err;

	if (!p || !did)
		return -ESTALE_;
	s = profile__state(p);
	switch (op) {
	case EBPH_OP_TOLERIZE:
		if (!(s & EBPH_NORMAL))
			return -EINVAL_;
		*did = EBPH_DID_STOP;
		return profile__stop_normal(p, NULL) ? 0 : -EBUSY_;
	case EBPH_OP_FREEZE:
		err = profile__freeze(p, now);
		*did = EBPH_DID_FREEZE;
		return err;
	case EBPH_OP_THAW:
		if (!(__sync_fetch_and_and(&p->state, ~(u64)EBPH_FROZEN) & EBPH_FROZEN))
			return -EINVAL_;
		*did = EBPH_DID_THAW;
		return 0;
	}
	if (!profile__lock(p, EBPH_LIVE, 0))
		return -EBUSY_;
	switch (op) {
	case EBPH_OP_NORMALIZE:
		*did = EBPH_DID_START | (s & EBPH_NORMAL ? EBPH_DID_REFRESH : 0);
		profile__promote(p, slot, NULL);
		return 0;
	case EBPH_OP_SENSITIZE:
		*did = EBPH_DID_RESET_TRAIN;
		profile__wipe_train(p, slot, NULL);
		return 0;
	case EBPH_OP_RESET:
		return profile__reset(p, slot);
	}
	profile__unlock(p);
	return -EINVAL_;
}

#endif
