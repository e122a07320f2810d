"""The disk of a machine: Debian 12 with what a server has, made once and then copied."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.installroot import copy, remove
from lab.process import LabError, run
from lab.repository import cache_folder, locked
from lab.system import DEBIAN_PACKAGES

RELEASE = "bookworm"
SYSTEM = (
    *("systemd", "systemd-sysv", "dbus", "udev", "iproute2", "ca-certificates", "curl"),
    *("redis-server", "logrotate", "python3", "openssl", "e2fsprogs", "perl"),
    *DEBIAN_PACKAGES,
)
"""Packages installed from Debian: systemd, those of the lab's httpd and dnf, and the requirements
of the panel's packages."""

_MASKED = (
    *("systemd-networkd", "systemd-resolved", "systemd-timesyncd", "systemd-firstboot"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("fstrim.timer", "e2scrub_reap", "console-getty", "getty@tty1", "redis-server"),
)
"""Units that would wait for input at the first boot, or that are not under test. The distribution's
own Redis is off: the panel's packages have their own unit."""
_PASSED = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
_NO_START = "#!/bin/sh\nexit 101\n"


def missing() -> list[str]:
    """What this machine lacks to build and boot one, in words; empty is good."""
    tools = {
        "debootstrap": "debootstrap",
        "systemd-nspawn": "systemd-container",
        "nsenter": "util-linux",
        "mke2fs": "e2fsprogs",
    }
    lacks = [f"{tool} (package {name})" for tool, name in tools.items() if not shutil.which(tool)]
    if os.geteuid() != 0:
        lacks.append("root's rights")
    return lacks


def within(
    root: Path, argv: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> str:
    """Run a program in a folder that is not booted, with /proc and /dev. Returns its standard
    output; raises LabError with the end of both streams."""
    script = (
        'root=$1; shift; mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && '
        'exec chroot "$root" "$@"'
    )
    kept = [f"{name}={os.environ[name]}" for name in _PASSED if os.environ.get(name)]
    given = [f"{name}={value}" for name, value in (environment or {}).items()]
    usual = [f"PATH={_PATH}", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
    return run(
        [
            *("unshare", "--mount", "--propagation", "private", "bash", "-c", script, "within"),
            *(root, "env", "-i", *usual, *kept, *given, *argv),
        ]
    ).stdout


def template() -> Path:
    """The operating system of every machine; made now if it never was. Raises LabError."""
    if lacks := missing():
        raise LabError(f"A whole machine needs {', '.join(lacks)}.")
    state = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:10]
    made = cache_folder() / f"machine-{state}"
    made.parent.mkdir(parents=True, exist_ok=True)
    with locked(cache_folder() / "machine.lock"):
        if not made.is_dir():
            work = cache_folder() / ".machine"
            remove(work)
            _debootstrap(work)
            _settle(work)
            work.rename(made)
    return made


def new(folder: Path) -> Path:
    """A copy of the template at ``folder``, which must be empty or not there."""
    copy(template(), folder)
    folder.chmod(0o755)
    return folder


def _debootstrap(root: Path) -> None:
    sys.stderr.write(f"The operating system of the machine, once: {root}\n")
    mirror = _mirror()
    root.mkdir()
    # In its own mount namespace: its mounts end with it.
    apart = ("unshare", "--mount", "--propagation", "private")
    made = ("debootstrap", "--variant=minbase", "--include=ca-certificates", RELEASE)
    run([*apart, *made, root, mirror])
    for name in ("sources.list", "sources.list.d", "apt.conf.d"):
        place, ours = root / "etc/apt" / name, Path("/etc/apt") / name
        if ours.is_dir():
            shutil.copytree(ours, place, dirs_exist_ok=True)
        elif ours.is_file():
            shutil.copy(ours, place)
        elif place.is_file() and any((root / "etc/apt/sources.list.d").glob("*.sources")):
            place.unlink()
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    # A mirror behind a proxy may have a certificate that only this machine trusts.
    trust = root / "etc/apt/apt.conf.d/99-trust"
    if _TRUSTED.is_file():
        shutil.copy(_TRUSTED, root / "etc/apt/trusted.crt")
        trust.write_text('Acquire::https::CaInfo "/etc/apt/trusted.crt";\n', encoding="ascii")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text(_NO_START, encoding="ascii")
    policy.chmod(0o755)
    within(root, ["apt-get", "update", "-q"])
    within(
        root,
        [
            *("apt-get", "install", "-q", "-y", "--no-install-recommends"),
            *("-o", "Dpkg::Options::=--force-unsafe-io", *SYSTEM),
        ],
    )
    within(root, ["apt-get", "clean"])
    policy.unlink()


def _mirror() -> str:
    """The mirror that this machine's own apt uses."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listing.stdout.splitlines():
        address, _, release = line.partition(" ")
        if release in (RELEASE, "stable", "oldstable"):
            return address
    raise LabError(f"apt of this machine has no source of Debian's {RELEASE}.")


def _settle(root: Path) -> None:
    """Files that make a copy boot by itself and keep its logs."""
    (root / "etc/hostname").write_text("web03\n", encoding="ascii")
    (root / "etc/hosts").write_text(
        "127.0.0.1 localhost web03.example.test web03\n::1 localhost\n", encoding="ascii"
    )
    (root / "etc/machine-id").write_text("", encoding="ascii")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    for unit in _MASKED:
        name = unit if unit.endswith(".timer") else f"{unit}.service"
        place = root / "etc/systemd/system" / name
        place.unlink(missing_ok=True)
        place.symlink_to("/dev/null")
    journal = root / "etc/systemd/journald.conf.d"
    journal.mkdir(parents=True)
    (journal / "all.conf").write_text(
        "[Journal]\nStorage=persistent\nSyncIntervalSec=1s\nRateLimitBurst=0\n", encoding="ascii"
    )
    # Debian's rpm keeps its database under $HOME; a server has one for all users.
    (root / "etc/rpm").mkdir(parents=True, exist_ok=True)
    (root / "var/lib/rpm").mkdir(parents=True, exist_ok=True)
    (root / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n", encoding="ascii")
