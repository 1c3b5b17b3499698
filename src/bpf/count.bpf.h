/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef EBPH_COUNT_BPF_H
#define EBPH_COUNT_BPF_H

static __always_inline struct ebph_counters *counters_here(void)
{
	u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&counters, &cpu);
}

/* Atomic although the cell is this CPU's own: from kernel 7.0 on another task
 * may run its hook on this CPU in the middle of ours. */
#define count_add(field, n)                                                                        \
	do {                                                                                       \
		struct ebph_counters *cell_ = counters_here();                                     \
		if (cell_)                                                                         \
			__sync_fetch_and_add(&cell_->field, (n));                                  \
	} while (0)

#define count(field) count_add(field, 1)

#endif
