/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a profile is called: the paths of its executable and its script. */
#ifndef EBPH_NAMES_BPF_H
#define EBPH_NAMES_BPF_H

enum { HASH_WORDS = 512 };

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

#endif
