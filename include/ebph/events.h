/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The part of the wire that goes through the ring buffer: included by wire.h,
 * which has the numbers and the key that are used here.
 */
#ifndef EBPH_EVENTS_H
#define EBPH_EVENTS_H

enum ebph_event_kind {
	EBPH_EVENT_PROFILE_CREATED = 1,
	EBPH_EVENT_PROFILE_FROZEN = 2,
	EBPH_EVENT_PROFILE_THAWED = 3,
	EBPH_EVENT_START_NORMAL = 4,
	EBPH_EVENT_STOP_NORMAL = 5,
	EBPH_EVENT_TOLERIZE_LIMIT = 6,
	EBPH_EVENT_SENSITIZED = 7,
	EBPH_EVENT_PROFILE_RESET = 8,
	EBPH_EVENT_PROFILE_FORGOTTEN = 9,
	EBPH_EVENT_ANOMALY = 10,
	EBPH_EVENT_NEW_SEQUENCE = 11,
	EBPH_EVENT_UNBALANCED_SIGRETURN = 12,
	EBPH_EVENT_CAPACITY_EXHAUSTED = 13,
	/* 14 and 15 are user space's own. */
	EBPH_EVENT_PROFILE_LOADED = 16,
	EBPH_EVENT_PROFILE_EVICTED = 17,
	EBPH_EVENT_EXECUTABLE_CHANGED = 18,
	/* 19 is user space's own. */
	EBPH_EVENT_RESPONSE = 20,
};

enum ebph_event_flag {
	EBPH_BY_COMMAND = 1,     /* the actor is who gave the command */
	EBPH_REFRESH = 2,        /* StartNormal: was normal already */
	EBPH_CERTAIN = 4,        /* UnbalancedSigreturn: no frame was ever guessed away */
	EBPH_CAUSE_LIMIT = 8,    /* StopNormal: too many anomalies */
	EBPH_CAUSE_CHANGED = 16, /* StopNormal: the file was rewritten */
	EBPH_CAUSE_SLOTS = 32,   /* CapacityExhausted */
	EBPH_CAUSE_ROWS = 64,
	EBPH_NO_PROFILE = 128,  /* view and names are empty */
	EBPH_REPLACED = 256,    /* ExecutableChanged: by another file, not rewritten */
	EBPH_RETURNED = 512,    /* ProfileLoaded: its program was running already */
	EBPH_SURROUNDED = 1024, /* struct ebph_circumstances and its texts follow */
	EBPH_WOULD_HAVE = 2048, /* Response: nothing was done */
};

struct ebph_event_header {
	__u16 kind;  /* enum ebph_event_kind */
	__u16 size;  /* of the whole record */
	__u32 flags; /* enum ebph_event_flag */
	__u64 time;  /* boot ns */
	__u64 lost;  /* ebph_pool.lost when it was sent */
};

struct ebph_actor {
	__u64 start; /* boot ns, of the process */
	__u64 cgroup_id;
	__u32 pid; /* 0: not visible in the monitor's pid namespace */
	__u32 tid;
	__u32 ppid;
	__u32 uid; /* of the initial user namespace, these four */
	__u32 euid;
	__u32 gid;
	__u32 egid;
	__u32 pad;
	__u8 comm[EBPH_COMM];
};

struct ebph_view {
	struct ebph_key key;
	__u64 train_count;
	__u64 last_mod_count;
	__u64 sequences;
	__u64 anomalies;
	__u64 normal_time;
	__u64 created;
	__u64 basis;
	__u64 execs;
	__u32 state; /* enum ebph_state */
	__u32 flags; /* enum ebph_profile_flag */
	__u32 slot;
	__u32 generation;
};

/* The call that an Anomaly, NewSequence or Response is about. */
struct ebph_call_view {
	__u16 window[EBPH_DISTANCES]; /* symbols; [0] is the most recent; NONE: no call */
	__u16 symbol;
	__u8 missed; /* bit d-1: distance d (Anomaly: test plane; NewSequence: train plane) */
	__u8 others; /* bit d-1: window[d-1] stands for all symbols after the 254th */
	__u32 lfc;
	__u32 max_lfc;
	__u32 response; /* Response: enum ebph_response */
	__u64 suppressed;
	__u64 wait; /* Response: ns that the process is stopped for */
};

struct ebph_event {
	struct ebph_event_header head;
	struct ebph_actor actor;
	struct ebph_view view;
	struct ebph_names names;
};

struct ebph_call_event {
	struct ebph_event base;
	struct ebph_call_view call;
};

/* What surrounds an alert. */

/* The texts, in struct ebph_circumstances; ancestors' from EBPH_TEXT_ANCESTOR on. */
enum ebph_text_of {
	EBPH_TEXT_EXE = 0,
	EBPH_TEXT_CWD = 1,
	EBPH_TEXT_ARGS = 2, /* each ends with a zero byte */
	EBPH_TEXT_CGROUP = 3,
	EBPH_TEXT_ANCESTOR = 4,
	EBPH_TEXT_TARGET = 12, /* Response: what was to be executed */
	EBPH_TEXTS = 16,
};

/* Bits of `known`, above one for each text. */
enum ebph_known {
	EBPH_KNOWN_ANCESTORS = 1 << 16,
	EBPH_KNOWN_NAMESPACES = 1 << 17,
	EBPH_KNOWN_LOGIN = 1 << 18,
	EBPH_KNOWN_CAPABILITIES = 1 << 19,
	EBPH_KNOWN_DELETED = 1 << 20,  /* the executable has no name any more */
	EBPH_KNOWN_REDACTED = 1 << 21, /* arguments were not read, on request */
};

struct ebph_text {
	__u16 at; /* from the end of struct ebph_circumstances */
	__u16 length;
};

struct ebph_ancestor {
	__u64 start; /* boot ns, of the process */
	__u32 pid;   /* 0: not visible in the monitor's pid namespace */
	__u32 uid;
	__u8 comm[EBPH_COMM];
};

struct ebph_circumstances {
	__u32 known; /* a bit for each text, and enum ebph_known */
	__u32 cut;   /* a bit for each text that is not whole; KNOWN_ANCESTORS: there are more */
	__u64 capabilities;
	__u32 login_uid; /* ~0: no login */
	__u32 session;
	__u32 pid_inside; /* in its own pid namespace */
	__u32 ns_pid;
	__u32 ns_mnt; /* 0 here and below: there is none */
	__u32 ns_net;
	__u32 ns_user;
	__u32 ns_uts;
	__u32 ns_ipc;
	__u32 ns_cgroup;
	__u32 ancestors;
	__u32 texts; /* bytes that follow */
	struct ebph_text text[EBPH_TEXTS];
	struct ebph_ancestor ancestor[EBPH_ANCESTORS];
};

#endif
