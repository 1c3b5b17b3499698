/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Paths as the task sees them, walked by hand: bpf_d_path is not allowed in
 * tracepoints. At the creation of a profile only. */
#ifndef EBPH_PATH_BPF_H
#define EBPH_PATH_BPF_H

enum {
	PATH_ROOM = 4096,
	PATH_DEPTH = 256, /* components and mounts passed */
	NAME_ROOM = 256,
};

static __noinline struct scratch *scratch__claim(u32 *cell)
{
	struct scratch *s;
	u32 i, at, first = bpf_get_smp_processor_id() * 2;

	for (i = 0; i < SCRATCH_CELLS; i++) {
		at = (first + i) & (SCRATCH_CELLS - 1);
		s = bpf_map_lookup_elem(&scratches, &at);
		if (s && !__sync_val_compare_and_swap(&s->claimed, 0, 1)) {
			*cell = at;
			return s;
		}
	}
	count(contended);
	return NULL;
}

static __always_inline void scratch__release(struct scratch *s)
{
	__sync_lock_test_and_set(&s->claimed, 0);
}

struct path_walk {
	struct dentry *dentry;
	struct vfsmount *mnt;
	struct dentry *root_dentry;
	struct vfsmount *root_mnt;
	u32 cell;
	u32 at; /* the path so far is scratch.path[at..PATH_ROOM] */
	u32 cut;
	u32 done;
};

static int path__step(u32 i, struct path_walk *w)
{
	struct dentry *parent, *dentry = w->dentry;
	struct vfsmount *mnt = w->mnt;
	struct scratch *s;
	u32 at, length;
	const unsigned char *name;

	if (dentry == w->root_dentry && mnt == w->root_mnt)
		goto done;
	if (dentry == BPF_CORE_READ(mnt, mnt_root)) {
		struct mount *m = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
		struct mount *up = BPF_CORE_READ(m, mnt_parent);

		if (!up || up == m)
			goto done;
		w->dentry = BPF_CORE_READ(m, mnt_mountpoint);
		w->mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (!parent || parent == dentry)
		goto done;
	s = bpf_map_lookup_elem(&scratches, &w->cell);
	if (!s)
		return 1;
	name = BPF_CORE_READ(dentry, d_name.name);
	length = BPF_CORE_READ(dentry, d_name.len);
	at = w->at;
	if (length >= NAME_ROOM || at < length + 1 || at > PATH_ROOM) {
		w->cut = 1;
		goto done;
	}
	at -= length;
	opaque(at);
	opaque(length);
	length &= NAME_ROOM - 1;
	if (bpf_probe_read_kernel(&s->path[at & (PATH_ROOM - 1)], length, name)) {
		count(failed_read);
		return 1;
	}
	at -= 1;
	opaque(at);
	s->path[at & (PATH_ROOM - 1)] = '/';
	w->at = at;
	w->dentry = parent;
	return 0;
done:
	w->done = 1;
	return 1;
}

/* Puts the path of `path` at the end of the cell; answers where it begins.
 * PATH_ROOM: nothing could be found out. */
static __always_inline u32 path__of(struct path *path, u32 cell, u32 *cut)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct path_walk w = {
		.dentry = BPF_CORE_READ(path, dentry),
		.mnt = BPF_CORE_READ(path, mnt),
		.root_dentry = BPF_CORE_READ(task, fs, root.dentry),
		.root_mnt = BPF_CORE_READ(task, fs, root.mnt),
		.cell = cell,
		.at = PATH_ROOM,
	};

	bpf_loop(PATH_DEPTH, path__step, &w, 0);
	*cut = w.cut || !w.done;
	return w.at;
}

/* The same as a function: frames are scarce in some places, stack in others. */
static __noinline u32 path__walk(struct path *path, u32 cell, u32 *cut)
{
	return path__of(path, cell, cut);
}

/* The last EBPH_PATH - 1 bytes of the cell's path, from `at` to `end`. */
static __always_inline bool path__keep(u8 *out, struct scratch *s, u32 at, u32 end)
{
	bool cut = false;
	u32 length;

	if (at >= end || end > PATH_ROOM)
		return false;
	length = end - at;
	if (length > EBPH_PATH - 1) {
		length = EBPH_PATH - 1;
		at = end - length;
		cut = true;
	}
	opaque(length);
	length &= EBPH_PATH - 1;
	opaque(at);
	if (bpf_probe_read_kernel(out, length, &s->path[at & (PATH_ROOM - 1)]))
		count(failed_read);
	out[length] = 0;
	return cut;
}

#endif
