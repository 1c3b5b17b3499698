// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The design of the thesis (Findlay 2020, 3.4 to 3.6), written anew from its
 * text to be measured beside: tracepoints at the entry and at the return of calls,
 * threads in a hash by their id, profiles in a hash by device and inode, each
 * with two tables of 450 x 450 bytes, a window of nine longs that is shifted, in a
 * stack of three for signal handlers.
 *
 * Where it differs: it looks at the tree of one process, since a benchmark
 * watches nobody else, and pays for others what a failed lookup costs; profiles are
 * allocated before, which is faster; handlers are told by a tracepoint, where the
 * thesis has a kprobe; nothing is saved, and an anomaly is counted, not sent. All
 * of that is to its advantage.
 */
#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

enum {
	CALLS = 450,
	WINDOW = 9,
	STACK = 3,
	NOTHING = 9999,
	RT_SIGRETURN = 15,
	LEAST = 128, /* calls before a profile may freeze */
};
#define WEEK_NS (7ULL * 24 * 3600 * 1000000000)

struct data {
	u8 flags[CALLS][CALLS];
	u64 last_mod_count;
	u64 train_count;
};

struct profile {
	struct data train;
	struct data test;
	u8 frozen;
	u8 normal;
	u64 normal_time;
	u64 anomalies;
	char comm[128];
};

struct sequence {
	long seq[WINDOW];
	u8 count;
};

struct process {
	struct sequence stack[STACK];
	int top;
	int should_pop;
	u32 pid;
	u32 tid;
	u64 profile_key;
	u8 in_execve;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct process);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, u64);
	__type(value, struct profile);
} profiles SEC(".maps");

/* What a new profile and a new process are copied from. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct profile);
} new_profile SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct process);
} new_process SEC(".maps");

/* The process whose tree is watched. */
const volatile u32 root = 0;

static __always_inline struct sequence *sequence__of(struct process *process)
{
	u32 top = process->top;

	if (top >= STACK)
		return NULL;
	/* Nothing may be made of it before, where the verifier knows no bounds. */
	asm volatile("" : "+r"(top));
	return &process->stack[top];
}

static __always_inline void sequence__wipe(struct sequence *sequence)
{
	int i;

	for (i = 0; i < WINDOW; i++)
		sequence->seq[i] = NOTHING;
	sequence->count = 0;
}

static __always_inline struct process *process__of(u32 tid)
{
	return bpf_map_lookup_elem(&processes, &tid);
}

static __always_inline struct process *process__make(u32 tid, u32 pid)
{
	struct process *process;
	u32 zero = 0;

	process = bpf_map_lookup_elem(&new_process, &zero);
	if (!process)
		return NULL;
	bpf_map_update_elem(&processes, &tid, process, BPF_NOEXIST);
	process = process__of(tid);
	if (!process)
		return NULL;
	process->tid = tid;
	process->pid = pid;
	process->top = 0;
	process->should_pop = 0;
	sequence__wipe(&process->stack[0]);
	return process;
}

static __always_inline u8 *flags__at(struct data *data, long call, long previous)
{
	u32 at = (u32)call * CALLS + (u32)previous;

	if ((u64)call >= CALLS || (u64)previous >= CALLS)
		return NULL;
	if (at >= CALLS * CALLS)
		return NULL;
	asm volatile("" : "+r"(at));
	return &data->flags[0][0] + at;
}

static __always_inline void profile__train(struct profile *profile, struct sequence *sequence)
{
	long call = sequence->seq[0];
	bool novel = false;
	u8 *flags;
	int i;

	for (i = 1; i < WINDOW; i++) {
		flags = flags__at(&profile->train, call, sequence->seq[i]);
		if (!flags)
			break;
		if (!(*flags & 1 << (i - 1))) {
			*flags |= 1 << (i - 1);
			novel = true;
		}
	}
	__sync_fetch_and_add(&profile->train.train_count, 1);
	if (novel) {
		profile->train.last_mod_count = 0;
		profile->frozen = 0;
		return;
	}
	__sync_fetch_and_add(&profile->train.last_mod_count, 1);
	if (!profile->frozen && profile->train.train_count > LEAST &&
	    profile->train.last_mod_count * 4 > profile->train.train_count * 3) {
		profile->frozen = 1;
		profile->normal_time = bpf_ktime_get_ns() + WEEK_NS;
	}
	if (profile->frozen && !profile->normal && bpf_ktime_get_ns() > profile->normal_time)
		profile->normal = 1;
}

static __always_inline void profile__test(struct profile *profile, struct sequence *sequence)
{
	long call = sequence->seq[0];
	int i, misses = 0;
	u8 *flags;

	for (i = 1; i < WINDOW; i++) {
		flags = flags__at(&profile->test, call, sequence->seq[i]);
		if (!flags)
			break;
		if (!(*flags & 1 << (i - 1)))
			misses += 1;
	}
	if (misses) {
		__sync_fetch_and_add(&profile->anomalies, 1);
		profile->normal = 0;
	}
}

SEC("tracepoint/raw_syscalls/sys_enter")
int thesis_enter(struct trace_event_raw_sys_enter *ctx)
{
	struct process *process = process__of(bpf_get_current_pid_tgid());

	if (!process)
		return 0;
	if (ctx->id == RT_SIGRETURN)
		process->should_pop = 1;
	return 0;
}

struct sys_exit {
	u64 common;
	long id;
	long ret;
};

SEC("tracepoint/raw_syscalls/sys_exit")
int thesis_exit(struct sys_exit *ctx)
{
	struct sequence *sequence;
	struct process *process;
	struct profile *profile;
	u64 id = bpf_get_current_pid_tgid(), key;
	long call = ctx->id;
	int i;

	process = process__of(id);
	if (!process) {
		if (id >> 32 != root)
			return 0;
		process = process__make(id, id >> 32);
		if (!process)
			return 0;
	}
	key = process->profile_key;
	profile = bpf_map_lookup_elem(&profiles, &key);
	if (!profile) {
		u32 zero = 0;
		struct profile *fresh = bpf_map_lookup_elem(&new_profile, &zero);

		if (!fresh)
			return 0;
		bpf_map_update_elem(&profiles, &key, fresh, BPF_NOEXIST);
		profile = bpf_map_lookup_elem(&profiles, &key);
		if (!profile)
			return 0;
	}
	if (process->should_pop) {
		process->should_pop = 0;
		if (process->top > 0)
			process->top -= 1;
		return 0;
	}
	sequence = sequence__of(process);
	if (!sequence)
		return 0;
	for (i = WINDOW - 1; i > 0; i--)
		sequence->seq[i] = sequence->seq[i - 1];
	sequence->seq[0] = call;
	if (sequence->count < WINDOW)
		sequence->count += 1;
	if (profile->normal)
		profile__test(profile, sequence);
	profile__train(profile, sequence);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(thesis_fork, struct task_struct *parent, struct task_struct *child)
{
	struct process *from = process__of(parent->pid);
	u32 tid = child->pid;

	if (!from)
		return 0;
	bpf_map_update_elem(&processes, &tid, from, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(thesis_exec, struct task_struct *task, pid_t old, struct linux_binprm *bprm)
{
	struct process *process = process__of(task->pid);
	struct sequence *sequence;
	struct file *file;

	if (!process)
		return 0;
	file = BPF_CORE_READ(task, mm, exe_file);
	process->profile_key = (u64)BPF_CORE_READ(file, f_inode, i_sb, s_dev) << 32 |
			       (u32)BPF_CORE_READ(file, f_inode, i_ino);
	process->top = 0;
	sequence = &process->stack[0];
	sequence__wipe(sequence);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(thesis_reap, struct task_struct *task)
{
	u32 tid = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&processes, &tid);
	return 0;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(thesis_signal, int sig, struct kernel_siginfo *info, struct k_sigaction *action)
{
	struct process *process = process__of(bpf_get_current_pid_tgid());
	struct sequence *sequence;

	/* SIG_DFL and SIG_IGN have no handler. */
	if (!process || (u64)BPF_CORE_READ(action, sa.sa_handler) <= 1)
		return 0;
	if (process->top >= STACK - 1)
		return 0;
	process->top += 1;
	sequence = sequence__of(process);
	if (sequence)
		sequence__wipe(sequence);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
