"""The script that takes a change back when nothing else is left: sh, rpm and httpd, and dnf or
yum where they work. Every kit has one, made for its change and its server (``kit/undo``)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from shlex import quote
from typing import Any

from easyapache.agent.config import HostConfig, restart_script_of, script_calls
from easyapache.agent.server import Kit
from easyapache.ea4.profile import Package

_SHELL_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^-]*\Z")


def undo_script(kit: Kit, change: str, before: Sequence[Package], config: HostConfig) -> str:
    """The text of ``undo``. Exit status 0: the server is as before; 1: it prints what is not."""
    keep = {package.name for package in kit.transaction.remove}
    wanted = [_plain_name(package) for package in sorted(kit.transaction.remove)]
    unwanted = [_shell_word(p.name) for p in sorted(kit.transaction.install) if p.name not in keep]
    manager = config.package_manager or next(
        ((path,) for name in ("dnf", "yum") if (path := shutil.which(name))), ()
    )
    values: dict[str, Any] = {
        "@CHANGE@": change,
        "@MPM@": kit.mpm + (" with ITK" if kit.itk else ""),
        "@ENVIRONMENT@": _lines(
            [f"export {name}={quote(value)}" for name, value in sorted(config.environment.items())]
        ),
        "@RPM@": _argv(config.rpm),
        "@MANAGER@": f'{_argv(manager)} "$@"' if manager else "return 1",
        "@HTTPD@": _argv(config.httpd),
        "@STARTED@": quote(" ".join(config.httpd)),
        "@MODULES@": quote(str((config.server_root / "modules").resolve())),
        "@ROOT@": quote(str(config.root).rstrip("/")),
        "@PIDFILE@": quote(str(config.pid_file)),
        "@SCRIPT@": _script(restart_script_of(config)),
        "@MODULE@": f"/mod_mpm_{_shell_word(kit.mpm)}\\.so",
        "@ITK@": "1" if kit.itk else "",
        "@WANTED@": " ".join(wanted),
        "@UNWANTED@": " ".join(unwanted),
        "@BEFORE@": _lines([_plain_name(item) for item in before]),
        "@FILES@": _lines(
            [
                f'cp -p "$here"/files/{quote(name)} {quote(path)}'
                for path, name in sorted(kit.files.items())
            ]
        )
        or ":",
    }
    text = _UNDO
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def _argv(argv: Sequence[str]) -> str:
    """An argv for the script, its program by absolute path."""
    program = shutil.which(argv[0]) or argv[0]
    return " ".join(quote(item) for item in (program, *argv[1:]))


def _script(script: Sequence[str]) -> str:
    """The body that restarts by the server's own script, where that script exists."""
    calls = [_argv(call) for call in script_calls(script)]
    return " && ".join([f"[ -x {quote(script[0])} ]", *calls]) if calls else "return 1"


def _shell_word(text: str) -> str:
    """``text``, if it needs no quoting in a shell script. Raises ValueError otherwise."""
    if not _SHELL_WORD.match(text):
        raise ValueError(f"{text!r} cannot be the name of a package")
    return text


def _plain_name(package: Package) -> str:
    """The name of exactly this package for rpm: without the epoch, which not every rpm accepts."""
    return _shell_word(f"{package.name}-{package.version}-{package.release}.{package.arch}")


def _lines(items: Sequence[str]) -> str:
    return "\n".join(items)


_UNDO = """#!/bin/sh
# Undoes change @CHANGE@: afterwards this server runs @MPM@ again.
#
# Run it as root when nothing else can undo the change. It needs no panel, no database, no
# Redis and no repository: only rpm and httpd, and dnf or yum where they work. Running it
# twice does no harm. Stop the agent first if it is still running.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
@ENVIRONMENT@
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) || exit 1

rpm_() { @RPM@ "$@"; }
manager_() { @MANAGER@; }
httpd_() { @HTTPD@ "$@"; }
restart_script_() { @SCRIPT@; }
pid_file=@PIDFILE@
root=@ROOT@
modules=@MODULES@
started=@STARTED@
wanted="@WANTED@"
unwanted="@UNWANTED@"
itk="@ITK@"

say() { printf '%s\\n' "$*"; }

# 0 when every removed package is installed again with all its files, and no added one is left.
right() {
    for package in $wanted; do
        rpm_ -q "$package" >/dev/null 2>&1 || return 1
        case $(rpm_ -V --nodeps "$package" 2>&1) in *missing*) return 1 ;; esac
    done
    for package in $unwanted; do
        rpm_ -q "$package" >/dev/null 2>&1 && return 1
    done
    return 0
}

# A pid file may name a process that has that number by chance.
running() {
    [ -r "$pid_file" ] || return 1
    pid=$(cat "$pid_file") && [ -n "$pid" ] && grep -qs /mod_mpm_ "/proc/$pid/maps"
}

# 0 when httpd runs with the modules it is to have. What is on the disk does not say that.
as_before() {
    running && grep -q '@MODULE@' "/proc/$pid/maps" 2>/dev/null || return 1
    if [ -n "$itk" ]; then
        grep -Eq '/(mod_)?mpm_itk\\.so' "/proc/$pid/maps"
    else
        ! grep -Eq '/(mod_)?mpm_itk\\.so' "/proc/$pid/maps"
    fi
}

# The same, but a server that is just starting may take a while: ten seconds, and five until
# there is one at all. And it must last: one that dies of a reload had these modules for a moment.
comes_up() {
    tries=0
    until as_before; do
        [ "$tries" -lt 100 ] || return 1
        [ "$tries" -lt 50 ] || running || return 1
        sleep 0.1
        tries=$((tries + 1))
    done
    first=$pid
    sleep 2
    as_before && [ "$pid" = "$first" ]
}

# Every httpd of this server, by its topmost processes: a restart that was cut off leaves two, and
# perhaps no pid file. One that was started with a configuration of its own, or that lives in a
# container, is another server.
serving() {
    here_too=$(readlink /proc/self/ns/net)
    all=" "
    for maps in $(grep -lsF "$modules/mod_mpm_" /proc/[0-9]*/maps); do
        one=${maps#/proc/}
        one=${one%/maps}
        [ "$(readlink "/proc/$one/ns/net" 2>/dev/null)" = "$here_too" ] || continue
        line=$(cat "/proc/$one/cmdline" 2>/dev/null | tr '\\0' ' ')
        case ${line#"$started"} in *" -f "* | *" -d "*) continue ;; esac
        all="$all$one "
    done
    for one in $all; do
        leader=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$one/status" 2>/dev/null)
        case $all in *" $leader "*) ;; *) printf '%s\\n' "$one" ;; esac
    done
}

# The sockets on which these processes wait for visitors, by their inodes.
ports_of() {
    inode_of_socket='s/.*socket:\\[\\([0-9]*\\)\\]$/\\1/p'
    for one in "$@"; do
        for inode in $(ls -l "/proc/$one/fd" 2>/dev/null | sed -n "$inode_of_socket"); do
            open_port "$inode" && printf '%s\\n' "$inode"
        done
    done
}

open_port() {
    grep -Eqs " 0A [^ ]+ [^ ]+ [^ ]+ +[0-9]+ +[0-9]+ $1 " /proc/net/tcp /proc/net/tcp6
}

# The service of this machine's systemd, where httpd is one. Started from here, httpd would be in
# the control group of this session, without the service's settings.
restart_service_() {
    [ -z "$root" ] && [ -d /run/systemd/system ] || return 1
    systemctl cat httpd.service >/dev/null 2>&1 || return 1
    systemctl reset-failed httpd.service 2>/dev/null
    systemctl restart httpd.service
}

# 0 when an administrator has decided that httpd is not to run.
switched_off() {
    for off in /etc/httpddisable /etc/apachedisable /etc/httpisable; do
        [ -e "$root$off" ] && return 0
    done
    return 1
}

# Waits so many tenths of a second until none of these sockets is open. 1: one still is.
closed_within() {
    tries=0
    limit=$1
    shift
    while [ "$tries" -lt "$limit" ]; do
        open=
        for inode in "$@"; do open_port "$inode" && open=1; done
        [ -n "$open" ] || return 0
        sleep 0.1
        tries=$((tries + 1))
    done
    return 1
}

stop_and_start() {
    # All of it is read before the first signal: an httpd that ends removes the pid file, even that
    # of another one.
    ports=$(ports_of $(serving))
    for one in $(serving); do kill -WINCH "$one" 2>/dev/null; done
    closed_within 100 $ports || for how in TERM KILL KILL; do
        # Children whose parent was killed obey little, and are the topmost only once it is gone.
        for one in $(serving); do
            [ -z "$(ports_of "$one")" ] || kill "-$how" "$one" 2>/dev/null
        done
        closed_within 20 $ports && break
    done
    sleep 0.2
    running || rm -f "$pid_file"
    httpd_ -k start || { sleep 1; httpd_ -k start; }
}

say "Undoing change @CHANGE@: back to @MPM@."
if right; then
    say "1. The packages are already restored."
else
    say "1. Packages, with the package manager and the files of this folder"
    set --
    for file in "$here"/rpms/*.rpm; do
        if rpm_ -K --nosignature "$file" >/dev/null 2>&1; then
            set -- "$@" "$file"
        else
            say "   damaged, skipped: $file"
        fi
    done
    if [ $# -gt 0 ]; then
        manager_ -y --disablerepo='*' --setopt=clean_requirements_on_remove=False \\
            install --allowerasing "$@" </dev/null ||
            say "   The package manager failed."
    fi
    if ! right; then
        say "   Packages, with rpm only"
        for package in $unwanted; do
            if rpm_ -q "$package" >/dev/null 2>&1; then
                rpm_ -e --nodeps "$package" || rpm_ -e --nodeps --noscripts "$package"
            fi
        done
        if [ $# -gt 0 ]; then
            rpm_ -U --nodeps --oldpackage --replacepkgs --replacefiles "$@" ||
                rpm_ -U --nodeps --oldpackage --replacepkgs --replacefiles --noscripts "$@"
        fi
    fi
    if ! right; then
        say "The packages are NOT restored. Expected: $wanted. Not expected: $unwanted."
        exit 1
    fi
fi

# A transaction that was killed can leave files of packages that are not installed.
for file in "$here"/incoming/*.rpm; do
    [ -e "$file" ] || continue
    rpm_ -q "$(rpm_ -qp --nosignature "$file" 2>/dev/null)" >/dev/null 2>&1 && continue
    rpm_ -qpl --nosignature "$file" 2>/dev/null | while read -r path; do
        [ -f "$root$path" ] || [ -L "$root$path" ] || continue
        rpm_ -qf "$path" >/dev/null 2>&1 || { say "   removing $path"; rm -f "$root$path"; }
    done
done

say "2. Edited module files"
@FILES@

say "3. Configuration"
if ! httpd_ -t; then
    say "Apache refuses its configuration and was not restarted. Fix the error above,"
    say "then run this script again."
    exit 1
fi

say "4. Apache"
if switched_off && ! running; then
    now="Apache is switched off ($off exists) and was not started"
else
    restart_script_ && comes_up || { restart_service_ && comes_up; } ||
        { stop_and_start && comes_up; } || {
        say "Apache does NOT run as before. See its error log."
        exit 1
    }
    now="Apache runs @MPM@, process $pid"
fi

say "5. Result"
say "   $now"
missing=0
while read -r package; do
    [ -n "$package" ] || continue
    rpm_ -q "$package" >/dev/null 2>&1 || { say "   not as before: $package"; missing=1; }
done <<'BEFORE'
@BEFORE@
BEFORE
[ "$missing" = 0 ] || exit 1
say "The state before change @CHANGE@ is restored."
"""
