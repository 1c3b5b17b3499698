// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Submission of io_uring requests: an operation is a letter between the system
 * calls of the thread that submits it, which is who called io_uring_enter, or the
 * kernel's own thread of the process where that polls the queue (SQPOLL).
 *
 * The tracepoint is where a request was found valid and is about to be issued:
 * once for each entry of the queue, whatever happens to the request from there on
 * (workers, retries, several completions). One that was refused before shows
 * itself by nothing but its call. The plan attaches the program whose tracepoint
 * this kernel has.
 */

static __always_inline int uring__submit(struct io_kiocb *req)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct ebph_profile *p;
	struct ebph_task *ts;
	u8 opcode = req->opcode;
	u32 symbol;

	/* As at the entry of system calls; but a worker's absence from the tree
	 * proves nothing either, until it was decided upon. */
	if (cfg_scope == EBPH_SCOPE_TREE && task__is_nobodys(task) && !task__is_worker(task))
		return 0;
	switch (thread__look(task, cfg_scope, &ts, &p)) {
	case THREAD_OURS:
		symbol = symbol__uring(opcode);
		if (profile__is_calm(p, ts, EBPH_BATCH) &&
		    (profile__again(ts, symbol) || profile__quick(p, ts, symbol)))
			return 0;
		break;
	case THREAD_OUTSIDE:
		return 0;
	case THREAD_UNCLEAR:
		break;
	}
	return call__slow(opcode, CALL_URING);
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(ebph_uring, struct io_kiocb *req)
{
	return uring__submit(req);
}

/* Up to 6.3. */
SEC("tp_btf/io_uring_submit_sqe")
int BPF_PROG(ebph_uring_sqe, struct io_kiocb *req)
{
	return uring__submit(req);
}
