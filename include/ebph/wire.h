/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire: what the BPF programs and the Rust side both see.
 *
 * Stand-alone on purpose (no kernel types), so that it can be read, and its
 * layout checked, without a kernel. Every struct is padded by hand: the Rust
 * side reads these bytes as plain data, and a hole would be undefined there.
 */
#ifndef EBPH_WIRE_H
#define EBPH_WIRE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* ---------------------------------------------------------------- limits */

enum ebph_limit {
	EBPH_DISTANCES = 8,     /* previous calls in a window; with the current one: 9 */
	EBPH_IDS = 256,         /* columns of a row, rows of a profile */
	EBPH_ID_LAST = 254,     /* the last id that names one symbol */
	EBPH_ID_OTHER = 255,    /* every symbol after the 254th */
	EBPH_SIGNAL_FRAMES = 8, /* windows kept aside while handlers are nested */
	EBPH_MEMOS = 16,        /* ordinary calls that a thread remembers; a power of two */
	EBPH_BATCH = 64,        /* calls a thread may hold back before it counts them */
	EBPH_COMM = 16,
	EBPH_PATH = 256, /* a longer path is kept from its end, and marked */
	EBPH_ANCESTORS = 8,
	EBPH_TEXT_ROOM = 16384, /* more than all texts of a report can take */
	EBPH_ARGS = 1024,       /* one more than the bytes of arguments that are kept */
	EBPH_HOLDS = 1024,      /* processes that can be stopped for a while at once */
};

/* The alphabet: one number for each (ABI, system call), see symbol.bpf.h. */
enum ebph_symbol {
	EBPH_SYMBOL_COMPAT = 512,
	EBPH_SYMBOL_UNKNOWN = 511, /* offset in either of the two: every number above 510 */
	EBPH_SYMBOL_X32 = 1024,
	EBPH_SYMBOL_URING = 1025, /* + opcode 0..=125; opcode 126 and above: the last */
	EBPH_SYMBOL_URING_UNKNOWN = 1151,
	EBPH_SYMBOLS = 1152,
	EBPH_SYMBOL_NONE = 0xffff,
};

/* -------------------------------------------------------------- profiles */

/* The low byte of ebph_profile.state; the rest counts sequences. */
enum ebph_state {
	EBPH_LIVE = 1,        /* the slot holds a profile */
	EBPH_NORMAL = 2,      /* the test plane is held as normal */
	EBPH_FROZEN = 4,      /* nothing new for long enough; waits for normal_time */
	EBPH_BUSY = 8,        /* planes are being copied or wiped; one holder at a time */
	EBPH_INCOMPLETE = 16, /* a call could not be learnt: never becomes normal on its own */
	EBPH_CHANGED =
		32, /* its file is another now: ends what it is trusted for, once it is at rest */
	EBPH_STATE_MASK = 0xff,
	EBPH_SEQUENCE = 0x100, /* one sequence, in the units of the state word */
};

enum ebph_profile_flag {
	EBPH_PROFILE_SCRIPT = 1,           /* belongs to a script, not to its interpreter */
	EBPH_PROFILE_NO_PATH = 2,          /* memfd or deleted: cannot be found again */
	EBPH_PROFILE_EXE_TRUNCATED = 4,    /* names.exe lacks its beginning */
	EBPH_PROFILE_SCRIPT_TRUNCATED = 8, /* names.script lacks its beginning */
	EBPH_PROFILE_SCRIPT_UNNAMED = 16,  /* rebuilt after its name was gone */
};

struct ebph_key {
	__u64 ino;
	__u64 script;    /* hash of the script's path; 0: not a script */
	__u64 partition; /* 0: none; EBPH_PARTITION_USER | uid; else a cgroup id */
	__u32 dev;       /* the kernel's own dev_t: 12 bits major, 20 bits minor */
	__u32 generation;
};
#define EBPH_PARTITION_USER (1ULL << 63)

/* What it was learning was wiped: the next normal rests on what comes after. */
#define EBPH_BASIS_OVER (1ULL << 63)

struct ebph_profile {
	/* Read by every call, written at transitions only. */
	__u64 state;  /* sequences << 8 | enum ebph_state */
	__u64 epochs; /* count epoch << 32 | frame epoch; never goes back, not even on reuse */
	struct ebph_key key;
	__u32 generation; /* which tenant of this slot */
	__u32 ids;        /* ids given out, at most EBPH_ID_LAST */
	__u32 flags;      /* enum ebph_profile_flag */
	__u32 rows;       /* rows held */

	/* Written once a batch. */
	__u64 train_count;
	__u64 last_mod_count;
	__u64 anomalies;
	__u64 normal_time; /* boot ns: a frozen profile becomes normal then */
	__u64 unlearnt;    /* calls that found no row */
	__u64 execs;
	__u64 ended; /* processes of this profile that ended */
	/* Calls from which it learnt what is held as normal, and EBPH_BASIS_OVER. */
	__u64 basis;

	__u64 suppressed; /* reports held back since the last one sent */
	__u64 rate_start; /* boot ns: the second that rate_used counts */
	__u32 rate_used;
	__u32 period;     /* how often it became normal: part of a report's kind */
	__u64 created;    /* boot ns */
	__u64 last_exec;  /* boot ns */
	__u64 file_ctime; /* ns: with the size, tells a rewritten file */
	__u64 file_size;
	/* How often a thread was bound to it, by which an eviction tells that it is in
	 * use after all. Of a free slot: 1 + the next one. */
	__u64 binds;

	__u32 row[EBPH_IDS];    /* index into the pool; 0: none */
	__u16 symbol[EBPH_IDS]; /* the symbol of an id */
	__u8 id[EBPH_SYMBOLS];  /* the id of a symbol; 0: not seen */
};

/* One symbol as the current call: low byte of a column "seen in training at
 * distance bit+1", high byte the same for the test plane. Column 0 ("no call")
 * has every bit set. Kept as words because BPF has no 16-bit atomics. */
struct ebph_row {
	__u32 word[EBPH_IDS / 2];
};

struct ebph_names {
	__u8 exe[EBPH_PATH];
	__u8 script[EBPH_PATH];
};

/* --------------------------------------------------------------- threads */

enum ebph_task_flag {
	EBPH_TASK_IN = 1,        /* within the scope */
	EBPH_TASK_SELF = 2,      /* the embedding process, or its child before exec */
	EBPH_TASK_UNCERTAIN = 4, /* seen first while it ran, or a frame was guessed away */
};

enum ebph_slot {
	EBPH_SLOT_NONE = 0xffffffff, /* no profile yet: bind at the next call */
	EBPH_SLOT_OUT = 0xfffffffe,  /* not watched: nothing to do */
};

struct ebph_signal_frame {
	__u64 window;
	__u64 sp;     /* of the interrupted code */
	__u64 alt_lo; /* the alternate stack the handler was put on; 0, 0: none */
	__u64 alt_hi;
	__u32 restart; /* what ebph_task.restart was */
	__u32 pad;
};

/* An ordinary call, remembered: it was one, and is again until something that it
 * rests on changes, which changes ebph_task.memos. */
struct ebph_memo {
	__u64 window; /* before it */
	__u64 call;   /* memos << 32 | symbol << 8 | id */
};
/* So that what was never written is none. */
#define EBPH_MEMOS_SET (1U << 31)

/* One call on its way through the detector. Kept with the thread, not on the
 * stack: what the verifier does not see it need not tell apart. */
struct ebph_call {
	__u64 now;       /* boot ns; 0: the clock is read if it is needed */
	__u64 window;    /* before this call */
	__u64 anomalies; /* this one's number */
	__u32 symbol;
	__u32 slot;
	__u32 did;   /* enum ebph_did */
	__u32 batch; /* calls that may be held back */
	__u32 state; /* flags it was judged by */
	__u32 lfc;
	__u32 max_lfc;
	__u8 novel;  /* bit d-1: distance d was new to the train plane */
	__u8 missed; /* bit d-1: distance d is not in the test plane */
	__u8 id;
	__u8 pad;
	__u32 response; /* enum ebph_response */
	__u32 response_pad;
	__u64 wait;   /* ns that it stops for */
	__u64 target; /* at an exec: address of the name of what is executed */
};

struct ebph_task {
	/* What every call reads: 56 bytes, the rest of a cache line where the kernel has
	 * put eight of its own before them. */
	__u64 window; /* newest id in the low byte */
	__u64 epochs; /* those of the profile, as last seen */
	__u64 state;  /* likewise; calls held back were made while it was so */
	__u32 slot;
	__u32 run;     /* ebph_globals.run, as last seen */
	__u32 exec_id; /* task->self_exec_id, as last seen */
	__u32 memos;   /* which ones hold: even, and 1 if the profile was normal in `state` */
	union {
		/* Zero for a thread of which nothing special is to be expected. */
		__u64 special;
		struct {
			__u16 depth;   /* signal handlers entered and not left */
			__u16 restart; /* 1 + the symbol that the kernel will issue again; 0: none */
			__u32 lfc;     /* bits set in the locality frame */
		};
	};
	__u32 batch;      /* calls not yet counted */
	__u32 generation; /* of the profile in that slot */

	__u64 frame[2]; /* locality frame, newest call in bit 0 of frame[0] */
	__u32 max_lfc;
	__u32 last;  /* of an ended thread: 1 + the slot it was bound to */
	__u64 calls; /* counted ones */
	__u64 anomalies;
	__u64 script;     /* as in the key: kept for a profile that must be bound again */
	__u64 cgroup;     /* id that the scope was last decided for */
	__u64 retry;      /* ebph_pool.slots_freed when no slot was to be had */
	__u64 pc;         /* of the last call, where the architecture needs it for restarts */
	__u32 flags;      /* enum ebph_task_flag */
	__u32 ended;      /* on a leader: its process was counted as ended */
	__u64 rate_start; /* boot ns: the second that rate_used counts */
	__u64 rate_used;  /* repeated reports */
	__u32 stops_seen; /* how often its process had been stopped for a while at its last call */
	__u32 worst;    /* the highest LFC of its own, and of those it descends from, since exec */
	__u32 worst_of; /* the profile's time of being normal that this was in */
	__u32 untold;   /* dry responses not told of, for the rate */
	struct ebph_call call;
	struct ebph_memo memo[EBPH_MEMOS];
	struct ebph_signal_frame frames[EBPH_SIGNAL_FRAMES];
};

/* -------------------------------------------------------------- settings */

enum ebph_run {
	EBPH_RUN = 1 << 16, /* one resume, in the units of ebph_globals.run */
};

enum ebph_scope {
	EBPH_SCOPE_SYSTEM = 0,
	EBPH_SCOPE_TREE = 1,
	EBPH_SCOPE_CGROUP = 2,
};

enum ebph_partition {
	EBPH_BY_EXECUTABLE = 0,
	EBPH_BY_CGROUP = 1,
	EBPH_BY_USER = 2,
};

/* What may change while the hooks run. */
struct ebph_limits {
	__u64 normal_wait; /* ns */
	__u64 anomaly_limit;
	__u64 tolerize_limit;
	__u64 factor; /* num << 32 | den: freeze when train_count * den > (train_count - last_mod_count) * num */
	__u64 min_train_calls;
	__u64 min_train_processes;
	__u64 report_rate;        /* repeated reports a second and profile */
	__u64 thread_report_rate; /* ... and thread */
	__u64 event_mask;         /* bit 1 << enum ebph_event_kind: send it */
};

/* What is done about anomalies, besides telling (thesis 5.2.2, pH). Changes while
 * the hooks run. */
enum ebph_response {
	EBPH_RESPONSE_DELAY = 1,   /* the process stops for a while */
	EBPH_RESPONSE_SUSPEND = 2, /* ... before what it has executed runs */
	EBPH_RESPONSE_DENY = 3,    /* execve fails */
	EBPH_RESPONSE_KILL = 4,
	EBPH_RESPONSES = 8,
};

struct ebph_responses {
	__u64 delay_unit; /* ns: a call waits 2^LFC times this; 0: none does */
	__u64 delay_cap;  /* ns: but no longer than this */
	__u64 suspend;    /* ns that an exec is held; 0: it is denied */
	__u32 exec_at;    /* from this LFC on; 0: never */
	__u32 kill_at;    /* likewise */
	__u32 dry;        /* bit 1 << enum ebph_response: only say what would have been done */
	__u32 pad;
};

/* Who is never answered: an executable or script by its key, a process by its pid
 * and start. */
struct ebph_exempt {
	__u64 ino;    /* of a process: its start in clock ticks since boot */
	__u64 script; /* as in the key */
	__u32 dev;    /* of a process: its pid in the monitor's namespace */
	__u32 generation;
	__u32 process; /* 1 if it is one */
	__u32 pad;
};

/* A process that was stopped for a while. Hooks claim and fill cells; the guardian,
 * or whatever ends the stop before it is due, frees them. */
enum ebph_hold_state {
	EBPH_HOLD_FREE = 0,
	EBPH_HOLD_TAKEN = 1,  /* being filled */
	EBPH_HOLD_HELD = 2,   /* stopped, or about to be */
	EBPH_HOLD_ENDING = 3, /* being continued */
	EBPH_HOLD_MASK = 0xff,
	EBPH_HOLD_CELL = 8,         /* a shift */
	EBPH_HOLD_TENANT = 1 << 24, /* one use of the cell; below it the cell's own number */
};

enum ebph_hold_signal {
	EBPH_HOLD_SIGNAL = 0xff, /* a stop signal that somebody else sent meanwhile; 0: none */
	EBPH_HOLD_REACHED =
		1 << 8, /* the signal that stops it was sent: kernels may take their time */
};

struct ebph_hold {
	__u64 state;  /* uses << 24 | cell << 8 | enum ebph_hold_state; by compare-and-swap */
	__u64 since;  /* boot ns */
	__u64 due;    /* boot ns: when it is to go on */
	__u64 start;  /* boot ns, of the process */
	__u64 epochs; /* ebph_profile.epochs: if they moved, the reason is void */
	__u32 slot;   /* of the profile */
	__u32 generation;
	__u32 pid;    /* in the monitor's pid namespace */
	__u32 signal; /* enum ebph_hold_signal; under the lock of the process's signals */
	__u32 stops;  /* as many were before this one: struct process. Hooks only */
	__u32 unused;
};

/* ---------------------------------------------------------------- counts */

/* One cell per CPU; every field only grows. */
struct ebph_counters {
	__u64 recorded;        /* calls learnt or judged */
	__u64 ignored;         /* cancelled calls (negative numbers), restart_syscall */
	__u64 restarts;        /* the kernel issued a recorded call again */
	__u64 unprofiled;      /* no slot for the executable */
	__u64 paused;          /* entered while the monitor was paused */
	__u64 no_state;        /* a thread's state could not be made or reached */
	__u64 unlearnt;        /* calls (recorded above) that found no row */
	__u64 other_ids;       /* symbols folded into the last id */
	__u64 late_tasks;      /* threads first seen at a call, after the start */
	__u64 late_execs;      /* execs first seen at a call */
	__u64 late_binds;      /* threads bound anew after their profile was forgotten */
	__u64 restored;        /* threads whose state the kernel had dropped */
	__u64 signals;         /* handlers entered */
	__u64 frames_overflow; /* handlers nested deeper than EBPH_SIGNAL_FRAMES */
	__u64 frames_dropped;  /* left by siglongjmp, as far as the stack tells */
	__u64 unbalanced;      /* rt_sigreturn without a frame */
	__u64 anomalies;
	__u64 suppressed;
	__u64 submitted; /* events meant for the ring */
	__u64 ring_lost; /* ... that found it full */
	__u64 created;   /* profiles */
	__u64 no_slot;   /* profiles that could not be made */
	__u64 no_row;    /* rows that could not be had */
	__u64 contended; /* an update gave up after too many tries */
	__u64 failed_storage;
	__u64 failed_index; /* hash map of keys */
	__u64 failed_read;  /* kernel memory could not be read */
	__u64 changed;      /* executables that changed under their profile */
	/* By enum ebph_response; the rest is there for the mask. */
	__u64 responses[EBPH_RESPONSES];
	__u64 would_have[EBPH_RESPONSES];
	__u64 exempted;    /* responses that an exemption prevented */
	__u64 unheld;      /* processes that could not be stopped: no cell, no pid, refused */
	__u64 stopped;     /* ... because something else was stopping them */
	__u64 interrupted; /* stops that somebody else's SIGCONT ended before they were due */
};

/* Slots and rows handed out. A free list is a stack threaded through its
 * members; the tag in its head's upper half makes a reused head differ. */
struct ebph_pool {
	__u64 next_slot; /* first never used; may pass the capacity by a few */
	__u64 next_row;
	__u64 free_slot; /* tag << 32 | 1 + slot; 0 in the low half: none */
	__u64 free_row;  /* tag << 32 | row */
	__u64 slots_used;
	__u64 rows_used;
	__u64 slots_freed; /* monotonic */
	__u64 rows_freed;
	__u64 told; /* bit per cause: CapacityExhausted was sent */
	__u64 lost; /* events that found the ring full, all CPUs: the order in the stream */
};

/* What user space reads of the object's variables, through a mapping. It is the first of them. */
struct ebph_globals {
	struct ebph_limits limits;
	struct ebph_pool pool;
	struct ebph_responses responses;
	__u64 started;    /* boot ns */
	__u64 root_start; /* of the tree's root: with root_tgid, unique across reuse */
	__u32 root_tgid;  /* kernel-wide; 0: not found yet */
	/* 0: paused; else EBPH_RUN for each resume, and below that a count that moves
	 * whenever a process is stopped for a while, so that threads look what became of
	 * them. */
	__u32 run;
	__u32 last_run;   /* without that count */
	__u32 self_tgid;  /* the embedding process, kernel-wide */
	__u32 self_level; /* of its pid namespace */
	__u32 self_ns;    /* inode number of that */
};

#include "events.h"

/* --------------------------------------------- commands (SEC("syscall")) */

enum ebph_op {
	EBPH_OP_NORMALIZE = 1,
	EBPH_OP_SENSITIZE = 2,
	EBPH_OP_TOLERIZE = 3,
	EBPH_OP_FREEZE = 4,
	EBPH_OP_THAW = 5,
	EBPH_OP_RESET = 6,
	EBPH_OP_FORGET = 7,  /* unlink; the slot is returned by RECLAIM */
	EBPH_OP_RECLAIM = 8, /* after a grace period */
	EBPH_OP_LIMITS = 9,
	EBPH_OP_RUN = 10,      /* arg: 0 pauses, 1 runs */
	EBPH_OP_SETUP = 11,    /* before anything is attached: who is the monitor */
	EBPH_OP_FILE_KEY = 12, /* arg: fd; answers key, file_ctime, file_size */
	EBPH_OP_OPEN = 13,     /* what is staged: makes or finds the profile, and holds it busy */
	EBPH_OP_ABSORB = 14,   /* ... adds the rest to it, and lets go */
	EBPH_OP_EVICT = 15, /* as FORGET, unless binds is no longer what the caller saw (EINVAL) */
	EBPH_OP_RESPONSES = 16,
};

/* The low byte of ABSORB's argument; above it, flags of the event that tells. */
enum ebph_absorb {
	EBPH_ABSORB_NOTHING = 0, /* let go, and no more */
	EBPH_ABSORB_ALL = 1,
	EBPH_ABSORB_PAIRS = 2, /* of another file: nothing of it is normal here */
};

struct ebph_command {
	__u32 op;
	__u32 slot;
	__u32 generation;
	__u32 arg;
	/* 0 or -errno. EBUSY: try again; EINVAL: its need is not met; ESTALE: no such
	 * tenant; ENOSPC: no slot or row. */
	__s64 result;
	__u64 file_ctime;
	__u64 file_size;
	__u64 binds;
	struct ebph_limits limits;
	struct ebph_responses responses;
	struct ebph_key key;
};

/* A profile on its way into the kernel, beside its rows (map stage_rows). OPEN
 * reads the first half, ABSORB the second: what the rows' columns are called is
 * known after OPEN only. */
struct ebph_stage {
	struct ebph_key key;
	__u64 file_ctime;
	__u64 file_size;
	struct ebph_names names;
	__u32 flags;   /* enum ebph_profile_flag */
	__u32 symbols; /* how many of: */
	__u16 symbol[EBPH_SYMBOLS];

	__u64 state;     /* NORMAL, FROZEN, INCOMPLETE to be set, and sequences to be added */
	__u64 forgotten; /* sequences that the profile learnt again before it was loaded */
	__u64 train_count;
	__u64 last_mod_count;
	__u64 anomalies;
	__u64 normal_time;
	__u64 unlearnt;
	__u64 execs;
	__u64 ended;
	__u64 basis;
	__u64 created;   /* signed: before this boot is below zero */
	__u64 last_exec; /* likewise */
	__u32 top;       /* the highest id that stage_rows has a row for */
	__u32 novel;     /* the profile knew something that this one does not */
};

/* ---------------------------------------------------- the list of threads */

/* Which of a profile's counts the calls that a thread holds back belong to. */
enum ebph_pending {
	EBPH_PENDING_TRAIN = 1,
	EBPH_PENDING_LAST_MOD = 2, /* nothing new was learnt since they were made */
};

struct ebph_task_record {
	struct ebph_key key; /* all zero: no profile yet */
	__u64 start;         /* boot ns, of the process */
	__u64 calls;         /* the batch included */
	__u64 anomalies;
	__u64 pending; /* the batch */
	__u32 pid;
	__u32 tid;
	__u32 slot;
	__u32 generation;
	__u32 lfc;
	__u32 max_lfc;
	__u32 depth;
	__u32 flags;
	__u32 pending_for; /* enum ebph_pending */
	__u32 pad;
	__u8 comm[EBPH_COMM];
};

/* ----------------------------------------------------------------- replay */

enum ebph_replay_kind {
	EBPH_REPLAY_CALL = 1, /* task, symbol, sp */
	EBPH_REPLAY_FORK = 2, /* task: parent; other: child; flag: onto a new stack */
	EBPH_REPLAY_EXEC = 3, /* task; other: profile slot */
	EBPH_REPLAY_EXIT = 4, /* task */
	EBPH_REPLAY_SIGNAL =
		5, /* task; flag bit 0: a handler runs; symbol: restarted after it, or NONE; sp, alt_lo, alt_hi */
	EBPH_REPLAY_COMMAND = 6, /* other: profile slot; flag: enum ebph_op */
};

enum ebph_replay_limit {
	EBPH_REPLAY_TASKS = 64,
	EBPH_REPLAY_OPS = 65536,
};

struct ebph_replay_op {
	__u64 now; /* boot ns */
	__u64 sp;
	__u64 alt_lo;
	__u64 alt_hi;
	__u16 kind;
	__u16 symbol;
	__u16 task;
	__u16 flag;
	__u32 other;
	__u32 pad;
};

/* What one call did: also the union of reasons to send an event. */
enum ebph_did {
	EBPH_DID_RECORD = 1,
	EBPH_DID_RESTART = 2, /* skipped: a restart */
	EBPH_DID_IGNORE = 4,  /* skipped: never recorded */
	EBPH_DID_FREEZE = 8,
	EBPH_DID_THAW = 16,
	EBPH_DID_START = 32,
	EBPH_DID_REFRESH = 64, /* with START: was normal */
	EBPH_DID_ANOMALY = 128,
	EBPH_DID_STOP = 256,
	EBPH_DID_RESET_TRAIN = 512,
	EBPH_DID_NOVEL = 1024,
	EBPH_DID_NO_ROW = 2048, /* not learnt */
	EBPH_DID_NEW_ID = 4096,
	EBPH_DID_OTHER_ID = 8192,    /* id 255 was given to one more symbol */
	EBPH_DID_DROP_FRAME = 16384, /* siglongjmp */
	EBPH_DID_POP = 32768,
	EBPH_DID_POP_DEEP = 65536, /* popped a frame that was never kept */
	EBPH_DID_UNBALANCED = 131072,
	EBPH_DID_TEST = 262144,
	EBPH_DID_PUSH = 524288,       /* a handler was entered */
	EBPH_DID_PUSH_DEEP = 1048576, /* ... too deep to keep its frame */
};

struct ebph_verdict {
	__u32 did;   /* enum ebph_did */
	__u8 novel;  /* bit d-1: distance d was new to the train plane */
	__u8 missed; /* bit d-1: distance d is not in the test plane */
	__u16 id;
	__u32 lfc;
	__s32 result;    /* of a command */
	__u64 anomalies; /* this one's number */
};

struct ebph_replay {
	__u32 count;    /* ops to run */
	__u32 profiles; /* slots to open first; 0: none */
	__u32 batch;    /* calls a thread may hold back; 1 to count each at once */
	__u32 pad;
};

/* ----------------------------------------------------------------- layout */

#define EBPH_SIZE(type, bytes)                                                                     \
	_Static_assert(sizeof(struct type) == (bytes), #type " changed its size")
EBPH_SIZE(ebph_key, 32);
EBPH_SIZE(ebph_profile, 64 + 64 + 64 + 1024 + 512 + 1152);
EBPH_SIZE(ebph_row, 512);
EBPH_SIZE(ebph_names, 512);
EBPH_SIZE(ebph_globals, 72 + 80 + 40 + 40);
EBPH_SIZE(ebph_replay, 16);
EBPH_SIZE(ebph_signal_frame, 40);
EBPH_SIZE(ebph_memo, 16);
EBPH_SIZE(ebph_task, 568 + 256);
EBPH_SIZE(ebph_counters, 384);
EBPH_SIZE(ebph_responses, 40);
EBPH_SIZE(ebph_exempt, 32);
EBPH_SIZE(ebph_hold, 64);
EBPH_SIZE(ebph_event_header, 24);
EBPH_SIZE(ebph_actor, 64);
EBPH_SIZE(ebph_view, 112);
EBPH_SIZE(ebph_call_view, 48);
EBPH_SIZE(ebph_event, 24 + 64 + 112 + 512);
EBPH_SIZE(ebph_circumstances, 64 + 64 + 256);
EBPH_SIZE(ebph_command, 48 + 72 + 40 + 32);
EBPH_SIZE(ebph_stage, 32 + 16 + 512 + 8 + 2 * EBPH_SYMBOLS + 13 * 8);
EBPH_SIZE(ebph_task_record, 120);
EBPH_SIZE(ebph_replay_op, 48);
EBPH_SIZE(ebph_verdict, 24);
#undef EBPH_SIZE

#endif
