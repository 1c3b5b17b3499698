// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * One translation unit, so that the compiler sees the hot path whole.
 *
 * The `.bpf.h` files hold functions and maps, the `.bpf.c` files programs and what
 * only these need. Each uses only what is above it. Everything above "pid" knows
 * nothing of tasks and hooks: the live hooks and the replay program run the very
 * same code.
 */
#include "vmlinux/vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "ebph/wire.h"

#include "maps.bpf.h"
#include "config.bpf.h"
#include "count.bpf.h"
#include "symbol.bpf.h"
#include "row.bpf.h"
#include "plane.bpf.h"
#include "state.bpf.h"
#include "profile.bpf.h"
#include "frame.bpf.h"
#include "task.bpf.h"
#include "transition.bpf.h"

#include "pid.bpf.h"
#include "path.bpf.h"
#include "surroundings.bpf.h"
#include "event.bpf.h"
#include "image.bpf.h"
#include "slot.bpf.h"
#include "names.bpf.h"
#include "bind.bpf.h"
#include "storage.bpf.h"
#include "scope.bpf.h"
#include "hold.bpf.h"
#include "response.bpf.h"
#include "load.bpf.h"
#include "call.bpf.h"

#include "syscall.bpf.c"
#include "uring.bpf.c"
#include "sched.bpf.c"
#include "signal.bpf.c"
#include "response.bpf.c"
#include "command.bpf.c"
#include "tasks.bpf.c"
#include "replay.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
