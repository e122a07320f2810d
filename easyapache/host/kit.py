"""The rollback kit: everything needed to take one change back, in one folder.

The engine uses it through the server's driver. When even that is gone, root runs the
``undo`` script in it: plain sh that needs rpm and httpd, and dnf or yum where it can.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from easyapache.host.config import HostConfig, script_calls
from easyapache.host.durable import write_atomically
from easyapache.host.server import Kit
from easyapache.profile import Package, Profile, Transaction

_SHELL_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^-]*\Z")
RPMS, INCOMING, FILES = "rpms", "incoming", "files"
BACK, FORTH = "undo-output", "forth-output"
"""What package managers wrote that were called with the kit's packages."""


def prepare(
    folder: Path, change: str, before: Profile, transaction: Transaction, config: HostConfig
) -> Kit:
    """Lay out the kit of a change, with the edited module files it would lose. The driver
    then fetches the packages into it. Doing it twice gives the same kit."""
    for name in (RPMS, INCOMING, FILES):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    mpm, itk = mpm_of(before)
    kit = Kit(folder, transaction, mpm, itk, _save_edited(folder, before, transaction, config))
    packages = sorted(item for item in before.packages if item.name.startswith("ea-"))
    content = {
        "change": change,
        "transaction": transaction.as_json(),
        "mpm": mpm,
        "itk": itk,
        "files": dict(kit.files),
        "packages_before": [item.nevra for item in packages],
    }
    write_atomically(folder / "kit.json", json.dumps(content, indent=1).encode())
    script = undo_script(kit, change, packages, config).encode()
    write_atomically(folder / "undo", script)
    (folder / "undo").chmod(0o700)
    return kit


def load(folder: Path) -> Kit | None:
    """The kit laid out in ``folder``, None where there is none (any more)."""
    try:
        data = json.loads((folder / "kit.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Kit(
        folder=folder,
        transaction=Transaction.from_json(data["transaction"]),
        mpm=str(data["mpm"]),
        itk=bool(data["itk"]),
        files=dict(data["files"]),
    )


def gather(kit: Kit, spool: Path) -> list[str]:
    """Fill a kit, both ways, from what the kits of all changes in the spool have kept. Returns
    the builds that none of them has."""
    missing = []
    for name, packages in ((INCOMING, kit.transaction.install), (RPMS, kit.transaction.remove)):
        for package in packages:
            if rpm_file(kit.folder / name, package):
                continue
            source = kept(spool, package)
            if source is None:
                missing.append(package.nevra)
            else:
                _copied(source, kit.folder / name / source.name)
    return missing


def _copied(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        scratch = target.with_name(f"{target.name}.part")
        shutil.copy2(source, scratch)
        scratch.rename(target)


def rpm_file(folder: Path, package: Package) -> Path | None:
    """The file of one package in a folder."""
    path = folder / rpm_name(package)
    return path if path.is_file() else None


def rpm_name(package: Package) -> str:
    """rpm's file names leave the epoch out."""
    return f"{package.name}-{package.version}-{package.release}.{package.arch}.rpm"


def kept(spool: Path, package: Package) -> Path | None:
    """The file of exactly this package in any kit of the spool, whichever change kept it."""
    folders = (folder for name in (RPMS, INCOMING) for folder in spool.glob(f"*/kit/{name}"))
    return next((path for folder in folders if (path := rpm_file(folder, package))), None)


def restore_files(kit: Kit) -> list[str]:
    """Put module files back as they had been edited, where their packages are there again.
    Returns the paths that were restored."""
    restored = []
    for path, name in sorted(kit.files.items()):
        copy, target = kit.folder / FILES / name, Path(path)
        if not copy.is_file() or not target.is_file():
            continue
        if target.read_bytes() != copy.read_bytes():
            shutil.copy2(copy, target)
            restored.append(path)
    return restored


def mpm_of(profile: Profile) -> tuple[str, bool]:
    """The MPM and ITK of a server: what runs, else what is configured, else what is installed."""
    for observation in (profile.running, profile.configured):
        if observation and observation.mpm:
            return observation.mpm, observation.itk
    prefix = "ea-apache24-mod_mpm_"
    found = sorted(
        name.removeprefix(prefix)
        for name in profile.names
        if name.startswith(prefix) and not name.endswith("_itk")
    )
    return (found[0] if len(found) == 1 else "prefork"), f"{prefix}itk" in profile.names


def _save_edited(
    folder: Path, before: Profile, transaction: Transaction, config: HostConfig
) -> dict[str, str]:
    edited = before.facts.get("edited_config_files")
    leaving = {package.name for package in transaction.remove}
    saved: dict[str, str] = {}
    for path, package in sorted(edited.items()) if isinstance(edited, Mapping) else ():
        real = Path(path)
        if not real.is_relative_to(config.root):
            real = config.root / real.relative_to("/")
        if package in leaving and real.is_file():
            name = f"{len(saved):03d}-{real.name}"
            shutil.copy2(real, folder / FILES / name)
            saved[str(real)] = name
    return saved


def _argv(argv: Sequence[str]) -> str:
    """An argv for the script, its program by absolute path."""
    program = shutil.which(argv[0]) or argv[0]
    return " ".join(quote(item) for item in (program, *argv[1:]))


def _script(script: Sequence[str]) -> str:
    """The body that restarts by the server's own script, where that script exists."""
    calls = [_argv(call) for call in script_calls(script)]
    return " && ".join([f"[ -x {quote(script[0])} ]", *calls]) if calls else "return 1"


def _word(text: str) -> str:
    """``text``, which can stand in a shell script as it is. Raises ValueError otherwise."""
    if not _SHELL_WORD.match(text):
        raise ValueError(f"{text!r} cannot be the name of a package")
    return text


def _plain_name(package: Package) -> str:
    """How rpm is asked for exactly this package: without the epoch, which not every rpm takes."""
    return _word(f"{package.name}-{package.version}-{package.release}.{package.arch}")


def _lines(items: Sequence[str]) -> str:
    return "\n".join(items)


def undo_script(kit: Kit, change: str, before: Sequence[Package], config: HostConfig) -> str:
    """The text of ``undo``. Exit status 0: the server is as it was; 1: it says what is not."""
    keep = {package.name for package in kit.transaction.remove}
    wanted = [_plain_name(package) for package in sorted(kit.transaction.remove)]
    unwanted = [_word(p.name) for p in sorted(kit.transaction.install) if p.name not in keep]
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
        "@ROOT@": quote(str(config.root).rstrip("/")),
        "@PIDFILE@": quote(str(config.pid_file)),
        "@SCRIPT@": _script(config.restart_script),
        "@MODULE@": f"/mod_mpm_{_word(kit.mpm)}\\.so",
        "@ITK@": "1" if kit.itk else "",
        "@WANTED@": " ".join(wanted),
        "@UNWANTED@": " ".join(unwanted),
        "@BEFORE@": _lines([_plain_name(item) for item in before]),
        "@FILES@": _lines(
            [
                f'cp -p "$here"/{FILES}/{quote(name)} {quote(path)}'
                for path, name in sorted(kit.files.items())
            ]
        )
        or ":",
    }
    text = _UNDO
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


_UNDO = """#!/bin/sh
# Takes change @CHANGE@ back: afterwards this server runs @MPM@ again.
#
# Run it as root when nothing else can do it any more. It needs no panel, no database, no
# Redis and no repository: only rpm and httpd, and dnf or yum where they work. Running it
# twice does no harm. Stop the agent first if it is still there.
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
wanted="@WANTED@"
unwanted="@UNWANTED@"
itk="@ITK@"

say() { printf '%s\\n' "$*"; }

# 0 when every package that left is back with all its files and none that came is still there.
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

running() {
    [ -r "$pid_file" ] || return 1
    pid=$(cat "$pid_file") && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null
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
    came=$pid
    sleep 2
    as_before && [ "$pid" = "$came" ]
}

# What a restart that was cut off was to replace: it may still serve, and without its pid file.
forsaken() {
    sed -n 's/.*"old": {"pid": \\([0-9]*\\),.*/\\1/p' "$here/../../restart.json" 2>/dev/null
}

stop_and_start() {
    for old in $(forsaken); do
        grep -q /mod_mpm_ "/proc/$old/maps" 2>/dev/null && kill -WINCH "$old"
    done
    if running; then
        ending=$pid
        kill -WINCH "$ending"
        tries=0
        while running && [ "$pid" = "$ending" ] && [ "$tries" -lt 600 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
        if running && [ "$pid" = "$ending" ]; then kill -TERM "$ending"; sleep 2; fi
    fi
    httpd_ -k start || { sleep 1; httpd_ -k start; }
}

say "Taking change @CHANGE@ back, to @MPM@."
if right; then
    say "1. The packages are already as they were."
else
    say "1. Packages, by the package manager and from this folder alone"
    set -- "$here"/rpms/*.rpm
    if [ -e "$1" ]; then
        manager_ -y --disablerepo='*' --setopt=clean_requirements_on_remove=False \\
            install --allowerasing "$@" </dev/null ||
            say "   The package manager could not do it."
    fi
    if ! right; then
        say "   Packages, by rpm alone"
        for package in $unwanted; do
            if rpm_ -q "$package" >/dev/null 2>&1; then
                rpm_ -e --nodeps "$package" || rpm_ -e --nodeps --noscripts "$package"
            fi
        done
        if [ -e "$1" ]; then
            rpm_ -U --nodeps --oldpackage --replacepkgs --replacefiles "$@" ||
                rpm_ -U --nodeps --oldpackage --replacepkgs --replacefiles --noscripts "$@"
        fi
    fi
    if ! right; then
        say "The packages are NOT as they were. Wanted: $wanted. Not wanted: $unwanted."
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
    say "httpd does not accept its configuration, so it was left alone. Mend what it says above,"
    say "then run this script again."
    exit 1
fi

say "4. httpd"
restart_script_ && comes_up || { stop_and_start && comes_up; } || {
    say "httpd does NOT run as before. Its error log says why."
    exit 1
}

say "5. What there is now"
say "   httpd runs as process $pid with @MPM@"
missing=0
while read -r package; do
    [ -n "$package" ] || continue
    rpm_ -q "$package" >/dev/null 2>&1 || { say "   not as before: $package"; missing=1; }
done <<'BEFORE'
@BEFORE@
BEFORE
[ "$missing" = 0 ] || exit 1
say "This server is as it was before change @CHANGE@."
"""
