#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Packs the crate and uses what was packed as a stranger would: unpacked elsewhere, without git and
# without a variable of this shell, as the only dependency of a program, which is the README's first.
# Then what only shows from there: that nothing is built twice, that a changed BPF header is seen, that
# a missing clang is one line, and that the documentation needs none.
set -eu
cd "$(dirname "$0")/.."

say() { echo "package: $*" >&2; }
die() { say "$*"; exit 1; }

cargo=${CARGO:-cargo}
target=$(pwd)/target
target=${CARGO_TARGET_DIR:-$target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$cargo" package --locked --allow-dirty --no-verify
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
tar -xzf "$target/package/ebph-$version.crate" -C "$work"
mv "$work/ebph-$version" "$work/ebph"

mkdir -p "$work/agent/src"
sed '1,/^```rust/d; /^```$/,$d' "$work/ebph/README.md" >"$work/agent/src/main.rs"
# So that the same versions are used.
cp "$work/ebph/Cargo.lock" "$work/agent/"
printf '[package]\nname = "agent"\nedition = "2024"\n[dependencies]\nebph.path = "../ebph"\n' >"$work/agent/Cargo.toml"
cd "$work/agent"

# What cargo does is left in told.
told=$work/told
alone() {
	env -i PATH="$PATH" HOME="$HOME" ${CARGO_HOME:+"CARGO_HOME=$CARGO_HOME"} ${RUSTUP_HOME:+"RUSTUP_HOME=$RUSTUP_HOME"} \
		CARGO_TARGET_DIR="$work/target" CARGO_TERM_COLOR=never "$@" >"$told" 2>&1
}
built() { grep -q "^ *\(Compiling\|Documenting\) $1 " "$told"; }

fail() { cat "$told" >&2 && die "$*"; }

say "building an agent on what was packed"
alone "$cargo" build || fail "it does not build"

{ alone "$cargo" build && ! grep -q Compiling "$told"; } || fail "it is built again although nothing changed"
touch "$work/ebph/include/ebph/wire.h"
{ alone "$cargo" build && built ebph; } || fail "it is not built again although a header changed"

! alone CLANG=/nonexistent "$cargo" check || die "it builds without clang, so what was tested is something else"
{ [ "$(grep -c '^error: ebph' "$told")" = 1 ] && grep -q '^error: ebph.*: no clang .*: install clang' "$told"; } ||
	fail "a missing clang is not told in one line"

{ alone CLANG=/nonexistent DOCS_RS=1 "$cargo" doc --no-deps -p ebph && built ebph; } ||
	fail "the documentation is not made without clang"
say "built, built again when and only when it must be, documented without clang"
