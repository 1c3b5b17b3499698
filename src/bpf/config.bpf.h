/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is fixed at load. The verifier knows these values and drops the code
 * they rule out, so an option that is off costs nothing. */
#ifndef EBPH_CONFIG_BPF_H
#define EBPH_CONFIG_BPF_H

const volatile __u32 cfg_scope = EBPH_SCOPE_SYSTEM;
const volatile __u32 cfg_partition = EBPH_BY_EXECUTABLE;
const volatile __u32 cfg_scripts = 1;
const volatile __u32 cfg_may_skip; /* this kernel can leave out a fork or exec event */
const volatile __u32 cfg_redact;   /* arguments are nobody's business */
const volatile __u32 cfg_max_slots;
const volatile __u32 cfg_max_rows;  /* row 0 included */
const volatile __u32 cfg_root_pid;  /* EBPH_SCOPE_TREE, in the monitor's pid namespace */
const volatile __u64 cfg_cgroup_id; /* EBPH_SCOPE_CGROUP */

enum { EBUSY_ = 16, EEXIST_ = 17, EINVAL_ = 22, ENOSPC_ = 28, ESTALE_ = 116 };

/* Names that no map and no function mentions reach the skeleton through here. */
const struct {
	enum ebph_limit limit;
	enum ebph_symbol symbol;
	enum ebph_state state;
	enum ebph_task_flag task_flag;
	enum ebph_scope scope;
	enum ebph_partition partition;
	enum ebph_event_kind event_kind;
	enum ebph_event_flag event_flag;
	enum ebph_op op;
	enum ebph_replay_kind replay_kind;
	enum ebph_replay_limit replay_limit;
	enum ebph_slot slot;
	enum ebph_pending pending;
	enum ebph_absorb absorb;
	enum ebph_profile_flag profile_flag;
	enum ebph_response response;
	enum ebph_hold_state hold_state;
	enum ebph_hold_signal hold_signal;
} cfg_names;

/* An optimisation barrier: the value is unknown to the compiler from here on,
 * so that a bound it has checked is checked where the verifier sees it. */
#define opaque(x) asm volatile("" : "+r"(x))

#endif
