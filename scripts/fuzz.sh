#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Usage: fuzz.sh RUNS [TARGET...]
#
# Fuzzes each target with so many inputs. What is new to the corpus goes to fuzz/work, what fails to
# fuzz/artifacts. Needs a nightly compiler and cargo-fuzz.
set -eu
cd "$(dirname "$0")/.."

runs=${1:?how many inputs}
shift
[ $# -gt 0 ] || set -- records profiles strace steps

for need in "cargo +nightly --version" "cargo fuzz --version"; do
	$need >/dev/null 2>&1 || {
		echo "fuzz.sh: \`$need\` fails: install a nightly compiler, and cargo-fuzz by \`cargo install cargo-fuzz\`" >&2
		exit 1
	}
done

for target in "$@"; do
	dictionary=''
	options=''
	case $target in
	records) longest=1400 ;;
	profiles) longest=1400 ;;
	strace) longest=512 dictionary=-dict=fuzz/strace.dict ;;
	# Its input has no words that comparisons could tell; and they are most of what it does.
	steps) longest=200 options="--no-trace-compares --target-dir fuzz/target/steps" ;;
	*)
		echo "fuzz.sh: no target $target" >&2
		exit 1
		;;
	esac
	mkdir -p "fuzz/work/$target"
	# No sanitizer: none of what is fuzzed has unsafe code, and without one there are several times as many.
	# shellcheck disable=SC2086 # Words of their own, or none.
	cargo +nightly fuzz run --sanitizer none $options "$target" "fuzz/work/$target" "fuzz/corpus/$target" -- \
		"-runs=$runs" "-max_len=$longest" -rss_limit_mb=2048 -malloc_limit_mb=64 -timeout=30 $dictionary
done
