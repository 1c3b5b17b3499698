// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * How often a process and its descendants make each system call, and how long it takes.
 *
 * Attached before a monitor is, so that the monitor's part at the entry lies between the two looks
 * at the clock: the kernel runs programs of one tracepoint in the order in which they came.
 */
#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

enum {
	CALLS = 512,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6, /* the kernel's ABI; only this program needs it */
};

/* A thread's call that has not returned. Only threads of the tree have one: user space gives it
 * to the root, and children inherit it. */
struct call {
	u64 began; /* 0: none */
	u32 period;
	u32 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

struct sum {
	u64 count;
	u64 ns;
	u64 squares_low; /* of ns, 128 bits */
	u64 squares_high;
	u64 beyond; /* calls that took longer than their bound: in nothing above */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CALLS);
	__type(key, u32);
	__type(value, struct sum);
} sums SEC(".maps");

/* By user space: the longest time that counts, by call; 0 is none. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CALLS);
	__type(key, u32);
	__type(value, u64);
} bounds SEC(".maps");

/* By user space: the period that is measured; 0 between periods. A call counts if it begins and
 * returns in the same. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} periods SEC(".maps");

static __always_inline u32 period(void)
{
	u32 zero = 0;
	u32 *period = bpf_map_lookup_elem(&periods, &zero);

	return period ? *period : 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(thread_begins, struct task_struct *task)
{
	if (bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, 0))
		bpf_task_storage_get(&calls, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(call_begins, struct pt_regs *regs, long number)
{
	struct call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, 0);

	if (!call)
		return 0;
	call->number = number;
	call->period = period();
	call->began = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(call_returns)
{
	u64 now = bpf_ktime_get_ns();
	struct call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), NULL, 0);
	u64 ns, square, *bound;
	struct sum *sum;
	u32 number;

	/* A new thread returns from a call that its parent made. */
	if (!call || !call->began)
		return 0;
	ns = now - call->began;
	call->began = 0;
	if (!call->period || call->period != period())
		return 0;
	number = call->number;
	sum = bpf_map_lookup_elem(&sums, &number);
	bound = bpf_map_lookup_elem(&bounds, &number);
	if (!sum || !bound)
		return 0;
	if (*bound && ns > *bound) {
		sum->beyond++;
		return 0;
	}
	sum->count++;
	sum->ns += ns;
	/* Four seconds or more are as good as four: the square fits. */
	ns = ns > 0xffffffff ? 0xffffffff : ns;
	square = ns * ns;
	sum->squares_low += square;
	if (sum->squares_low < square)
		sum->squares_high++;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
