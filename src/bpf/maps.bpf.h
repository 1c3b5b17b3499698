/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps, but for the one of storage.bpf.h: who writes each, who reads it, and why it is of that type. */
#ifndef EBPH_MAPS_BPF_H
#define EBPH_MAPS_BPF_H

/* Sizes given as 1 are set by the loader, from what the builder was told. */

/* Thread state. Hooks write; hooks and the task iterator read. Task storage:
 * no pid to be reused, nothing to exhaust, freed with the thread. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ebph_task);
} tasks SEC(".maps");

/* Profiles. Hooks and commands write; user space reads through a mapping,
 * without a system call. Array: the lookup is inlined to an addition. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ebph_profile);
} profiles SEC(".maps");

/* Their paths, apart: no call reads them. Written at creation, mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ebph_names);
} names SEC(".maps");

/* The row pool that profiles take from. Row 0 is the row of those that got
 * none: never written but for its column 0. Hooks write, mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ebph_row);
} rows SEC(".maps");

/* Key to slot. Written where a profile is created or forgotten, read at exec
 * only. Preallocated: an update never allocates inside a hook. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct ebph_key);
	__type(value, __u32);
} slots SEC(".maps");

/* Kinds of anomaly already reported. Hooks only. LRU: to forget an old kind
 * means to report it once more, which is the safe side. */
struct kind {
	__u64 period;
	__u32 slot;
	__u32 generation;
	__u16 symbol;
	__u16 previous;
	__u32 distance;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct kind);
	__type(value, __u64);
} kinds SEC(".maps");

/* Events. Hooks and commands write, the monitor's worker reads. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

/* One cell per CPU. A plain array, because a per-CPU one cannot be mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ebph_counters);
} counters SEC(".maps");

/* Room for a path while it is put together; claimed for the time of use,
 * since from kernel 7.0 on a hook may be preempted by another task's. */
struct scratch {
	__u32 claimed;
	__u32 length;
	__u8 path[4096];
	__u8 slack[256]; /* what the verifier thinks a copy may reach */
};
enum { SCRATCH_CELLS = 64 };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_CELLS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* A report with all that surrounds it, while it is put together; claimed as
 * well, and sent from here: only the texts that there are. */
struct report {
	struct ebph_call_event event;
	struct ebph_circumstances at;
	__u8 text[EBPH_TEXT_ROOM];
	__u8 slack[4096]; /* what the verifier thinks a copy may reach */
	__u32 claimed;
	__u32 pad;
};
enum { REPORT_CELLS = 16 };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REPORT_CELLS);
	__type(key, __u32);
	__type(value, struct report);
} reports SEC(".maps");

/* What concerns a process as a whole, on its first thread; made when there is
 * something to note. Hooks only. */
struct process {
	__u64 held;  /* what the state of its cell is for as long as it is held */
	__u32 stops; /* how often it was stopped for a while */
	__u32 worst; /* as in struct ebph_task, of all its threads */
	__u32 worst_of;
	__u32 told; /* which responses there were: a bit each, above them the period */
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct process);
} processes SEC(".maps");

/* Processes that are stopped for a while. Hooks and the guardian write, both
 * through compare-and-swap: what is here outlives whoever was to look after it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, EBPH_HOLDS);
	__type(key, __u32);
	__type(value, struct ebph_hold);
} holds SEC(".maps");

/* Wakes the guardian; what a record says is of no account. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} wakes SEC(".maps");

/* Who is never answered. User space writes, the answering hooks read. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct ebph_exempt);
	__type(value, __u32);
} exempt SEC(".maps");

/* A profile that is being loaded, and its rows by the profile's own ids. User
 * space writes them through a mapping, one profile at a time; commands read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ebph_stage);
} stage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, EBPH_IDS);
	__type(key, __u32);
	__type(value, struct ebph_row);
} stage_rows SEC(".maps");

/* The replay program's input, output and threads. User space writes the
 * first through a mapping and reads the second. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ebph_replay_op);
} replay_ops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ebph_verdict);
} replay_verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EBPH_REPLAY_TASKS);
	__type(key, __u32);
	__type(value, struct ebph_task);
} replay_tasks SEC(".maps");

/* Holds nothing: replacing its element makes the kernel wait until every program
 * has ended that might use the old one (see GracePeriod). That it is named in a
 * sleepable program makes it wait for programs that may be preempted as well. */
struct grace_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct grace_inner);
} grace SEC(".maps");

/* The variable that user space reads: settings that change, the pools' heads, who we are.
 * User space reads it through a mapping, commands write it. */
struct ebph_globals globals;

static __always_inline struct ebph_profile *profile_at(u32 slot)
{
	return bpf_map_lookup_elem(&profiles, &slot);
}

static __always_inline struct ebph_hold *hold_at(u32 index)
{
	return bpf_map_lookup_elem(&holds, &index);
}

static __always_inline struct ebph_row *row_at(u32 index)
{
	return bpf_map_lookup_elem(&rows, &index);
}

/* The same for the hot path, with the index where it is: put on the stack it would
 * be waited for. */
static __always_inline struct ebph_profile *profile__of(const struct ebph_task *ts)
{
	return bpf_map_lookup_elem(&profiles, &ts->slot);
}

static __always_inline struct ebph_row *row__of_id(const struct ebph_profile *p, u32 id)
{
	return bpf_map_lookup_elem(&rows, &p->row[id]);
}

#endif
