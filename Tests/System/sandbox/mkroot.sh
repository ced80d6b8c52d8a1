#!/bin/bash
# mkroot.sh - make a minimal Debian root with systemd, for boot.sh --root.
#
#   mkroot.sh OUT.tar [PACKAGE]...
#
# The same release as this machine, from the mirror that mmdebstrap defaults
# to: systemd, dbus, apt, what maintainer scripts use, and the PACKAGEs.  Takes
# half a minute or so; keep the result, booting it takes a second or two.
set -eu
[ $# -ge 1 ] && [ "${1#-}" = "$1" ] || { sed -n '2,/^set -eu/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
OUT=$1; shift
INCLUDE=systemd,systemd-sysv,dbus,libnss-systemd,init-system-helpers
for p in "$@"; do INCLUDE=$INCLUDE,$p; done
. /etc/os-release
# The hooks: nothing enabled but what boot.sh and the packages under test start
# (no apt timers that take apt's lock), and the package under test is unpacked
# whole, unlike those of the root itself.
mmdebstrap --quiet --variant=apt --include="$INCLUDE" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io \
    --customize-hook='rm -rf "$1"/etc/systemd/system/*.wants' \
    --customize-hook='rm -f "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap' \
    "$VERSION_CODENAME" "$OUT.new.tar"
mv "$OUT.new.tar" "$OUT"
