#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# How many instructions ebph adds to a call, and how many the verifier walks for each program, beside
# what these may be:
#
#   scripts/instructions.sh [--update] VERSION...
#
# VERSION is one of scripts/kernels/fetch.sh. Counted are all instructions, the kernel's and the programs', in
# a guest whose clock they are. They differ by some few from boot to boot (seen: up to six). benches/instructions.txt
# has the counts that were accepted. More than that by three in a hundred and six fails, and so does less than that by
# five in a hundred and six, since the next growth would then go unseen; --update writes down what was counted. What is
# measured without any program is shown only: it is the kernel's, and the compiler's. So is a word through a pipe: two
# processes take turns, and how the kernel changes between them differs from boot to boot by more than that.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=kernels/common.sh
. "$here/kernels/common.sh"
cd "$here/.."

update=
[ "${1:-}" != --update ] || { update=1 && shift; }
[ $# -gt 0 ] || die "usage: instructions.sh [--update] VERSION..."

as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -E"
known=benches/instructions.txt
counted=$(mktemp) told=$(mktemp)
trap 'rm -f "$counted" "$told"' EXIT

# Not optimized: the loop around the calls is the same for all, and its crates are compiled already.
bench=$(${CARGO:-cargo} build --locked --bench instructions --message-format=json |
	sed -n 's/.*"executable":"\([^"]*\/instructions-[^"]*\)".*/\1/p')
[ -x "$bench" ] || die "cargo did not say where it put the benchmark"
for version; do
	release=$("$here/kernels/fetch.sh" "$version")
	hook=tp_btf
	case $release in 7.[01].*) ;; 7.*) hook=tracepoint ;; esac
	# shellcheck disable=SC2086 # nothing for root
	EBPH_HOOK=$hook $as_root "$here/kernels/run.sh" --count --timeout 900 "$release" -- "$bench" --bench >"$told"
	sed "s/^/$version|/" "$told" >>"$counted"
done

awk -F '|' -v update="$update" '
	FNR == NR { if (!/^#/) accepted[$1 "|" $2 "|" $3] = $4; next }
	{
		key = $1 "|" $2 "|" $3
		verdict = ""
		if ($2 == "nothing" || $3 == "pipe") { }
		else if (!(key in accepted)) { verdict = "not among those accepted"; wrong++ }
		else if ($4 > accepted[key] * 1.03 + 6) { verdict = "more than " accepted[key]; wrong++ }
		else if ($4 < accepted[key] * 0.95 - 6) { verdict = "less than " accepted[key] ": write it down"; wrong++ }
		printf "%-6s %-14s %-26s %6d  %s\n", $1, $2, $3, $4, verdict
		seen++
	}
	END {
		if (!seen) { print "nothing was counted"; exit 1 }
		if (wrong && !update) exit 1
	}' "$known" "$counted"
if [ -n "$update" ]; then
	{
		sed -n '/^#/p' "$known"
		{ sed '/^#/d' "$known" && cat "$counted"; } | sed '/|pipe|/d' | awk -F '|' '
			{ key = $1 "|" $2 "|" $3; if (!(key in count)) order[n++] = key; count[key] = $4 }
			END { for (i = 0; i < n; i++) print order[i] "|" count[order[i]] }'
	} >"$known.new"
	mv "$known.new" "$known"
fi

# For `cargo bench --bench report`.
records=${CARGO_TARGET_DIR:-target}/ebph-bench
mkdir -p "$records"
{
	printf '{"bench":"instructions","commit":"%s","kernel":"emulated","processor":"QEMU","processors":1,"began":%s}\n' \
		"$(git rev-parse --short HEAD 2>/dev/null || true)" "$(date +%s)"
	awk -F '|' '$2 != "verifier" {
		printf "{\"table\":\"instructions\",\"series\":\"%s\",\"at\":\"%s, Linux %s\",\"unit\":\"\",\"value\":%d,\"low\":%d,\"high\":%d,\"samples\":9}\n",
			$2, $3, $1, $4, $4, $4
	}' "$counted"
} >"$records/instructions.jsonl"
