# shellcheck shell=sh disable=SC2154 # name
# SPDX-License-Identifier: BSD-2-Clause
#
# What the scripts share that make sure of Debian's packages; they set `name`.

say() { printf '%s: %s\n' "$name" "$*" >&2; }

missing=
need() { # need PACKAGE CHECK...
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
has() { command -v "$1"; }

# can_install: or says what is missing, and ends; `sudo` is what apt-get needs before it.
can_install() {
	if ! command -v apt-get >/dev/null; then
		say "missing:$missing (these are the names on Debian): install the like of them"
		exit 1
	fi
	sudo=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || { say "missing:$missing; run as root: apt-get install$missing"; exit 1; }
		sudo=sudo
	fi
}

install_missing() {
	can_install
	say "installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # a list of packages, and an empty sudo for root
	$sudo apt-get install -y --no-install-recommends $missing ||
		{ $sudo apt-get update && $sudo apt-get install -y --no-install-recommends $missing; }
}
