#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Unpacks the programs and libraries that the live tests need for another architecture, where this
# machine's own cannot run, and prints the folder:
#
#   scripts/kernels/userland.sh ARCH
#
# Nothing in there was run or set up, as installing would: what tests need of that is done below.
set -eu
cd "$(dirname "$0")"
# shellcheck source-path=SCRIPTDIR source=common.sh
. ./common.sh
# shellcheck source-path=SCRIPTDIR source=debian.sh
. ./debian.sh

[ $# = 1 ] || die "usage: userland.sh ARCH"
arch=$1
root=$CACHE/$arch/userland
# What the list of packages is, so that another list makes another root.
packages="base-files base-passwd bash dash coreutils util-linux mount procps findutils grep sed hostname
	libelf-dev zlib1g-dev gcc libc6-dev strace python3 python3-prometheus-client systemd
	systemd-journal-remote dbus-daemon libnotify-bin python3-dbusmock"
if [ "$(cat "$root/.packages" 2>/dev/null)" = "$packages" ]; then
	echo "$root"
	exit
fi
one_at_a_time
update "$arch"
say "unpacking a userland for $arch"
rm -rf "$root.part"
mkdir -p "$root.part"/usr/{bin,sbin,lib} "$root.part"/{etc,proc,sys,dev,run,mnt,root}
mkdir -m 1777 "$root.part/tmp"
for name in bin sbin lib; do ln -s "usr/$name" "$root.part/$name"; done
# Into an empty system, so that apt names all that they need; of one release, since the lists have others'
# kernels.
: >"$CACHE/$arch/apt/status"
# shellcheck disable=SC2086 # a list
on_arch "$arch" apt-get -qq -y -o "Dir::State::Status=$CACHE/$arch/apt/status" -o Debug::NoLocking=1 \
	-t bookworm --no-install-recommends --download-only install $packages >/dev/null ||
	die "the mirror does not give all of: $packages"
for package in "$CACHE/$arch/apt/cache/archives"/*.deb; do
	dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory "$root.part"
done
rm -f "$CACHE/$arch/apt/cache/archives"/*.deb
cd "$root.part"
cp usr/share/base-passwd/passwd.master etc/passwd
cp usr/share/base-passwd/group.master etc/group
echo guest >etc/hostname
echo "127.0.0.1 localhost guest" >etc/hosts
ln -sf gcc usr/bin/cc
printf '%s' "$packages" >.packages
whole "$root"
echo "$root"
