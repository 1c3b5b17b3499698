#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Makes sure that the programs which benchmarks run are there, and installs what is missing on
# Debian and Ubuntu. The services among them are those of `make detection`. Quick when nothing is
# missing.
set -eu
cd "$(dirname "$0")"

say() { printf 'bench-deps: %s\n' "$*" >&2; }

./deps.sh
# nginx, wrk, redis and PostgreSQL, which its script installs without starting them.
./detection-deps.sh

missing=
need() { # need PACKAGE CHECK...
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
has() { command -v "$1"; }

# As the benchmarks look for them: Debian's own, not what stands before them in somebody's PATH.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
need git has git
need x11-apps has x11perf
need xvfb has Xvfb
need xfonts-base test -e /usr/share/fonts/X11/misc/fonts.dir
# What somebody would count calls with instead.
need strace has strace
need bpftrace has bpftrace
need linux-perf has perf
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	say "missing:$missing (these are the names on Debian): install the like of them"
	exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { say "missing:$missing; run as root: apt-get install$missing"; exit 1; }
	sudo=sudo
fi
say "installing$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of packages, and an empty sudo for root
$sudo apt-get install -y --no-install-recommends $missing ||
	{ $sudo apt-get update && $sudo apt-get install -y --no-install-recommends $missing; }
