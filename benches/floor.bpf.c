// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The least that a program at the entry of system calls can cost. */
#define SEC(name) __attribute__((section(name), used))

SEC("tp_btf/sys_enter")
int floor_tp_btf(void *ctx)
{
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_enter")
int floor_tracepoint(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
