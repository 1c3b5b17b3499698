// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Commands from user space (thesis 3.7), run beside the hooks, not instead of
 * them: they follow the same rules of concurrency. */

__noinline int command__freeze(struct ebph_profile *p, u64 now)
{
	u64 s;
	int i;

	if (!p)
		return -ESTALE_;
	for (i = 0; i < STATE_TRIES; i++) {
		s = profile__state(p);
		if (!(s & EBPH_LIVE))
			return -ESTALE_;
		if (s & EBPH_FROZEN)
			return -EINVAL_;
		if (s & EBPH_BUSY)
			return -EBUSY_;
		p->normal_time = now + globals.limits.normal_wait;
		if (__sync_val_compare_and_swap(&p->state, s, s | EBPH_FROZEN) == s)
			return 0;
	}
	return -EBUSY_;
}

static __always_inline int command__reset(struct ebph_profile *p, u32 slot)
{
	/* First what the profile is held to be: an emptied test plane judges nobody. */
	__sync_fetch_and_and(&p->state, (u64)(EBPH_LIVE | EBPH_BUSY));
	plane__all(slot, PLANE_WIPE_BOTH);
	p->train_count = 0;
	p->last_mod_count = 0;
	p->anomalies = 0;
	p->normal_time = 0;
	p->unlearnt = 0;
	p->execs = 0;
	p->ended = 0;
	profile__bump(p, NULL, EPOCH_BOTH);
	__sync_fetch_and_and(&p->state, ~(u64)EBPH_BUSY);
	return 0;
}

/* A command on a profile; the needs are those of the table in algorithm.md:
 * 0, -EINVAL if one is not met, -EBUSY if somebody else is at it. `did` says
 * what to tell. */
__noinline int command__profile(u32 op, u32 slot, u64 now, u32 *did)
{
	struct ebph_profile *p = profile_at(slot);
	u64 s;
	int err;

	if (!p || !did)
		return -ESTALE_;
	s = profile__state(p);
	switch (op) {
	case EBPH_OP_TOLERIZE:
		if (!(s & EBPH_NORMAL))
			return -EINVAL_;
		*did = EBPH_DID_STOP;
		return profile__stop_normal(p, NULL) ? 0 : -EBUSY_;
	case EBPH_OP_FREEZE:
		err = command__freeze(p, now);
		*did = EBPH_DID_FREEZE;
		return err;
	case EBPH_OP_THAW:
		if (!(__sync_fetch_and_and(&p->state, ~(u64)EBPH_FROZEN) & EBPH_FROZEN))
			return -EINVAL_;
		*did = EBPH_DID_THAW;
		return 0;
	}
	if (!profile__lock(p, EBPH_LIVE, 0))
		return -EBUSY_;
	switch (op) {
	case EBPH_OP_NORMALIZE:
		*did = EBPH_DID_START | (s & EBPH_NORMAL ? EBPH_DID_REFRESH : 0);
		profile__promote(p, slot, NULL);
		return 0;
	case EBPH_OP_SENSITIZE:
		*did = EBPH_DID_RESET_TRAIN;
		profile__wipe_train(p, slot, NULL);
		return 0;
	case EBPH_OP_RESET:
		return command__reset(p, slot);
	}
	__sync_fetch_and_and(&p->state, ~(u64)EBPH_BUSY);
	return -EINVAL_;
}

/* Out of the index and marked dead; threads still bound bind anew. */
__noinline int command__forget(u32 slot)
{
	struct ebph_profile *p = profile_at(slot);
	u32 *found;

	if (!p)
		return -ESTALE_;
	if (!profile__lock(p, EBPH_LIVE, 0))
		return -EBUSY_;
	found = bpf_map_lookup_elem(&slots, &p->key);
	if (found && *found == slot && bpf_map_delete_elem(&slots, &p->key)) {
		/* It must not stay in the index when it is gone. */
		count(failed_index);
		__sync_fetch_and_and(&p->state, ~(u64)EBPH_BUSY);
		return -EBUSY_;
	}
	event__send(EBPH_EVENT_PROFILE_FORGOTTEN, EBPH_BY_COMMAND, slot);
	__sync_lock_test_and_set(&p->state, 0);
	profile__bump(p, NULL, EPOCH_BOTH);
	return 0;
}

static int reclaim__row(u32 i, u32 *slot)
{
	struct ebph_profile *p = profile_at(*slot);
	struct ebph_row *row;
	u32 id = i + 1, index;

	if (!p || id >= EBPH_IDS)
		return 1;
	p->symbol[id] = 0;
	index = p->row[id];
	row = row_at(index);
	if (!index || !row)
		return 0;
	p->row[id] = 0;
	__builtin_memset(row, 0, sizeof(*row));
	row__free(index);
	return 0;
}

/* After a grace period: no hook holds the profile or a row of it any more. */
__noinline int command__reclaim(u32 slot)
{
	struct ebph_profile *p = profile_at(slot);
	u32 i;

	if (!p || profile__state(p) & EBPH_LIVE)
		return -ESTALE_;
	/* A hook that was at work when it was forgotten may have counted on. */
	p->state = 0;
	bpf_loop(EBPH_IDS - 1, reclaim__row, &slot, 0);
	for (i = 0; i < EBPH_SYMBOLS / 4; i++)
		((volatile u32 *)p->id)[i] = 0;
	__builtin_memset(&p->key, 0, sizeof(p->key));
	p->ids = 0;
	p->flags = 0;
	p->rows = 0;
	__builtin_memset(&p->train_count, 0,
			 __builtin_offsetof(struct ebph_profile, row) -
				 __builtin_offsetof(struct ebph_profile, train_count));
	slot__free(slot);
	globals.pool.told = 0;
	return 0;
}

static __always_inline int command__setup(struct ebph_command *cmd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct ebph_row *none = row_at(0);
	u32 first = 0;
	struct upid *at;

	/* What a call without a row is looked up in: nothing was ever seen. */
	if (none)
		none->word[0] = ROW_COLUMN_0;
	/* Says that this program, which may sleep, uses that map: see there. */
	bpf_map_lookup_elem(&grace, &first);
	globals.limits = cmd->limits;
	globals.self_tgid = task->tgid;
	globals.self_level = BPF_CORE_READ(pid, level);
	at = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
	     globals.self_level * bpf_core_type_size(struct upid);
	globals.self_ns = BPF_CORE_READ(at, ns, ns.inum);
	globals.started = bpf_ktime_get_boot_ns();
	globals.last_run = 1;
	globals.run = 1;
	return 0;
}

static __always_inline int command__file_key(struct ebph_command *cmd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct inode *inode;
	struct file **fds, *file = NULL;

	if (cmd->arg >= BPF_CORE_READ(fdt, max_fds))
		return -EINVAL_;
	fds = BPF_CORE_READ(fdt, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), fds + cmd->arg) || !file)
		return -EINVAL_;
	inode = BPF_CORE_READ(file, f_inode);
	inode__key(inode, &cmd->key);
	cmd->key.script = 0;
	cmd->key.partition = 0;
	return 0;
}

static __always_inline int command__on_profile(struct ebph_command *cmd)
{
	struct ebph_profile *p = profile_at(cmd->slot);
	u32 did = 0, flags = EBPH_BY_COMMAND, kind;
	int err;

	if (cmd->op == EBPH_OP_RECLAIM)
		return p && p->generation == cmd->generation ? command__reclaim(cmd->slot)
							     : -ESTALE_;
	if (!p || p->generation != cmd->generation || !(profile__state(p) & EBPH_LIVE))
		return -ESTALE_;
	if (cmd->op == EBPH_OP_FORGET)
		return command__forget(cmd->slot);
	err = command__profile(cmd->op, cmd->slot, bpf_ktime_get_boot_ns(), &did);
	if (err)
		return err;
	switch (cmd->op) {
	case EBPH_OP_NORMALIZE:
		kind = EBPH_EVENT_START_NORMAL;
		if (did & EBPH_DID_REFRESH)
			flags |= EBPH_REFRESH;
		break;
	case EBPH_OP_SENSITIZE:
		kind = EBPH_EVENT_SENSITIZED;
		break;
	case EBPH_OP_TOLERIZE:
		kind = EBPH_EVENT_STOP_NORMAL;
		break;
	case EBPH_OP_FREEZE:
		kind = EBPH_EVENT_PROFILE_FROZEN;
		break;
	case EBPH_OP_THAW:
		kind = EBPH_EVENT_PROFILE_THAWED;
		break;
	default:
		kind = EBPH_EVENT_PROFILE_RESET;
	}
	event__send(kind, flags, cmd->slot);
	return 0;
}

SEC("syscall")
int ebph_command(struct ebph_command *cmd)
{
	switch (cmd->op) {
	case EBPH_OP_SETUP:
		cmd->result = command__setup(cmd);
		break;
	case EBPH_OP_LIMITS:
		globals.limits = cmd->limits;
		cmd->result = 0;
		break;
	case EBPH_OP_RUN:
		if (!cmd->arg)
			globals.run = 0;
		else if (!globals.run)
			globals.run = globals.last_run = globals.last_run + 1;
		cmd->result = 0;
		break;
	case EBPH_OP_FILE_KEY:
		cmd->result = command__file_key(cmd);
		break;
	default:
		cmd->result = command__on_profile(cmd);
	}
	return 0;
}
