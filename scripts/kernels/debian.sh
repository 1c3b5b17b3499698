# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Debian's packages, unpacked into the cache instead of installed, from the mirror that apt is set up
# with. Reads common.sh's CACHE.

# The next finds what this one fetched.
one_at_a_time() {
	mkdir -p "$CACHE"
	exec 9>"$CACHE/lock"
	flock 9
}

# The mirror, by what apt is set up with. Where that is not Debian's (Ubuntu), Debian's own.
mirror_of() { # mirror_of NAME
	local found
	# shellcheck disable=SC2016 # for apt to expand
	found=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | sed -n "s,^\(.*/$1\)/*\$,\1,p" | head -n 1)
	echo "${found:-http://deb.debian.org/$1}"
}

# apt with lists and archives of its own: on_arch ARCH COMMAND...
on_arch() {
	local place=$CACHE/$1/apt of=$1
	shift
	"$@" -o "Dir::Etc::SourceList=$place/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State::Lists=$place/lists" -o "Dir::Cache=$place/cache" \
		-o "APT::Architecture=$of" -o "APT::Architectures=$of" \
		-o Acquire::Languages=none -o APT::Sandbox::User=root
}

updated=
update() { # update ARCH: fetches the lists, once.
	case $updated in *" $1 "*) return ;; esac
	updated="$updated $1 "
	command -v apt-get >/dev/null || die "kernels are fetched by apt-get, which this system has not"
	local key=/usr/share/keyrings/debian-archive-keyring.gpg place=$CACHE/$1/apt debian security
	[ -e "$key" ] || die "$key is missing: install debian-archive-keyring"
	debian=$(mirror_of debian) security=$(mirror_of debian-security)
	mkdir -p "$place"/{lists/partial,cache/archives/partial}
	# Old kernels are kept by the security suites, new ones come as backports. From bookworm is
	# also the last QEMU that has a virtiofsd of its own.
	local suite
	for suite in "$debian bookworm" "$debian bookworm-backports" "$debian trixie-backports" \
		"$security bullseye-security" "$security bookworm-security" "$security trixie-security"; do
		echo "deb [signed-by=$key] $suite main"
	done >"$place/sources.list"
	say "asking $debian what kernels there are for $1"
	# A suite that the mirror no longer has costs only the kernels of that suite.
	on_arch "$1" apt-get -qq update || say "not every list could be fetched"
}

# unpack ARCH PACKAGE[=VERSION] FOLDER
unpack() {
	local work
	work=$(mktemp -d -p "$CACHE")
	(cd "$work" && on_arch "$1" apt-get -qq -o Dir::State::Status=/dev/null download "$2") ||
		{ rm -rf "$work" && die "the mirror does not give $2 for $1"; }
	mkdir -p "$3"
	dpkg-deb --extract "$work"/*.deb "$3"
	rm -rf "$work"
}

# Into a folder of another name first, so that what has the name is whole.
whole() { # whole FOLDER
	rm -rf "$1" && mv "$1.part" "$1"
}
