#!/bin/bash
# boot.sh - boot a real systemd (PID 1 of its own namespaces) in a throw-away
# copy-on-write root, on a machine whose own PID 1 is something else.
#
#   boot.sh [options] [SRC[:DST[:ro]]]...     bind-mount SRC at DST (default /mnt)
#
#   --state-dir DIR    pid files and console log (default $SDBOX_STATE, else
#                      ${TMPDIR:-/tmp}/sdbox-UID); one sandbox per state dir
#   --root host        (default) the root is this machine's own / seen through
#                      an overlay: everything installed here is there, nothing
#                      written there comes back; starts in about a second
#   --root DIR|TAR     the root is an overlay over that directory, or over that
#                      unpacked tarball (mmdebstrap makes a minimal one)
#   --net private      (default) own network namespace, loopback only
#   --net host         this machine's network, for apt-get to reach its mirror
#   --cgroups v2       (default) unified hierarchy, as on a stock Debian 12
#   --cgroups hybrid   also this machine's cgroup v1 controllers: where memory
#                      and pids are bound to v1, only here are MemoryMax= and
#                      TasksMax= enforced
#   --size SIZE        tmpfs size of the writable layer (default 4g)
#   --timeout SECONDS  how long to wait for the boot to finish (default 60)
#
# Prints "sdbox: ready ..." when `systemctl is-system-running` says running or
# degraded.  `systemctl reboot` inside works and keeps the writable layer.
# Needs root, util-linux, and a kernel with overlayfs, cgroup2 and namespaces.
set -u
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/common.sh"

# ---------------------------------------------------------------- stage 2 ---
# PID 1 of the new pid namespace: mounts the API file systems into the root
# that stage 1 made, pivots into it and becomes systemd.
stage2() {
    local m=$1 cgroups=$2 net=$3; shift 3
    set -e
    mount -t proc -o nosuid,nodev,noexec proc "$m/proc"
    # As in other containers: kernel settings are not ours, except those of
    # our own network namespace.
    mount --bind "$m/proc/sys" "$m/proc/sys"
    [ "$net" = host ] || mount --bind "$m/proc/sys/net" "$m/proc/sys/net"
    # a boot id of our own for each boot, for journalctl -b
    cat /proc/sys/kernel/random/uuid >"$m/../boot_id"
    mount --bind "$m/../boot_id" "$m/proc/sys/kernel/random/boot_id"
    mount -o remount,bind,ro,nosuid,nodev,noexec "$m/proc/sys"
    if [ -e "$m/proc/sysrq-trigger" ]; then
        mount --bind "$m/proc/sysrq-trigger" "$m/proc/sysrq-trigger"
        mount -o remount,bind,ro "$m/proc/sysrq-trigger"
    fi
    # A read-only /sys also tells systemd to leave udev and the like alone.
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$m/sys"
    case $cgroups in
    v2)     mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$m/sys/fs/cgroup" ;;
    hybrid) mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs "$m/sys/fs/cgroup" ;;
    esac
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$m/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$m/tmp"
    mkdir -p "$m/run/lock"
    # /dev: the few nodes every program may expect, and a pts of our own
    mount -t tmpfs -o mode=755,nosuid tmpfs "$m/dev"
    local n
    for n in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
        # shellcheck disable=SC2086
        set -- $n; mknod -m 666 "$m/dev/$1" c "$2" "$3"
    done
    mkdir "$m/dev/pts" "$m/dev/shm" "$m/dev/mqueue"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts "$m/dev/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$m/dev/shm"
    ln -s pts/ptmx "$m/dev/ptmx"
    ln -s /proc/self/fd "$m/dev/fd"
    ln -s fd/0 "$m/dev/stdin"; ln -s fd/1 "$m/dev/stdout"; ln -s fd/2 "$m/dev/stderr"
    [ "$net" = host ] || ip link set lo up 2>/dev/null || true

    cd "$m"
    pivot_root . .              # old root is now mounted over the new one...
    umount -l .                 # ...until here
    cd /
    # systemd expects this of whoever starts it in a container; without it
    # LoadCredential= directories stay empty
    mount --make-rshared /
    local args=()
    [ "$cgroups" = hybrid ] && args=(systemd.unified_cgroup_hierarchy=0
                                     systemd.legacy_systemd_cgroup_controller=0)
    # "container" makes systemd skip what needs real hardware
    exec env -i container=sdbox PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        LANG=C.UTF-8 /lib/systemd/systemd --system systemd.unit=multi-user.target \
        systemd.firstboot=off "${args[@]}"
}

# ---------------------------------------------------------------- stage 1 ---
# The supervisor: own mount, ipc, uts (and network) namespaces.  Makes the
# root, boots it, boots it again on `systemctl reboot`, cleans up.
stage1() {
    local state=$1 root=$2 net=$3 cgroups=$4 size=$5; shift 5   # rest: binds
    set -e
    echo "$$ $(readlink /proc/self/ns/mnt)" >"$state/supervisor.pid"
    mount -t tmpfs -o "size=$size,mode=755" sdbox "$state/fs"
    local m=$state/fs/root lower=$root
    mkdir "$m" "$state/fs/upper" "$state/fs/work"
    if [ -f "$root" ]; then
        lower=$state/fs/lower; mkdir "$lower"; tar -C "$lower" -xpf "$root"
    elif [ "$root" = host ]; then
        lower=/
    fi
    mount -t overlay -o "lowerdir=$lower,upperdir=$state/fs/upper,workdir=$state/fs/work" overlay "$m"
    prepare_root "$m" "$root" "$net"

    local b src dst ro
    for b in "$@"; do
        IFS=: read -r src dst ro <<<"$b"
        mkdir -p "$m/$dst"; mount --rbind "$src" "$m/$dst"
        [ "$ro" != ro ] || mount -o remount,bind,ro "$m/$dst"
    done

    # A cgroup of our own in every hierarchy that the sandbox will see; the
    # cgroup namespace of stage 2 makes these the roots it sees.
    mkdir "$state/fs/cg"
    enter_cgroup "$state/fs/cg/unified" "" -t cgroup2
    if [ "$cgroups" = hybrid ]; then
        local c
        for c in name=systemd memory pids cpu cpuacct blkio devices; do
            enter_cgroup "$state/fs/cg/${c#name=}" "$c" -t cgroup -o "none,$c" ||
            enter_cgroup "$state/fs/cg/${c#name=}" "$c" -t cgroup -o "$c" ||
                echo "sdbox: no v1 hierarchy for $c"
        done
    fi
    set +e

    local up init i rc
    while :; do
        unshare --pid --cgroup --mount --fork --kill-child=KILL \
            "$HERE/boot.sh" --stage2 "$m" "$cgroups" "$net" </dev/null &
        up=$!
        for ((i = 0; i < 100; i++)); do
            init=$(cat "/proc/$up/task/$up/children" 2>/dev/null); init=${init%% *}
            [ -n "$init" ] && break
            sleep 0.02
        done
        echo "$init $(readlink "/proc/$init/ns/pid")" >"$state/init.pid.new"
        mv "$state/init.pid.new" "$state/init.pid"
        wait "$up"; rc=$?
        rm -f "$state/init.pid"
        # The kernel ends a pid namespace's init with SIGHUP for a reboot and
        # with SIGINT for a halt or power-off.
        [ $rc = 129 ] || break
        echo "sdbox: rebooting"
    done
    echo "sdbox: init ended, status $rc"
    leave_cgroups "$state/fs/cg"
    cd / && umount -R -l "$state/fs"
}

# Mounts one hierarchy privately, makes a cgroup below our own one there and
# moves into it.
enter_cgroup() {    # enter_cgroup MOUNTPOINT V1-CONTROLLER MOUNT-ARGS...
    local at=$1 ctl=$2 line path; shift 2
    # "7:pids:/some/group" (v1) or "0::/some/group" (v2)
    line=$(grep -E "^[0-9]+:${ctl}:" /proc/self/cgroup) || return 1
    path=${line#*:*:}
    mkdir -p "$at"
    mount "$@" sdbox "$at" 2>/dev/null || return 1
    mkdir -p "$at$path/sdbox.$$" || return 1
    echo "$at$path/sdbox.$$" >>"$(dirname "$at")/list"
    if [ -z "$ctl" ]; then
        # Where v2 has the controllers, hand them down (does nothing where
        # they are bound to v1 or where the group above has processes).
        local c
        for c in $(cat "$at$path/cgroup.controllers"); do
            echo "+$c" >"$at$path/cgroup.subtree_control" || true
        done 2>/dev/null
    fi
    echo $$ >"$at$path/sdbox.$$/cgroup.procs"
}
leave_cgroups() {
    local g i
    while read -r g; do
        echo $$ >"${g%/*}/cgroup.procs"
        for ((i = 0; i < 50; i++)); do
            find "$g" -depth -type d -exec rmdir {} + 2>/dev/null
            [ -d "$g" ] || break
            sleep 0.1
        done
    done <"$1/list"
}

# What has to differ in the root from what the lower layer says.
prepare_root() {
    local m=$1 root=$2 net=$3
    [ -x "$m/lib/systemd/systemd" ] && [ -x "$m/usr/bin/dbus-daemon" ] || {
        echo "sdbox: no systemd and dbus in the root (.ci/packages system installs them)"; exit 1; }
    mkdir -p "$m/proc" "$m/sys" "$m/dev" "$m/run" "$m/tmp"
    tr -d - </proc/sys/kernel/random/uuid >"$m/etc/machine-id"
    ln -sf /etc/machine-id "$m/var/lib/dbus/machine-id" 2>/dev/null || true
    echo sdbox >"$m/etc/hostname"
    printf '127.0.0.1 localhost sdbox\n::1 localhost ip6-localhost\n' >"$m/etc/hosts"
    : >"$m/etc/fstab"
    # container images say "101 = start no service" here; we want them started
    rm -f "$m/usr/sbin/policy-rc.d"
    mkdir -p "$m/var/log/journal"; rm -rf "$m"/var/log/journal/*
    [ "$net" = private ] || cp -L /etc/resolv.conf "$m/etc/resolv.conf" 2>/dev/null || true
    if [ "$root" = host ]; then
        # nothing that happens to be enabled on this machine is to start
        rm -rf "$m"/etc/systemd/system/*.wants "$m"/etc/systemd/system/*.requires
        rm -f "$m"/etc/rc[0-6S].d/S*
        # apt hooks that cost seconds here: waking up packagekit, and throwing
        # away apt's own cache as container images do
        rm -f "$m"/etc/apt/apt.conf.d/{*packagekit*,docker-clean}
    fi
    # no login prompts (there is no console), and hands off this machine's kernel
    local u
    for u in console-getty.service getty@.service getty-static.service \
             sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount \
             sys-fs-fuse-connections.mount systemd-modules-load.service \
             systemd-journald-audit.socket systemd-initctl.socket; do
        ln -sf /dev/null "$m/etc/systemd/system/$u"
    done
}

case ${1:-} in
--stage1) shift; stage1 "$@"; exit ;;
--stage2) shift; stage2 "$@"; exit ;;
esac

# ------------------------------------------------------------------- main ---
STATE=$(sdbox_default_state) ROOT=host NET=private CGROUPS=v2 SIZE=4g TIMEOUT=60
BINDS=()
while [ $# -gt 0 ]; do
    case $1 in
    --state-dir) STATE=$2; shift 2 ;;
    --root)      ROOT=$2; shift 2 ;;
    --net)       NET=$2; shift 2 ;;
    --cgroups)   CGROUPS=$2; shift 2 ;;
    --size)      SIZE=$2; shift 2 ;;
    --timeout)   TIMEOUT=$2; shift 2 ;;
    -h|--help)   sed -n '2,/^set -u/{/^set -u/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*)          sdbox_die "unknown option $1 (see --help)" ;;
    *)  IFS=: read -r src dst ro <<<"$1"
        src=$(realpath -e -- "$src") || sdbox_die "no such directory: $1"
        BINDS+=("$src:${dst:-/mnt}:${ro:-rw}"); shift ;;
    esac
done
[ "$(id -u)" = 0 ] || sdbox_die "needs root"
unshare --mount --uts --ipc true 2>/dev/null ||
    sdbox_die "may not make namespaces here (a container needs CAP_SYS_ADMIN, such as docker run --privileged)"
case $NET in private|host) ;; *) sdbox_die "--net private or host" ;; esac
case $CGROUPS in v2|hybrid) ;; *) sdbox_die "--cgroups v2 or hybrid" ;; esac
if [ "$ROOT" != host ]; then
    ROOT=$(realpath -e -- "$ROOT") || sdbox_die "no such root"
fi

mkdir -p -m 700 "$STATE" && STATE=$(cd "$STATE" && pwd -P) || sdbox_die "cannot use $STATE"
[ -O "$STATE" ] || sdbox_die "$STATE belongs to somebody else"
sdbox_supervisor_pid "$STATE" >/dev/null && sdbox_die "already running in $STATE (down.sh ends it)"
rm -f "$STATE"/*.pid; mkdir -p "$STATE/fs"

NETNS=(); [ "$NET" = private ] && NETNS=(--net)
setsid unshare --mount --uts --ipc "${NETNS[@]}" \
    "$HERE/boot.sh" --stage1 "$STATE" "$ROOT" "$NET" "$CGROUPS" "$SIZE" "${BINDS[@]}" \
    </dev/null >"$STATE/console.log" 2>&1 &

t0=$(date +%s%N) up=
until [ -n "$up" ]; do
    if [ $(($(date +%s%N) - t0)) -gt "${TIMEOUT}000000000" ]; then
        echo "boot.sh: not up after $TIMEOUT s" >&2
        cat "$STATE/console.log" >&2
        "$HERE/in.sh" --state-dir "$STATE" --timeout 5 journalctl -b --no-pager -n 40 >&2
        "$HERE/down.sh" --state-dir "$STATE" >&2
        exit 1
    fi
    sleep 0.1
    if [ -s "$STATE/supervisor.pid" ] && ! sdbox_supervisor_pid "$STATE" >/dev/null; then
        cat "$STATE/console.log" >&2
        "$HERE/down.sh" --state-dir "$STATE" >&2
        sdbox_die "the sandbox ended while booting"
    fi
    case $("$HERE/in.sh" --state-dir "$STATE" --timeout 5 systemctl is-system-running 2>/dev/null) in
    running) up=running ;;
    degraded) up=degraded ;;
    esac
done
echo "sdbox: ready ($up after $((($(date +%s%N) - t0) / 1000000)) ms) state-dir=$STATE"
