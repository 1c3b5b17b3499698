#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Fetches kernels of Debian's and what boots them, to be run by run.sh:
#
#   scripts/kernels/fetch.sh [--arch ARCH] [--newer] VERSION...
#
# VERSION is the beginning of a release: 6.1, 7, 6.12.117+deb12; the newest that the mirror has is
# taken. What is there already is not fetched again, unless --newer asks the mirror for a newer one.
#
# Nothing but QEMU is installed: kernels, busybox and virtiofsd are unpacked into the cache
# ($EBPH_KERNELS, by default ~/.cache/ebph-kernels). They come from the mirror that apt is set up
# with, by lists of their own: those of the system stay as they are. apt checks what it fetches.
set -eu
cd "$(dirname "$0")"
# shellcheck source-path=SCRIPTDIR source=common.sh
. ./common.sh
# shellcheck source-path=SCRIPTDIR source=debian.sh
. ./debian.sh

arch=$HOST_ARCH newer=
while [ $# -gt 0 ]; do
	case $1 in
	--arch) arch=$2 && shift 2 ;;
	--newer) newer=1 && shift ;;
	-*) die "fetch.sh knows no $1" ;;
	*) break ;;
	esac
done
[ $# -gt 0 ] || die "usage: fetch.sh [--arch ARCH] [--newer] VERSION..."
case $arch in
amd64) qemu=qemu-system-x86_64 package=qemu-system-x86 ;;
arm64) qemu=qemu-system-aarch64 package=qemu-system-arm ;;
*) die "there is no emulator set up for $arch" ;;
esac

install_qemu() {
	local as=
	[ "$(id -u)" = 0 ] || as=sudo
	say "installing $package"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # empty for root
	set -- $as apt-get -qq -y --no-install-recommends --no-remove install
	"$@" "$package" >/dev/null 2>&1 && return
	# shellcheck disable=SC2086 # empty for root
	$as apt-get -qq update && "$@" "$package" >/dev/null 2>&1 && return
	# Beside a qemu-utils from the backports, the QEMU of the release itself would remove that.
	update "$HOST_ARCH"
	# shellcheck disable=SC1091 # every Debian has it
	on_arch "$HOST_ARCH" "$@" -t "$(. /etc/os-release && echo "$VERSION_CODENAME")-backports" "$package" >/dev/null ||
		die "$package cannot be installed; install it so that $qemu is there"
}
one_at_a_time
command -v "$qemu" >/dev/null || install_qemu

for one in "$arch" "$HOST_ARCH"; do # In the guest, and to pack what it starts from.
	busybox=$CACHE/$one/busybox
	[ ! -x "$busybox/bin/busybox" ] || continue
	update "$one"
	rm -rf "$busybox.part"
	unpack "$one" busybox-static "$busybox.part"
	whole "$busybox"
done
virtiofsd=$CACHE/$HOST_ARCH/virtiofsd
if [ ! -x "$virtiofsd/usr/lib/qemu/virtiofsd" ]; then
	update "$HOST_ARCH"
	version=$(on_arch "$HOST_ARCH" apt-cache madison qemu-system-common |
		awk -F'|' '$2 ~ /1:7\.2/ { gsub(/ /, "", $2); print $2; exit }')
	[ -n "$version" ] || die "the mirror has no qemu-system-common 7.2 any more, whose virtiofsd is used"
	rm -rf "$virtiofsd.part"
	unpack "$HOST_ARCH" "qemu-system-common=$version" "$virtiofsd.part"
	whole "$virtiofsd"
fi

for wanted; do
	have=$(kernels_of "$arch" | newest "$wanted")
	if [ -n "$have" ] && [ -z "$newer" ]; then
		echo "$have"
		continue
	fi
	update "$arch"
	release=$(on_arch "$arch" apt-cache pkgnames linux-image- |
		sed -n "s/^linux-image-\([0-9].*\.[0-9].*[-+].*cloud-$arch\)\$/\1/p" | newest "$wanted")
	[ -n "$release" ] || die "the mirror has no cloud kernel $wanted for $arch"
	place=$CACHE/$arch/kernels/$release
	if [ ! -e "$place/ready" ]; then
		say "fetching $release"
		rm -rf "$place.part"
		# From 6.19 on the kernel and its modules are packages of their own.
		if on_arch "$arch" apt-cache show "linux-binary-$release" >/dev/null 2>&1; then
			unpack "$arch" "linux-binary-$release" "$place.part"
			unpack "$arch" "linux-modules-$release" "$place.part"
		else
			unpack "$arch" "linux-image-$release" "$place.part"
		fi
		image=$(find "$place.part" -type f \( -name "vmlinuz-$release" -o -name vmlinuz \) | head -n 1)
		modules=$(find "$place.part" -type d -path "*/lib/modules/$release" | head -n 1)
		[ -n "$image" ] || die "no kernel in the package of $release"
		[ -n "$modules" ] || die "no modules in the package of $release"
		mv "$image" "$place.part/image"
		mv "$modules" "$place.part/modules"
		rm -rf "$place.part/boot" "$place.part/lib" "$place.part/usr"
		touch "$place.part/ready"
		whole "$place"
	fi
	echo "$release"
done
