/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What surrounds an alert: read at the call, when all of it is still there.
 *
 * Pointers into the kernel go from function to function as plain numbers: they
 * are only ever read through bpf_probe_read_kernel, which takes any.
 */
#ifndef EBPH_SURROUNDINGS_BPF_H
#define EBPH_SURROUNDINGS_BPF_H

enum {
	PATH_KEEP = PATH_ROOM - 1,
	CGROUP_DEPTH = 64,
	CGROUP_KEEP = 1023,
	PF_KTHREAD_ = 0x00200000, /* the kernel's PF_KTHREAD */
};

static __always_inline struct report *report_at(u32 cell)
{
	return bpf_map_lookup_elem(&reports, &cell);
}

/* REPORT_CELLS, which is no cell: all are in use. */
__noinline u32 report__claim(void)
{
	u32 i, cell, first = bpf_get_smp_processor_id();
	struct report *r;

	for (i = 0; i < REPORT_CELLS; i++) {
		cell = (first + i) & (REPORT_CELLS - 1);
		r = report_at(cell);
		if (r && !__sync_val_compare_and_swap(&r->claimed, 0, 1))
			return cell;
	}
	count(contended);
	return REPORT_CELLS;
}

static __always_inline void report__release(struct report *r)
{
	__sync_lock_test_and_set(&r->claimed, 0);
}

/* Notes that `length` bytes were put behind the texts there are. */
static __always_inline void report__text(struct report *r, u32 which, u32 length, bool cut)
{
	struct ebph_text *text = &r->at.text[which & (EBPH_TEXTS - 1)];

	text->at = r->at.texts;
	text->length = length;
	r->at.texts += length;
	r->at.known |= 1U << which;
	if (cut)
		r->at.cut |= 1U << which;
}

/* The end of a path cell, of at most `keep` bytes, becomes a text. */
static __always_inline void report__keep(struct report *r, struct scratch *s, u32 at, u32 which,
					 u32 keep, bool cut)
{
	u32 to = r->at.texts, length;

	if (at >= PATH_ROOM)
		return;
	length = PATH_ROOM - at;
	if (length > keep) {
		length = keep;
		at = PATH_ROOM - keep;
		cut = true;
	}
	opaque(length);
	length &= PATH_ROOM - 1;
	opaque(at);
	opaque(to);
	if (to + length > EBPH_TEXT_ROOM ||
	    bpf_probe_read_kernel(&r->text[to & (EBPH_TEXT_ROOM - 1)], length,
				  &s->path[at & (PATH_ROOM - 1)])) {
		count(failed_read);
		return;
	}
	report__text(r, which, length, cut);
}

/* The path of what the walk found nothing above: a root, or a file that never
 * had a place, as memfd_create makes them, and a name all the same. */
static __always_inline u32 report__lone(struct scratch *s, struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	u32 length = BPF_CORE_READ(dentry, d_name.len), at = PATH_ROOM;

	if (BPF_CORE_READ(dentry, d_parent) == dentry && length < NAME_ROOM) {
		opaque(length);
		length &= NAME_ROOM - 1;
		at -= length;
		opaque(at);
		bpf_probe_read_kernel(&s->path[at & (PATH_ROOM - 1)], length,
				      BPF_CORE_READ(dentry, d_name.name));
		if (length == 1 && s->path[PATH_ROOM - 1] == '/')
			return at;
	}
	at -= 1;
	opaque(at);
	s->path[at & (PATH_ROOM - 1)] = '/';
	return at;
}

/* A struct path, as the current task would see it from its root. */
__noinline int report__path(u32 report, u64 path, u32 which, u32 keep)
{
	struct path *of = (struct path *)path;
	struct dentry *dentry = BPF_CORE_READ(of, dentry);
	struct report *r = report_at(report);
	u32 cell = 0, cut = 0, at;
	struct scratch *s;

	if (!r)
		return 0;
	s = scratch__claim(&cell);
	if (!s)
		return 0;
	at = path__of(of, cell, &cut);
	if (at == PATH_ROOM && !cut)
		at = report__lone(s, of);
	/* Another thread may change the directory meanwhile: a name of the old one
	 * on a mount of the new one is no path. */
	if (BPF_CORE_READ(of, dentry) == dentry)
		report__keep(r, s, at, which, keep, cut);
	scratch__release(s);
	return 0;
}

struct cgroup_walk {
	struct kernfs_node *node;
	u32 cell;
	u32 at; /* as in struct path_walk */
	u32 done;
};

static __always_inline struct kernfs_node *kernfs__parent(struct kernfs_node *node)
{
	struct kernfs_node___parent *old = (void *)node;

	if (bpf_core_field_exists(node->__parent))
		return BPF_CORE_READ(node, __parent);
	return BPF_CORE_READ(old, parent);
}

static int cgroup__step(u32 i, struct cgroup_walk *w)
{
	struct kernfs_node *node = w->node, *parent = kernfs__parent(node);
	struct scratch *s;
	u32 at, length;
	long n;

	if (!parent) {
		w->done = 1;
		return 1;
	}
	s = bpf_map_lookup_elem(&scratches, &w->cell);
	if (!s)
		return 1;
	/* How long a name is shows only when it is read: first beside the path. */
	n = bpf_probe_read_kernel_str(s->slack, sizeof(s->slack), BPF_CORE_READ(node, name));
	length = n - 1;
	at = w->at;
	if (n < 1 || at < length + 1 || at > PATH_ROOM)
		return 1;
	at -= length;
	opaque(at);
	opaque(length);
	length &= NAME_ROOM - 1;
	bpf_probe_read_kernel(&s->path[at & (PATH_ROOM - 1)], length, s->slack);
	at -= 1;
	opaque(at);
	s->path[at & (PATH_ROOM - 1)] = '/';
	w->at = at;
	w->node = parent;
	return 0;
}

/* From the root of the hierarchy, wherever the monitor stands in it. */
__noinline int report__cgroup(u32 report)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct report *r = report_at(report);
	struct cgroup_walk w = { .at = PATH_ROOM };
	struct scratch *s;

	w.node = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
	if (!r || !w.node)
		return 0;
	s = scratch__claim(&w.cell);
	if (!s)
		return 0;
	bpf_loop(CGROUP_DEPTH, cgroup__step, &w, 0);
	if (w.done && w.at == PATH_ROOM) {
		w.at -= 1;
		s->path[PATH_ROOM - 1] = '/';
	}
	report__keep(r, s, w.at, EBPH_TEXT_CGROUP, CGROUP_KEEP, !w.done);
	scratch__release(s);
	return 0;
}

__noinline int report__args(u32 report)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct report *r = report_at(report);
	u64 start, length;
	bool cut = false;
	u32 to;

	if (!r)
		return 0;
	if (cfg_redact) {
		r->at.known |= EBPH_KNOWN_REDACTED;
		return 0;
	}
	start = BPF_CORE_READ(task, mm, arg_start);
	length = BPF_CORE_READ(task, mm, arg_end) - start;
	if (!start)
		return 0;
	if (length > EBPH_ARGS - 1) {
		length = EBPH_ARGS - 1;
		cut = true;
	}
	to = r->at.texts;
	opaque(length);
	length &= EBPH_ARGS - 1;
	opaque(to);
	/* Fails where a page is not in memory: user space looks there later. */
	if (to + length > EBPH_TEXT_ROOM ||
	    bpf_probe_read_user(&r->text[to & (EBPH_TEXT_ROOM - 1)], length, (void *)start))
		return 0;
	report__text(r, EBPH_TEXT_ARGS, length, cut);
	return 0;
}

/* Notes one ancestor, given one of its threads that lives: its first one may have
 * ended, and then has no memory. Answers its parent, or 0 when it is the last one. */
__noinline u64 report__ancestor(u32 report, u64 address, u32 i)
{
	struct task_struct *thread = (struct task_struct *)address;
	struct task_struct *task = BPF_CORE_READ(thread, group_leader);
	struct task_struct *up = BPF_CORE_READ(thread, real_parent);
	struct mm_struct *mm = BPF_CORE_READ(thread, mm);
	struct report *r = report_at(report);
	u32 which = EBPH_TEXT_ANCESTOR + i;
	struct ebph_ancestor *a;
	struct file *exe;

	if (!r || i >= EBPH_ANCESTORS)
		return 0;
	a = &r->at.ancestor[i];
	a->start = BPF_CORE_READ(task, start_boottime);
	a->pid = task__pid(task);
	a->uid = BPF_CORE_READ(thread, real_cred, uid.val);
	if (BPF_CORE_READ_INTO(&a->comm, task, comm))
		count(failed_read);
	r->at.ancestors = i + 1;
	if (BPF_CORE_READ(thread, flags) & PF_KTHREAD_) {
		/* Of the kernel's own: it runs no file. */
		report__text(r, which, 0, false);
	} else if (mm) {
		exe = BPF_CORE_READ(mm, exe_file);
		if (exe)
			report__path(report, (u64)exe + bpf_core_field_offset(exe->f_path), which,
				     EBPH_PATH - 1);
		/* It may be ending, or executing something else: if it still has the
		 * same file, what was read of that was no reused memory. */
		if (BPF_CORE_READ(thread, mm) != mm || BPF_CORE_READ(mm, exe_file) != exe)
			r->at.known &= ~(1U << which);
	}
	return BPF_CORE_READ(up, tgid) ? (u64)up : 0;
}

static __always_inline int report__ancestors(u32 report)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct report *r = report_at(report);
	u64 up;
	u32 i;

	if (!r)
		return 0;
	up = (u64)BPF_CORE_READ(task, real_parent);
	for (i = 0; i < EBPH_ANCESTORS && up; i++)
		up = report__ancestor(report, up, i);
	r->at.known |= EBPH_KNOWN_ANCESTORS;
	if (up)
		r->at.cut |= EBPH_KNOWN_ANCESTORS;
	return 0;
}

__noinline int report__namespaces(struct ebph_circumstances *at)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	struct nsproxy *ns = BPF_CORE_READ(task, nsproxy);
	struct upid *inside;

	if (!at || !pid || !ns)
		return 0;
	inside = pid__at(pid, BPF_CORE_READ(pid, level));
	at->pid_inside = BPF_CORE_READ(inside, nr);
	at->ns_pid = BPF_CORE_READ(inside, ns, ns.inum);
	at->ns_mnt = BPF_CORE_READ(ns, mnt_ns, ns.inum);
	at->ns_net = BPF_CORE_READ(ns, net_ns, ns.inum);
	at->ns_user = BPF_CORE_READ(task, cred, user_ns, ns.inum);
	at->ns_uts = BPF_CORE_READ(ns, uts_ns, ns.inum);
	at->ns_ipc = BPF_CORE_READ(ns, ipc_ns, ns.inum);
	at->ns_cgroup = BPF_CORE_READ(ns, cgroup_ns, ns.inum);
	at->known |= EBPH_KNOWN_NAMESPACES;
	return 0;
}

__noinline int report__rights(struct ebph_circumstances *at)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct cred *cred = BPF_CORE_READ(task, cred);

	if (!at)
		return 0;
	if (!bpf_probe_read_kernel(&at->capabilities, sizeof(at->capabilities),
				   &cred->cap_effective))
		at->known |= EBPH_KNOWN_CAPABILITIES;
	if (bpf_core_field_exists(task->loginuid)) {
		at->login_uid = BPF_CORE_READ(task, loginuid.val);
		at->session = BPF_CORE_READ(task, sessionid);
		at->known |= EBPH_KNOWN_LOGIN;
	}
	return 0;
}

/* Whether a file's path leads to it no more: it has no name left, or not that one. */
static __always_inline bool file__is_gone(struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);

	if (!BPF_CORE_READ(file, f_inode, i_nlink))
		return true;
	return BPF_CORE_READ(dentry, d_parent) != dentry && !BPF_CORE_READ(dentry, d_hash.pprev);
}

/* What is about to be executed, as it was called. */
__noinline int report__target(u32 report, u64 address)
{
	struct report *r = report_at(report);
	u32 to;
	long n;

	if (!r || !address)
		return 0;
	to = r->at.texts;
	opaque(to);
	if (to > EBPH_TEXT_ROOM - PATH_ROOM)
		return 0;
	n = bpf_probe_read_kernel_str(&r->text[to & (EBPH_TEXT_ROOM - 1)], PATH_ROOM,
				      (void *)address);
	if (n < 1)
		count(failed_read);
	else
		report__text(r, EBPH_TEXT_TARGET, n - 1, n == PATH_ROOM);
	return 0;
}

/* Everything about the current task, into a claimed cell. No function of its own:
 * eight frames are all that the verifier allows, and an anomaly's take them all. */
static __always_inline int report__gather(u32 report)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct report *r = report_at(report);

	if (!r)
		return 0;
	__builtin_memset(&r->at, 0, sizeof(r->at));
	if (exe) {
		report__path(report, (u64)exe + bpf_core_field_offset(exe->f_path), EBPH_TEXT_EXE,
			     PATH_KEEP);
		if (file__is_gone(exe))
			r->at.known |= EBPH_KNOWN_DELETED;
		/* As for an ancestor: another thread may have changed it. */
		if (BPF_CORE_READ(task, mm, exe_file) != exe)
			r->at.known &= ~(1U << EBPH_TEXT_EXE | EBPH_KNOWN_DELETED);
	}
	if (fs)
		report__path(report, (u64)fs + bpf_core_field_offset(fs->pwd), EBPH_TEXT_CWD,
			     PATH_KEEP);
	report__args(report);
	report__cgroup(report);
	report__ancestors(report);
	report__namespaces(&r->at);
	report__rights(&r->at);
	return 0;
}

#endif
