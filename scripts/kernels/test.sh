#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs the live tests on other kernels, in an emulator, and on this machine's own:
#
#   scripts/kernels/test.sh [--arch ARCH] VERSION... [-- FILTER...]
#
# VERSION is as fetch.sh has it; `host` is the kernel that runs here. A kernel that is too old to be
# monitored gets the one test that it is refused. VERSION:without-bpf-lsm boots with BPF not among the
# security modules, and runs what that changes: the tests that deny execs. FILTERs are libtest's: parts of names of tests, and
# options. For another architecture (--arch arm64) the tests are compiled by its cross compiler, and run
# with a userland of its own; this needs rustup and gcc-aarch64-linux-gnu. After a line for each kernel it fails if a test did, or none was run.
#
#   EBPH_KERNELS_LOGS   the folder for what the tests print: by default target/kernels
#   EBPH_KERNELS_LIMIT  seconds that one kernel may take: 3600
#   EBPH_KERNELS_OPTIONS more options for run.sh, such as --without-bpf-lsm
#   EBPH_TEST_DEADLINE  seconds that a test waits for something, in the emulator: 300
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"
cd "$here/../.."

arch=$HOST_ARCH versions=()
while [ $# -gt 0 ]; do
	case $1 in
	--) shift && break ;;
	--arch) arch=$2 && shift ;;
	*) versions+=("$1") ;;
	esac
	shift
done
[ ${#versions[@]} -gt 0 ] || die "usage: test.sh VERSION... [-- FILTER...]"

as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -E"

# Every kernel first: one that cannot be had should not be found out after an hour.
releases=()
for version in "${versions[@]}"; do
	[ "$version" != host ] || [ "$arch" = "$HOST_ARCH" ] || die "the host is no $arch"
	release=host boot=
	case $version in
	*:without-bpf-lsm) boot=:without-bpf-lsm ;;
	*:*) die "there is no boot ${version#*:}" ;;
	esac
	[ "$version" = host ] || release=$("$here/fetch.sh" --arch "$arch" "${version%%:*}")
	releases+=("$release$boot")
done

# What is compiled here is only run there: an emulator is no place for a compiler.
cargo=${CARGO:-cargo}
built=() booted=()
if [ "$arch" != "$HOST_ARCH" ]; then
	case $arch in
	arm64) cross=aarch64 ;;
	amd64) cross=x86_64 ;;
	*) die "there is no emulator set up for $arch" ;;
	esac
	compiler=$cross-linux-gnu-gcc triple=$cross-unknown-linux-gnu
	command -v "$compiler" >/dev/null || die "$compiler is missing: install gcc-${cross/_/-}-linux-gnu"
	[ -d "$(rustc --print sysroot)/lib/rustlib/$triple/lib" ] ||
		die "Rust has no standard library for $triple here: rustup target add $triple"
	userland=$("$here/userland.sh" "$arch")
	built=(--target "$triple") booted=(--arch "$arch" --root "$userland")
	export "CC_${triple//-/_}=$compiler" "CFLAGS_${triple//-/_}=--sysroot=$userland" PKG_CONFIG_ALLOW_CROSS=1
	triple=${triple^^}
	export "CARGO_TARGET_${triple//-/_}_LINKER=$compiler"
	export "CARGO_TARGET_${triple//-/_}_RUSTFLAGS=-C link-arg=--sysroot=$userland"
fi
$cargo build --locked "${built[@]}" --examples
tests_built() { # tests_built NAME: where cargo has put these tests
	local path
	path=$($cargo test --locked "${built[@]}" --test "$1" --no-run --message-format=json |
		sed -n "s/.*\"executable\":\"\([^\"]*\/$1-[^\"]*\)\".*/\1/p")
	[ -x "$path" ] || die "cargo did not say where it put the tests $1"
	echo "$path"
}
live=$(tests_built live)
special=$(tests_built kernels)
if [ "$arch" = "$HOST_ARCH" ]; then
	"$live" --exact harness::programs::all_compile >&2 || die "the programs of the tests do not compile"
	names=$("$live" --list)
	for filter; do
		case $filter in -*) continue ;; esac
		grep -qF -- "$filter" <<<"$names" || die "no test has $filter in its name"
	done
fi

logs=${EBPH_KERNELS_LOGS:-${CARGO_TARGET_DIR:-target}/kernels}
mkdir -p "$logs"
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit=$commit+

# What the README says of kernels: a line for each run of all tests.
record() { # record NAME COUNTS
	local passed=${2%% *} failed=${2#*; }
	printf '{"kernel":"%s","passed":%d,"failed":%d,"commit":"%s"}\n' \
		"$1" "$passed" "${failed%% *}" "$commit" >>"$logs/whole.jsonl"
}

failures=0
for release in "${releases[@]}"; do
	log=$logs/${release/:/-}.log
	began=$(date +%s) status=0
	# shellcheck disable=SC2206 # words
	options=("${booted[@]}" --memory 4G --timeout "${EBPH_KERNELS_LIMIT:-3600}" ${EBPH_KERNELS_OPTIONS:-})
	name=$release boot=() tests=("$live" "$@") first=(denies_by_lsm the_first_process_is_never_answered)
	case $arch/$release in
	*/host) name=$(uname -r) ;;
	*:without-bpf-lsm)
		name="${release%:*} *" boot=(--without-bpf-lsm)
		tests=("$live" deny::) first=(denies_by_fmod_ret)
		;;
	*/4.* | */5.[0-9].* | */5.10.*) tests=(true) first=(without_task_storage) ;;
	arm64/6.[123].*) first[0]=denies_by_nothing ;;
	esac
	if [ "$release" = host ]; then
		# shellcheck disable=SC2086 # nothing for root
		$as_root "${tests[@]}" >"$log" 2>&1 || status=$?
	else
		for test in "${first[@]}"; do
			grep -qF "fn $test()" tests/kernels.rs || die "there is no test $test"
		done
		# shellcheck disable=SC2016,SC2086 # for the shell in there; nothing for root
		$as_root env EBPH_TEST_DEADLINE="${EBPH_TEST_DEADLINE:-300}" \
			"$here/run.sh" "${options[@]}" "${boot[@]}" "${release%:*}" -- \
			bash -c '"$1" --exact $2 && exec "${@:3}"' kernels "$special" "${first[*]}" "${tests[@]}" \
			>"$log" 2>&1 || status=$?
	fi
	took=$(($(date +%s) - began))
	# In an emulator the tests for such kernels come first, and have a result of their own.
	results=2
	[ "$release" != host ] && [ "${tests[0]}" != true ] || results=1
	counts=$(sed -n 's/^test result: [^ ]* \([0-9]* passed; [0-9]* failed\);.*/\1/p' "$log" | sed -n "${results}p")
	case $status:$counts in
	0:"0 passed"* | 0:) verdict="no test was run" ;;
	0:?*) verdict= ;;
	124:*) verdict="not done in time" ;;
	*) verdict="failed: $log" ;;
	esac
	[ $# -gt 0 ] || [ "${tests[*]}" != "$live" ] || [ -z "$counts" ] || record "$name, $arch" "$counts"
	printf '%-32s %-24s %5s s   %s\n' "$name" "${counts:-no result}" "$took" "$verdict"
	if [ -n "$verdict" ]; then
		failures=$((failures + 1))
		# Names only: what failed tests print is long.
		sed -n '/^failures:$/,/^$/s/^    \(.*\)/    \1/p; s/^test \(.*\) \.\.\. FAILED.*/    \1/p' "$log" | sort -u
		[ -n "$counts" ] || tail -n 5 "$log"
	fi
done
case ${versions[*]} in *:without-bpf-lsm*) echo "* without BPF among the security modules: denying execs" ;; esac
[ "$failures" = 0 ] || { say "$failures of ${#releases[@]} failed" && exit 1; }
