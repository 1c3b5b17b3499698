# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the scripts of this folder share: where things are kept, and how they complain.

# Outside the repository: kernels are large, and good for every clone of it.
CACHE=${EBPH_KERNELS:-${XDG_CACHE_HOME:-$HOME/.cache}/ebph-kernels}
# shellcheck disable=SC2034 # used by who reads this
HOST_ARCH=$(case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac)

say() { printf 'kernels: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 125
}

# kernels_of ARCH: the releases that are there, oldest first.
kernels_of() {
	local ready
	for ready in "$CACHE/$1"/kernels/*/ready; do
		[ -e "$ready" ] && basename "$(dirname "$ready")"
	done | sort -V
}

# newest VERSION: of the releases on standard input, the newest of that version; `6.1` is 6.1.0-56
# and no 6.12.
newest() {
	awk -v wanted="$1" '$0 == wanted || index($0, wanted ".") == 1 || index($0, wanted "-") == 1' |
		sort -V | tail -n 1
}
