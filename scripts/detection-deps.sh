#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Makes sure that the programs `make detection` watches are there, and installs what is missing on
# Debian and Ubuntu. Services that come with them are neither started nor enabled: the test starts
# instances of its own. Quick when nothing is missing.
set -eu

# shellcheck disable=SC2034 # for who complains
name=detection-deps
# shellcheck source-path=SCRIPTDIR source=packages.sh
. "$(dirname "$0")/packages.sh"
any() { for path; do [ -e "$path" ] && return; done; return 1; }

# As the test looks for them: Debian's own, not what stands before them in somebody's PATH.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
need nginx has nginx
need libnginx-mod-http-perl test -e /usr/lib/nginx/modules/ngx_http_perl_module.so
need wrk has wrk
need redis-server has redis-server
need redis-tools has redis-benchmark
need postgresql any /usr/lib/postgresql/*/bin/pgbench
need python3 has python3
need vim has vim
need bsdutils has script
need gawk has gawk
need tar has tar
need gzip has gzip
need findutils has find
need sed has sed
need sqlite3 has sqlite3
need gcc has gcc
[ -n "$missing" ] || exit 0

can_install
[ -z "$sudo" ] || exec sudo "$0"

# What a package's script asks before it starts a service; 101 forbids it.
policy=/usr/sbin/policy-rc.d
kept=
restore() {
	rm -f "$policy"
	[ -z "$kept" ] || mv "$kept" "$policy"
}
if [ -e "$policy" ] || [ -L "$policy" ]; then
	kept=$policy.ebph-kept
	mv "$policy" "$kept"
fi
trap restore EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

install_missing

# A service that was there before is its owner's; one that came just now does not start at boot.
for service in nginx redis-server postgresql; do
	case " $missing " in
	*" $service "*) update-rc.d "$service" disable || say "$service may start at boot: it could not be disabled" ;;
	esac
done
