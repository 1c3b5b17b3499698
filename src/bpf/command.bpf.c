// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Commands from user space (thesis 3.7), run beside the hooks, not instead of
 * them: they follow the same rules of concurrency. */

enum { ABSORB_MODE = 0xff }; /* the rest of the argument: flags of the event */

/* Out of the index and marked dead; threads still bound bind anew. `binds`: as
 * often the profile may have been bound to, or the eviction is called off. */
__noinline int command__forget(u32 slot, u32 op, u64 binds)
{
	struct ebph_profile *p = profile_at(slot);
	u32 kind = EBPH_EVENT_PROFILE_FORGOTTEN;
	struct ebph_key key;
	u32 *found;

	if (!p)
		return -ESTALE_;
	if (!profile__lock(p, EBPH_LIVE, 0))
		return -EBUSY_;
	if (op == EBPH_OP_EVICT && p->binds != binds) {
		profile__unlock(p);
		return -EINVAL_;
	}
	key = p->key;
	found = bpf_map_lookup_elem(&slots, &key);
	if (found && *found == slot && bpf_map_delete_elem(&slots, &key)) {
		/* It must not stay in the index when it is gone. */
		count(failed_index);
		profile__unlock(p);
		return -EBUSY_;
	}
	/* The rest of the word stays until the slot is given back: who evicts wants
	 * to know what the profile was at the very end. */
	__sync_fetch_and_and(&p->state, ~(u64)EBPH_LIVE);
	if (op == EBPH_OP_EVICT) {
		kind = EBPH_EVENT_PROFILE_EVICTED;
		/* Executed since it was seen to be idle. If it was executed once more
		 * since then, it has a new profile already, and this one goes. */
		if (*(volatile u64 *)&p->binds != binds &&
		    !bpf_map_update_elem(&slots, &key, &slot, BPF_NOEXIST)) {
			__sync_fetch_and_or(&p->state, EBPH_LIVE);
			profile__unlock(p);
			return -EINVAL_;
		}
	}
	event__send(kind, EBPH_BY_COMMAND, slot);
	profile__unlock(p);
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
	at = pid__at(pid, globals.self_level);
	globals.self_ns = BPF_CORE_READ(at, ns, ns.inum);
	globals.started = bpf_ktime_get_boot_ns();
	globals.last_run = EBPH_RUN;
	globals.run = EBPH_RUN;
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
	cmd->file_ctime = inode__ctime(inode);
	cmd->file_size = BPF_CORE_READ(inode, i_size);
	return 0;
}

static __always_inline int command__absorb(u32 slot, u32 arg)
{
	u32 mode = arg & ABSORB_MODE, flags = EBPH_BY_COMMAND | (arg & ~ABSORB_MODE);
	int err = load__absorb(slot, mode);

	if (!err && mode == EBPH_ABSORB_ALL)
		event__send(EBPH_EVENT_PROFILE_LOADED, flags, slot);
	else if (!err && mode == EBPH_ABSORB_PAIRS)
		event__send(EBPH_EVENT_EXECUTABLE_CHANGED, flags, slot);
	event__changed(profile_at(slot), slot);
	return err;
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
	if (cmd->op == EBPH_OP_FORGET || cmd->op == EBPH_OP_EVICT)
		return command__forget(cmd->slot, cmd->op, cmd->binds);
	if (cmd->op == EBPH_OP_ABSORB)
		return command__absorb(cmd->slot, cmd->arg);
	err = profile__command(cmd->op, cmd->slot, bpf_ktime_get_boot_ns(), &did);
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
	event__changed(p, cmd->slot);
	return 0;
}

SEC("syscall")
int ebph_command(struct ebph_command *cmd)
{
	u32 slot = EBPH_SLOT_NONE, generation = 0;

	switch (cmd->op) {
	case EBPH_OP_SETUP:
		cmd->result = command__setup(cmd);
		break;
	case EBPH_OP_LIMITS:
		globals.limits = cmd->limits;
		cmd->result = 0;
		break;
	case EBPH_OP_RESPONSES:
		globals.responses = cmd->responses;
		cmd->result = 0;
		break;
	case EBPH_OP_RUN:
		if (!cmd->arg)
			globals.run = 0;
		else if (!globals.run)
			globals.run = globals.last_run = globals.last_run + EBPH_RUN ?: EBPH_RUN;
		cmd->result = 0;
		break;
	case EBPH_OP_FILE_KEY:
		cmd->result = command__file_key(cmd);
		break;
	case EBPH_OP_OPEN:
		cmd->result = load__open(&slot, &generation);
		cmd->slot = slot;
		cmd->generation = generation;
		break;
	default:
		cmd->result = command__on_profile(cmd);
	}
	return 0;
}
