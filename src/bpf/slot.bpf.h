/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The pool of slots for profiles: those given back are a list, the rest was never used. */
#ifndef EBPH_SLOT_BPF_H
#define EBPH_SLOT_BPF_H

enum { SLOT_TRIES = 32 }; /* at the free list, before a contended one is given up */

__noinline int slot__free(u32 slot)
{
	struct ebph_profile *p = profile_at(slot);
	u64 head, next;
	int i;

	if (!p)
		return -1;
	for (i = 0; i < SLOT_TRIES; i++) {
		head = *(volatile u64 *)&globals.pool.free_slot;
		p->binds = (u32)head;
		next = ((head >> 32) + 1) << 32 | (slot + 1);
		if (__sync_val_compare_and_swap(&globals.pool.free_slot, head, next) == head) {
			__sync_fetch_and_sub(&globals.pool.slots_used, 1);
			__sync_fetch_and_add(&globals.pool.slots_freed, 1);
			return 0;
		}
	}
	count(contended);
	return -1;
}

__noinline int slot__alloc(void)
{
	struct ebph_profile *p;
	u64 head, next;
	u32 slot = EBPH_SLOT_NONE;
	int i;

	for (i = 0; i < SLOT_TRIES; i++) {
		head = *(volatile u64 *)&globals.pool.free_slot;
		p = profile_at((u32)head - 1);
		if (!(u32)head || !p)
			break;
		next = ((head >> 32) + 1) << 32 | (u32)p->binds;
		if (__sync_val_compare_and_swap(&globals.pool.free_slot, head, next) == head) {
			slot = (u32)head - 1;
			break;
		}
	}
	if (slot == EBPH_SLOT_NONE && *(volatile u64 *)&globals.pool.next_slot < cfg_max_slots) {
		next = __sync_fetch_and_add(&globals.pool.next_slot, 1);
		if (next < cfg_max_slots)
			slot = next;
	}
	if (slot != EBPH_SLOT_NONE)
		__sync_fetch_and_add(&globals.pool.slots_used, 1);
	return slot;
}

#endif
