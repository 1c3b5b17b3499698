/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which profile a thread belongs to (thesis 3.5.1), and the slots for them. */
#ifndef EBPH_BIND_BPF_H
#define EBPH_BIND_BPF_H

enum {
	SLOT_TRIES = 32, /* at the free list, before a contended one is given up */
	HASH_WORDS = 512,
};

/* The executable as the file system has it now. */
struct ebph_image {
	struct ebph_key key;
	u64 ctime;
	u64 size;
	u32 nlink;
	u32 pad;
};

/* From 6.13 on the highest bit of the nanoseconds says that somebody asked. */
#define CTIME_NSEC(nsec) ((u32)(nsec)&0x7fffffff)

static __always_inline u64 inode__ctime(struct inode *inode)
{
	struct inode___ctime_struct *mid = (void *)inode;
	struct inode___ctime_plain *old = (void *)inode;

	if (bpf_core_field_exists(inode->i_ctime_sec))
		return BPF_CORE_READ(inode, i_ctime_sec) * NS_PER_SEC +
		       CTIME_NSEC(BPF_CORE_READ(inode, i_ctime_nsec));
	if (bpf_core_field_exists(mid->__i_ctime))
		return BPF_CORE_READ(mid, __i_ctime.tv_sec) * NS_PER_SEC +
		       BPF_CORE_READ(mid, __i_ctime.tv_nsec);
	return BPF_CORE_READ(old, i_ctime.tv_sec) * NS_PER_SEC +
	       BPF_CORE_READ(old, i_ctime.tv_nsec);
}

/* The kernel's own numbers: on overlayfs stat(2) says otherwise. */
static __always_inline void inode__key(struct inode *inode, struct ebph_key *key)
{
	key->ino = BPF_CORE_READ(inode, i_ino);
	key->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	key->generation = BPF_CORE_READ(inode, i_generation);
}

__noinline int image__current(struct ebph_image *image, u64 script)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	struct inode *inode = BPF_CORE_READ(exe, f_inode);

	if (!image || !inode)
		return -1;
	inode__key(inode, &image->key);
	image->key.script = script;
	image->key.partition = 0;
	if (cfg_partition == EBPH_BY_CGROUP)
		image->key.partition = bpf_get_current_cgroup_id();
	else if (cfg_partition == EBPH_BY_USER)
		image->key.partition = EBPH_PARTITION_USER | (u32)bpf_get_current_uid_gid();
	image->ctime = inode__ctime(inode);
	image->size = BPF_CORE_READ(inode, i_size);
	image->nlink = BPF_CORE_READ(inode, i_nlink);
	return 0;
}

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

struct hash_job {
	u64 hash;
	u32 cell;
	u32 length;
};

/* Eight bytes a step, the last one padded with zeroes. Part of what a key
 * means: a change of it gives every script a new profile. */
static __always_inline u64 hash__mix(u64 hash, u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

static int hash__step(u32 i, struct hash_job *job)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &job->cell);
	u32 at = i * 8;
	u64 word;

	if (!s || at >= job->length)
		return 1;
	word = *(u64 *)&s->path[at & (PATH_ROOM - 8)];
	if (job->length - at < 8)
		word &= (1ULL << 8 * (job->length - at)) - 1;
	job->hash = hash__mix(job->hash, word);
	return 0;
}

/* The part of a key that tells scripts of one interpreter apart; 0: no script.
 * The script's inode is out of reach by now, its path is not. */
static __noinline u64 script__hash(struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const char *filename = BPF_CORE_READ(bprm, filename);
	struct hash_job job = { .hash = 0 };
	struct inode *cwd;
	struct scratch *s;
	long n;

	if (!cfg_scripts || filename == BPF_CORE_READ(bprm, interp))
		return 0;
	s = scratch__claim(&job.cell);
	if (!s)
		return 0;
	n = bpf_probe_read_kernel_str(s->path, PATH_ROOM, filename);
	if (n <= 1) {
		count(failed_read);
		scratch__release(s);
		return 0;
	}
	job.length = n - 1;
	if (s->path[0] != '/') {
		cwd = BPF_CORE_READ(task, fs, pwd.dentry, d_inode);
		job.hash = hash__mix(job.hash, BPF_CORE_READ(cwd, i_sb, s_dev));
		job.hash = hash__mix(job.hash, BPF_CORE_READ(cwd, i_ino));
	}
	bpf_loop(HASH_WORDS, hash__step, &job, 0);
	scratch__release(s);
	return job.hash ?: 1;
}

__noinline int names__exe(struct ebph_names *n)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	u32 flags = 0, cell = 0, cut = 0, at;
	struct scratch *s;

	if (!n || !exe)
		return 0;
	s = scratch__claim(&cell);
	if (!s)
		return 0;
	at = path__walk(&exe->f_path, cell, &cut);
	if (path__keep(n->exe, s, at, PATH_ROOM) || cut)
		flags |= EBPH_PROFILE_EXE_TRUNCATED;
	scratch__release(s);
	return flags;
}

/* A relative script's path, with the working directory before it. */
__noinline int names__relative(struct ebph_names *n, u64 address)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const char *filename = (const char *)address;
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	u32 flags = 0, cell = 0, cut = 0, at, length;
	struct scratch *s;
	long got, room;

	if (!n)
		return 0;
	s = scratch__claim(&cell);
	if (!s)
		return EBPH_PROFILE_SCRIPT_TRUNCATED;
	at = path__walk(&fs->pwd, cell, &cut);
	length = at < PATH_ROOM ? PATH_ROOM - at : 0;
	/* Half of the room at most is the directory's. */
	if (cut || length > EBPH_PATH / 2) {
		flags |= EBPH_PROFILE_SCRIPT_TRUNCATED;
		length = 0;
	} else {
		path__keep(n->script, s, at, PATH_ROOM);
		opaque(length);
		length &= EBPH_PATH - 1;
		n->script[length] = '/';
		length += 1;
	}
	scratch__release(s);
	/* Two calls: the verifier does not see that what one part has the other
	 * has not. */
	room = length ? EBPH_PATH / 2 - 1 : EBPH_PATH;
	opaque(length);
	if (!length)
		got = bpf_probe_read_kernel_str(n->script, EBPH_PATH, filename);
	else if (length <= EBPH_PATH / 2 + 1)
		got = bpf_probe_read_kernel_str(&n->script[length], EBPH_PATH / 2 - 1, filename);
	else
		return flags;
	if (got < 0)
		count(failed_read);
	if (got == room)
		flags |= EBPH_PROFILE_SCRIPT_TRUNCATED;
	return flags;
}

static __always_inline u32 names__script(struct ebph_names *n, u64 address)
{
	u32 flags = 0, cell = 0;
	struct scratch *s;
	char first = 0;
	long got;

	if (!n)
		return 0;
	bpf_probe_read_kernel(&first, sizeof(first), (const char *)address);
	if (first != '/')
		return names__relative(n, address);
	s = scratch__claim(&cell);
	if (!s)
		return EBPH_PROFILE_SCRIPT_TRUNCATED;
	got = bpf_probe_read_kernel_str(s->path, PATH_ROOM, (const char *)address);
	if (got < 1)
		count(failed_read);
	else if (path__keep(n->script, s, 0, got - 1))
		flags = EBPH_PROFILE_SCRIPT_TRUNCATED;
	scratch__release(s);
	return flags;
}

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
