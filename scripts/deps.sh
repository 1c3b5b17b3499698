#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Makes sure that what the build needs is there, and with the argument `tests` what
# they need, and installs what is missing on Debian and Ubuntu. Elsewhere it prints
# what to install. Quick when nothing is.
set -eu

# shellcheck disable=SC2034 # for who complains
name=deps
# shellcheck source-path=SCRIPTDIR source=packages.sh
. "$(dirname "$0")/packages.sh"
library() { pkg-config --exists "$1" || [ -e "/usr/include/$2" ]; }

need clang has clang
need clang-format has clang-format
need gcc has gcc
need make has make
need libc6-dev test -e /usr/include/stdio.h
need pkg-config has pkg-config
need libelf-dev library libelf libelf.h
need zlib1g-dev library zlib zlib.h
# The real programs that tests compare with, or stand in front of.
module() { /usr/bin/python3 -c "import $1"; }
if [ "${1:-}" = tests ]; then
	need util-linux has unshare
	need xz-utils has xz
	need strace has strace
	need stress-ng has stress-ng
	need python3 test -x /usr/bin/python3
	need python3-prometheus-client module prometheus_client
	need systemd has systemd-analyze
	need systemd-journal-remote test -x /lib/systemd/systemd-journal-remote
	need dbus-daemon has dbus-daemon
	need libnotify-bin has notify-send
	need python3-dbusmock module dbusmock
fi

if [ -n "$missing" ]; then
	if ! command -v apt-get >/dev/null; then
		say "missing:$missing (these are the names on Debian). Install the like of them:"
		say "  Fedora:  dnf install clang clang-tools-extra gcc make glibc-devel pkgconf elfutils-libelf-devel zlib-devel"
		say "  Arch:    pacman -S clang gcc make pkgconf libelf zlib"
		say "  Alpine:  apk add clang clang-extra-tools gcc make musl-dev linux-headers pkgconf elfutils-dev zlib-dev"
		exit 1
	fi
	install_missing
fi

if ! command -v cargo >/dev/null; then
	say "no Rust toolchain: see https://rustup.rs, or install your system's cargo (1.88 or newer)"
	exit 1
fi
