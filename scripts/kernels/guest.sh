#!/bin/busybox sh
# shellcheck shell=dash disable=SC2154 # of busybox; `files`, `results` are among the settings
# SPDX-License-Identifier: BSD-2-Clause
#
# The first process of a guest, started twice: by the kernel from the initramfs, and again when the
# root file system is in place. What run.sh wants is in the file `order`.
set -u
busybox=/bin/busybox

give_up() {
	echo "guest: $*" >/dev/console
	"$busybox" poweroff -f
}

first() {
	mount="$busybox mount"
	$mount -t proc proc /proc
	$mount -t sysfs sysfs /sys
	$mount -t devtmpfs dev /dev
	# Numbered in the order of their dependencies.
	for module in /modules/*; do
		"$busybox" insmod "$module" || give_up "no module ${module##*/}"
	done
	# shellcheck disable=SC1091 # written by run.sh
	. /order/settings
	$mount -t virtiofs -o ro host /host || give_up "no file system from the host"
	$mount -t tmpfs -o size=75% own /own
	"$busybox" mkdir /own/changes /own/work
	$mount -t overlay -o lowerdir=/host,upperdir=/own/changes,workdir=/own/work root /whole ||
		give_up "no overlay"
	for place in proc sys dev; do
		"$busybox" mkdir -p "/whole/$place"
		$mount --move "/$place" "/whole/$place"
	done
	"$busybox" mkdir -p /whole/run /whole/mnt
	$mount -t tmpfs run /whole/run
	"$busybox" mkdir /whole/run/kernels
	"$busybox" cp /bin/busybox /init /order/* /whole/run/kernels
	# Not chroot: who is in a chroot can make no user namespaces.
	exec "$busybox" switch_root /whole /run/kernels/busybox sh /run/kernels/init second
}

# port NAME: where what is written comes out at run.sh.
port() {
	for port in /sys/class/virtio-ports/*; do
		[ "$("$busybox" cat "$port/name")" = "$1" ] && echo "/dev/${port##*/}"
	done
}

second() {
	busybox=/run/kernels/busybox
	mount="$busybox mount"
	cd / || give_up "no root"
	# shellcheck disable=SC1091 # written by run.sh
	. /run/kernels/settings
	"$busybox" mkdir -p dev/pts dev/shm
	$mount -t devpts devpts dev/pts
	$mount -t tmpfs shm dev/shm
	"$busybox" ln -sf /proc/self/fd dev/fd
	for number in 0:stdin 1:stdout 2:stderr; do
		"$busybox" ln -sf "/proc/self/fd/${number%:*}" "dev/${number#*:}"
	done
	$mount -t securityfs security sys/kernel/security
	$mount -t tracefs trace sys/kernel/tracing
	$mount -t debugfs debug sys/kernel/debug
	$mount -t bpf bpf sys/fs/bpf
	$mount -t cgroup2 cgroup sys/fs/cgroup
	if [ -n "$results" ]; then
		"$busybox" mkdir -p mnt/results
		$mount -t virtiofs results mnt/results || give_up "no folder for results"
	fi
	"$busybox" ifconfig lo 127.0.0.1 up
	"$busybox" hostname guest
	ulimit -n "$files"
	read -r up _ <proc/uptime
	echo "guest: up after $up s" >dev/console
	/bin/bash /run/kernels/command </dev/null >"$(port out)" 2>"$(port errors)"
	echo $? >"$(port status)"
	read -r up _ <proc/uptime
	echo "guest: done after $up s" >dev/console
	"$busybox" poweroff -f
}

# The kernel hands on words of its command line that it does not know.
if [ "${1:-}" = second ]; then second; else first; fi
