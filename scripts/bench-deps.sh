#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Makes sure that the programs which benchmarks run are there, and installs what is missing on
# Debian and Ubuntu. The services among them are those of `make detection`. Quick when nothing is
# missing.
set -eu
cd "$(dirname "$0")"
# shellcheck disable=SC2034 # for who complains
name=bench-deps
# shellcheck source-path=SCRIPTDIR source=packages.sh
. ./packages.sh

./deps.sh
# nginx, wrk, redis and PostgreSQL, which its script installs without starting them.
./detection-deps.sh

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
[ -z "$missing" ] || install_missing
