/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whole planes: copied and wiped while other CPUs go on learning.
 *
 * Each word is changed by single atomic operations, so a bit that another
 * thread sets meanwhile is never lost. The holder of EBPH_BUSY calls these.
 */
#ifndef EBPH_PLANE_BPF_H
#define EBPH_PLANE_BPF_H

enum plane_op {
	PLANE_PROMOTE,    /* test := train */
	PLANE_WIPE_TRAIN, /* column 0 stays set */
	PLANE_WIPE_BOTH,
};

enum {
	PLANE_CHUNK = 8, /* words a step */
	PLANE_CHUNKS = EBPH_IDS / 2 / PLANE_CHUNK,
};

struct plane_job {
	u32 slot;
	u32 keep;    /* bits of a word that stay */
	u32 promote; /* bits that become what the train plane has there */
};

static __always_inline void plane__word(u32 *word, struct plane_job *job, u32 always)
{
	u32 value = *(volatile u32 *)word;
	u32 set = (value & ROW_TRAIN) << 8 & job->promote;
	u32 keep = job->keep | set | always;

	if ((value & keep) == value && (value & set) == set)
		return;
	/* First set, then clear: for a moment more is normal, never less. */
	__sync_fetch_and_or(word, set);
	__sync_fetch_and_and(word, keep);
}

/* Some words of a row a step, not a row: a loop over a row's words inside
 * would be walked through word by word by the verifier. */
static int plane__step(u32 i, struct plane_job *job)
{
	struct ebph_profile *p = profile_at(job->slot);
	u32 id = i / PLANE_CHUNKS + 1, at = i % PLANE_CHUNKS * PLANE_CHUNK, w;
	struct ebph_row *row;

	if (!p || id >= EBPH_IDS)
		return 1;
	if (!p->row[id])
		return 0;
	row = row_at(p->row[id]);
	if (!row)
		return 0;
	plane__word(&row->word[at], job, at ? 0 : ROW_COLUMN_0);
	for (w = 1; w < PLANE_CHUNK; w++)
		plane__word(&row->word[at + w], job, 0);
	return 0;
}

__noinline int plane__all(u32 slot, u32 op)
{
	struct plane_job job = { .slot = slot };

	if (op == PLANE_PROMOTE) {
		job.keep = ROW_TRAIN;
		job.promote = ~ROW_TRAIN;
	} else if (op == PLANE_WIPE_TRAIN) {
		job.keep = ~ROW_TRAIN;
	}
	return bpf_loop((EBPH_IDS - 1) * PLANE_CHUNKS, plane__step, &job, 0);
}

#endif
