#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Whether everything compiles with the oldest versions of its dependencies that Cargo.toml allows.
# What these depend on in turn is the newest: their lower bounds are not ours to mend. Done in a
# copy, since it needs a lock file of its own.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
git ls-files -z | xargs -0 cp --parents -t "$work"
cd "$work"
export CARGO_TARGET_DIR="$work/target"
# An option of nightly cargo's, which by that variable the stable one has as well.
RUSTC_BOOTSTRAP=1 "${CARGO:-cargo}" update -Z direct-minimal-versions
"${CARGO:-cargo}" check --locked --all-targets
