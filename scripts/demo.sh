#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Plays section 3.6.1 of the thesis: a small program is learnt, and then caught doing one thing
# more. Fails unless exactly the last run is reported.
set -eu
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
"$cargo" build --locked --example demo --example monitor

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
"${CC:-cc}" -O1 -o "$dir/anomaly" examples/programs/anomaly.c

# Not "run it from target/": as a user, cargo knows how to run it with privileges.
"$cargo" run --locked --quiet --example demo -- "$dir/anomaly"
echo
echo "Now watch something of your own, as root:  cargo run --example monitor -- -- COMMAND"
