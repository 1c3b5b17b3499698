#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# bpf-compile.sh ARCH...   compiles the BPF object for each architecture
# (__TARGET_ARCH_*: x86, arm64), warnings being errors, and throws it away.
# The libbpf headers are those of the libbpf-sys that Cargo.lock names.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

manifest=$(cargo metadata --locked --format-version 1 |
	tr ',' '\n' | sed -n 's/^"manifest_path":"\(.*\/libbpf-sys-[^/]*\)\/Cargo.toml"$/\1/p' | head -n 1)
[ -n "$manifest" ] || { echo "bpf-compile: cargo metadata does not name libbpf-sys" >&2; exit 1; }
ln -s "$manifest/libbpf/src" "$work/bpf"

for arch in "$@"; do
	${CLANG:-clang} -g -O2 -target bpf -mcpu=v3 -fno-stack-protector -Wall -Werror "-D__TARGET_ARCH_$arch" \
		-isystem "$work" -Iinclude -Isrc/bpf -c src/bpf/ebph.bpf.c -o "$work/$arch.o"
	echo "bpf-compile: $arch: $(wc -c <"$work/$arch.o") bytes"
done
