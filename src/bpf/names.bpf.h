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

/* Where a relative name goes on after "./", which says nothing, and the slashes that may
 * follow. */
static __always_inline const char *script__plain(const char *filename)
{
	char first[2];
	int i;

	for (i = 0; i < 8; i++) {
		if (bpf_probe_read_kernel(first, sizeof(first), filename))
			break;
		if (first[0] == '/')
			filename += 1;
		else if (first[0] == '.' && first[1] == '/')
			filename += 2;
		else
			break;
	}
	return filename;
}

/* Puts the path by which a script was executed at the beginning of the cell, with the
 * working directory before it if it is a relative one; answers its length. 0: it is
 * not to be had, or too long. */
static __noinline u32 script__path(u64 address, u32 cell)
{
	struct scratch *s = bpf_map_lookup_elem(&scratches, &cell);
	struct task_struct *task = bpf_get_current_task_btf();
	const char *filename = (const char *)address;
	u32 at, length, cut = 0;
	long got;

	if (!s)
		return 0;
	got = bpf_probe_read_kernel_str(s->path, PATH_ROOM, filename);
	if (got <= 1) {
		count(failed_read);
		return 0;
	}
	if (s->path[0] == '/')
		return got - 1;
	/* Whatever is left of it now is relative, with a slash at its beginning too. */
	filename = script__plain(filename);
	at = path__walk(&BPF_CORE_READ(task, fs)->pwd, cell, &cut);
	length = PATH_ROOM - at;
	if (cut || at > PATH_ROOM || length >= PATH_ROOM / 2)
		return 0;
	opaque(length);
	length &= PATH_ROOM / 2 - 1;
	opaque(at);
	/* To the front, by a copy that begins there. */
	if (bpf_probe_read_kernel(s->path, length, &s->path[at & (PATH_ROOM - 1)]))
		return 0;
	s->path[length] = '/';
	got = bpf_probe_read_kernel_str(&s->path[length + 1], PATH_ROOM / 2, filename);
	if (got > 1 && got < PATH_ROOM / 2)
		return length + got;
	return 0;
}

/* The name alone, where that is all that there is. */
static __always_inline u32 script__name(struct scratch *s, u64 address)
{
	long got = bpf_probe_read_kernel_str(s->path, PATH_ROOM, (const char *)address);

	return got > 1 ? got - 1 : 0;
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

	if (!cfg_scripts || filename == BPF_CORE_READ(bprm, interp))
		return 0;
	s = scratch__claim(&job.cell);
	if (!s)
		return 0;
	job.length = script__path((u64)filename, job.cell);
	if (!job.length) {
		/* By the directory itself, then. */
		job.length = script__name(s, (u64)filename);
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

static __always_inline u32 names__script(struct ebph_names *n, u64 address)
{
	u32 flags = EBPH_PROFILE_SCRIPT_TRUNCATED, cell = 0, length;
	struct scratch *s;

	if (!n)
		return 0;
	s = scratch__claim(&cell);
	if (!s)
		return flags;
	length = script__path(address, cell);
	if (!length)
		path__keep(n->script, s, 0, script__name(s, address));
	else if (!path__keep(n->script, s, 0, length))
		flags = 0;
	scratch__release(s);
	return flags;
}

#endif
