#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs a command on another kernel, in an emulator, with the files of this machine:
#
#   scripts/kernels/run.sh [OPTION...] VERSION [--] COMMAND...
#
# The command runs as root, in the folder it was asked for in. It sees the files of the host's root
# file system, and those of the ones that the folder, the home and the program are on; what it changes is in the guest's memory
# and gone with it. Its output and exit status become those of this script. As a runner of cargo:
#
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="scripts/kernels/run.sh 6.1 --" cargo test --test live
#
#   --arch ARCH       amd64, arm64: by default the host's
#   --root FOLDER     instead of the host's root, with the folder (and $CARGO_TARGET_DIR) where it is
#   --results FOLDER  a folder of the host that the guest may write to, at /mnt/results there
#   --without-bpf-lsm boots with security modules that BPF is not among
#   --append WORDS    more words for the kernel's command line
#   --memory SIZE     2G        --cpus NUMBER  2        --timeout SECONDS  300
#   --count           one processor, whose clock is the number of instructions: a nanosecond each
#   --console         prints what the kernel said, at the end
#
# Exit status 124: it took longer than the timeout; 125: there was no guest, or it went down.
# Environment that the guest gets: PATH, HOME, LANG, LC_ALL, TERM, CI, CARGO_*, RUST_*, EBPH_*.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"

arch=$HOST_ARCH root=/ results='' security=landlock,lockdown,yama,bpf append='' memory=2G cpus=2 limit=300 console='' threads=multi clock=()
while [ $# -gt 0 ]; do
	case $1 in
	--arch) arch=$2 && shift ;;
	--root) root=$2 && shift ;;
	--results) results=$2 && shift ;;
	--without-bpf-lsm) security=landlock,lockdown,yama ;;
	--append) append=$2 && shift ;;
	--memory) memory=$2 && shift ;;
	--cpus) cpus=$2 && shift ;;
	--timeout) limit=$2 && shift ;;
	--count) clock=(-icount "shift=0,sleep=off") threads=single cpus=1 ;;
	--console) console=1 ;;
	-*) die "run.sh knows no $1" ;;
	*) break ;;
	esac
	shift
done
[ $# -ge 2 ] || die "usage: run.sh [OPTION...] VERSION [--] COMMAND..."
version=$1
shift
[ "$1" != -- ] || shift
[ $# -gt 0 ] || die "no command to run"

case $arch in
amd64)
	# No more than the binaries of distributions ask for: what is emulated costs.
	machine=(qemu-system-x86_64 -M pc -cpu "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16")
	port=ttyS0
	;;
arm64)
	machine=(qemu-system-aarch64 -M "virt,gic-version=3" -cpu cortex-a57)
	port=ttyAMA0
	;;
*) die "there is no emulator set up for $arch" ;;
esac
virtiofsd=$CACHE/$HOST_ARCH/virtiofsd/usr/lib/qemu/virtiofsd
busybox=$CACHE/$arch/busybox/bin/busybox
own_busybox=$CACHE/$HOST_ARCH/busybox/bin/busybox
release=$(kernels_of "$arch" | newest "$version")
[ -n "$release" ] || die "no kernel $version for $arch is there: $here/fetch.sh --arch $arch $version"
for program in "$busybox" "$own_busybox" "$virtiofsd" "${machine[0]}" unshare setpriv timeout findmnt; do
	command -v "$program" >/dev/null || die "$program is missing: $here/fetch.sh --arch $arch $version, and scripts/deps.sh tests"
done
[ "$(id -u)" = 0 ] || die "the guest's file server needs root: sudo -E $0"
kernel=$CACHE/$arch/kernels/$release

work=$(mktemp -d)
started=()
# shellcheck disable=SC2317 # called by the trap
clean_up() {
	local pid
	for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait || true
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# start COMMAND...: beside this script, and no longer than it, however it ends.
start() {
	setpriv --pdeathsig KILL "$@" &
	started+=($!)
}

archive() { (cd "$1" && find . | "$own_busybox" cpio -o -H newc 2>/dev/null); }

# What the guest starts from, made once for each kernel and version of these scripts.
initramfs=$kernel/initramfs
if [ ! -e "$initramfs" ] || [ "$here/guest.sh" -nt "$initramfs" ] || [ "$0" -nt "$initramfs" ]; then
	base=$work/base count=100 taken=' '
	mkdir -p "$base"/{bin,proc,sys,dev,modules,host,own,whole}
	cp "$busybox" "$base/bin/busybox"
	cp "$here/guest.sh" "$base/init"
	chmod +x "$base/init"
	# A module and first those that it depends on. One that is absent is built in.
	add() {
		local name=${1//-/_} file plain need
		case $taken in *" $name "*) return ;; esac
		taken="$taken$name "
		file=$(find "$kernel/modules" -name "$name.ko*" -o -name "${name//_/-}.ko*" | head -n 1)
		[ -n "$file" ] || return 0
		plain=$work/$name.ko
		case $file in
		*.xz) xz -dc "$file" ;;
		*.zst) zstd -qdc "$file" ;;
		*) cat "$file" ;;
		esac >"$plain"
		for need in $(tr '\0' '\n' <"$plain" | sed -n 's/^depends=//p' | tr , ' '); do add "$need"; done
		mv "$plain" "$base/modules/$count-$name.ko"
		count=$((count + 1))
	}
	for name in virtio_pci virtio_console virtiofs overlay; do add "$name"; done
	archive "$base" >"$initramfs.$$"
	mv "$initramfs.$$" "$initramfs"
fi

# What is particular to this run.
mkdir -p "$work/particular/order"
printf 'results=%q\nfiles=%q\n' "$results" "$(ulimit -n)" >"$work/particular/order/settings"
{
	for name in $(compgen -e | grep -E '^(PATH|HOME|LANG|LC_ALL|TERM|CI|(CARGO|RUST|EBPH)_.*)$'); do
		printf 'export %s=%q\n' "$name" "${!name}"
	done
	printf 'cd %q || exit 125\nexec' "$PWD"
	printf ' %q' "$@"
} >"$work/particular/order/command"
{ cat "$initramfs" && archive "$work/particular"; } >"$work/initramfs"

# The file server gets a tree of mounts of its own: a folder, and in it what is named, read-only.
serve() { # serve NAME FOLDER [MOUNT...] -- OPTION...
	local name=$1 folder=$work/served.$1
	shift
	mkdir "$folder"
	# shellcheck disable=SC2016 # for the shell in there
	start unshare --mount --propagation private sh -ec '
		name=$1 root=$2 folder=$3 && shift 3
		mount --bind "$root" "$folder"
		while [ "$1" != -- ]; do
			mount --bind "$1" "$folder$1"
			mount -o remount,bind,ro "$folder$1"
			shift
		done
		shift
		[ "$name" = results ] || mount -o remount,bind,ro "$folder"
		exec "$@"' sh "$name" "$1" "$folder" "${@:2}" \
		>"$work/$name.log" 2>&1
	machine+=(-chardev "socket,id=$name,path=$work/$name" -device "vhost-user-fs-pci,chardev=$name,tag=$name")
}
server() { # server NAME: the command that serves it
	echo "$virtiofsd" --socket-path="$work/$1" -o "source=$work/served.$1" -o sandbox=chroot -o log_level=err
}
beside=()
if [ "$root" = / ]; then
	# What is on other file systems than the root's, without what else is mounted.
	mapfile -t beside < <(for place in "$PWD" "${CARGO_TARGET_DIR:-$PWD}" "$HOME" "$1"; do
		findmnt -n -o TARGET -T "$place" 2>/dev/null || true
	done | sort -u | sed '/^\/$/d')
else
	for place in "$PWD" "${CARGO_TARGET_DIR:-$PWD}"; do
		place=$(realpath "$place")
		mkdir -p "$root$place"
		beside+=("$place")
	done
fi
# shellcheck disable=SC2046 # words
serve host "$root" "${beside[@]}" -- $(server host) -o cache=always -o xattr
if [ -n "$results" ]; then
	mkdir -p "$results"
	# shellcheck disable=SC2046 # words
	serve results "$(realpath "$results")" -- $(server results) -o cache=none
fi
for name in host ${results:+results}; do
	for _ in {1..200}; do
		[ -S "$work/$name" ] && continue 2
		sleep 0.05
	done
	die "the file server does not start: $(cat "$work/$name.log")"
done

# The guest's ports end in pipes, since the emulator would cut a regular file.
mkfifo "$work/out" "$work/errors"
cat "$work/out" &
readers=($!)
cat "$work/errors" >&2 &
readers+=($!)
started+=("${readers[@]}")
machine+=(-device virtio-serial-pci)
for name in out errors status; do
	machine+=(-chardev "file,id=$name,path=$work/$name" -device "virtserialport,chardev=$name,name=$name")
done

words="console=$port panic=-1 quiet mitigations=off nokaslr cryptomgr.notests tsc=reliable no_timer_check"
start timeout -k 5 "$limit" setpriv --pdeathsig KILL "${machine[@]}" -accel "tcg,thread=$threads" "${clock[@]}" -smp "$cpus" -m "$memory" \
	-object "memory-backend-memfd,id=memory,size=$memory,share=on" -numa node,memdev=memory \
	-nodefaults -no-user-config -no-reboot -display none -serial "file:$work/console" \
	-kernel "$kernel/image" -initrd "$work/initramfs" -append "$words lsm=$security $append" \
	</dev/null >"$work/emulator.log" 2>&1
ended=0
wait "${started[-1]}" || ended=$?
# A guest that never came so far has not opened its ends.
[ -s "$work/status" ] && wait "${readers[@]}"
[ -z "$console" ] || cat "$work/console" "$work/emulator.log" >&2
if [ ! -s "$work/status" ]; then
	tail -n 20 "$work/console" "$work/emulator.log" "$work/host.log" >&2 || true
	[ "$ended" != 124 ] || { say "$release: not done after $limit s" && exit 124; }
	die "$release went down without an exit status"
fi
exit "$(cat "$work/status")"
