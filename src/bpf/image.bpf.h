/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which file a thread runs, and what it was when it was looked at (thesis 3.5.1). */
#ifndef EBPH_IMAGE_BPF_H
#define EBPH_IMAGE_BPF_H

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

#endif
