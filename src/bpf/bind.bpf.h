/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which profile a thread belongs to (thesis 3.5.1), and how one comes to be. */
#ifndef EBPH_BIND_BPF_H
#define EBPH_BIND_BPF_H

/* A slot, held busy and not yet in the index, for a profile of this key; NONE if
 * there is no room. */
__noinline int profile__claim(struct ebph_key *key, u64 ctime, u64 size)
{
	u32 slot = slot__alloc();
	struct ebph_profile *p = profile_at(slot);
	struct ebph_names *n = bpf_map_lookup_elem(&names, &slot);

	if (!p || !n || !key)
		return EBPH_SLOT_NONE;
	/* All else is zero: new memory, or wiped when it was given back. */
	p->key = *key;
	p->file_ctime = ctime;
	p->file_size = size;
	p->created = bpf_ktime_get_boot_ns();
	p->binds = 0;
	p->generation += 1;
	/* Whoever was bound to the slot's last tenant must notice. */
	__sync_fetch_and_add(&p->epochs, EPOCH_BOTH);
	p->symbol[0] = EBPH_SYMBOL_NONE;
	p->symbol[EBPH_ID_OTHER] = EBPH_SYMBOL_NONE;
	n->exe[0] = 0;
	n->script[0] = 0;
	/* Busy, so that no command touches it before it is known to be the one. */
	__sync_lock_test_and_set(&p->state, EBPH_LIVE | EBPH_BUSY);
	return slot;
}

/* Puts a claimed slot into the index. If another thread was first, its slot is
 * the answer, and the claimed one is given back. */
__noinline int profile__publish(u32 slot)
{
	struct ebph_profile *p = profile_at(slot);
	struct ebph_key key;
	u32 *other;

	if (!p)
		return EBPH_SLOT_NONE;
	key = p->key; /* 6.1 takes no key but from the stack or a map */
	if (!bpf_map_update_elem(&slots, &key, &slot, BPF_NOEXIST)) {
		count(created);
		return slot;
	}
	/* Another thread was first, or the index is out of order. */
	__sync_lock_test_and_set(&p->state, 0);
	__builtin_memset(&p->key, 0, sizeof(p->key));
	p->flags = 0;
	slot__free(slot);
	other = bpf_map_lookup_elem(&slots, &key);
	if (!other) {
		count(failed_index);
		return EBPH_SLOT_NONE;
	}
	return *other;
}

/* The slot of a new profile, or of one that another thread was first to make.
 * `filename`: the address of the script's name in the kernel, at an exec. */
__noinline int profile__create(struct ebph_image *image, u64 filename)
{
	struct ebph_profile *p;
	struct ebph_names *n;
	u32 slot, found, flags = 0, *other;
	struct ebph_key key;

	if (!image)
		return EBPH_SLOT_NONE;
	key = image->key;
	slot = profile__claim(&key, image->ctime, image->size);
	p = profile_at(slot);
	n = bpf_map_lookup_elem(&names, &slot);
	if (!p || !n) {
		/* Whoever took the last slot may have made this very profile. */
		other = bpf_map_lookup_elem(&slots, &key);
		if (other)
			return *other;
		count(no_slot);
		event__exhausted(TOLD_SLOTS, EBPH_CAUSE_SLOTS, EBPH_SLOT_NONE);
		return EBPH_SLOT_NONE;
	}
	flags = names__exe(n);
	if (!image->nlink)
		flags |= EBPH_PROFILE_NO_PATH;
	if (key.script) {
		flags |= EBPH_PROFILE_SCRIPT;
		flags |= filename ? names__script(n, filename) : EBPH_PROFILE_SCRIPT_UNNAMED;
	}
	p->flags = flags;
	found = profile__publish(slot);
	if (found != slot)
		return found;
	profile__unlock(p);
	event__send(EBPH_EVENT_PROFILE_CREATED, 0, slot);
	return slot;
}

/* The mark comes after what it is about, so that nobody obeys it in vain. */
__noinline int profile__check_file(struct ebph_profile *p, struct ebph_image *image, u32 slot)
{
	if (!p || !image || (p->file_ctime == image->ctime && p->file_size == image->size))
		return 0;
	p->file_ctime = image->ctime;
	p->file_size = image->size;
	__sync_fetch_and_or(&p->state, EBPH_CHANGED);
	event__changed(p, slot);
	return 0;
}

/* Binds the current thread to the profile of what it runs. `filename`: as
 * above. False: there is none to be had. */
__noinline int bind__current(struct ebph_task *ts, u64 filename)
{
	struct ebph_image image = {};
	struct ebph_profile *p;
	u32 slot, *found;
	u64 freed;

	if (!ts)
		return false;
	/* No slot the last time: try again once one was given back. */
	freed = *(volatile u64 *)&globals.pool.slots_freed + 1;
	if (ts->retry == freed)
		return false;
	if (image__current(&image, ts->script)) {
		count(failed_read);
		return false;
	}
	found = bpf_map_lookup_elem(&slots, &image.key);
	slot = found ? *found : profile__create(&image, filename);
	p = profile_at(slot);
	if (!p) {
		ts->retry = freed;
		return false;
	}
	profile__check_file(p, &image, slot);
	task__bind(ts, p, slot);
	/* In this order: an eviction takes LIVE away and looks at binds then, so one
	 * of the two sees the other. A forgotten profile is seen now, or in the epochs
	 * at the next call. */
	__sync_fetch_and_add(&p->binds, 1);
	if (!(profile__state(p) & EBPH_LIVE)) {
		task__unbind(ts);
		return false;
	}
	return true;
}

#endif
