"""The unprivileged accounts: one for web, control worker and beat, one for Redis. So an attacker in
the broker cannot write the panel's database or its secrets."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NAME, BROKER = "ea4panel", "ea4redis"
NO_SHELL = ("-s", "/usr/sbin/nologin")


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Give one file or folder to this account."""
        os.chown(path, self.uid, self.gid)


def service_account(name: str = NAME) -> Account | None:
    """The account, created if missing. None when not root: then everything runs as the current
    user, who is unprivileged already."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        if shutil.which("useradd") is None:
            return None
        subprocess.run(
            ["useradd", "--system", "--user-group", "-M", "-d", "/nonexistent", *NO_SHELL, name],
            check=True,
            capture_output=True,
        )
        entry = pwd.getpwnam(name)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def started_as(account: Account | None) -> tuple[str, ...]:
    """What to put before an argv: it ends when the supervisor ends, however that happens, and
    with an account it has no rights but that account's, and no way to get others."""
    if shutil.which("setpriv") is None:
        if account is not None:
            raise FileNotFoundError("setpriv (util-linux) is required to drop root's rights")
        return ()
    prefix = ("setpriv", "--pdeathsig", "TERM")
    if account is None:
        return (*prefix, "--")
    return (
        *prefix,
        f"--reuid={account.uid}",
        f"--regid={account.gid}",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--",
    )


def can_work_in(account: Account, project: Path, data: Path) -> bool:
    """Can this account read the project, run its very Python and reach its data? Not when the
    checkout is inside root's home, for example. A Python there may even start, and then load
    the library of another one that lies in the usual places: hence the version."""
    question = (
        "import os, sys, django, easyapache.ea4.mpm; os.stat(sys.argv[1]); "
        "sys.exit(sys.version != sys.argv[2])"
    )
    checked = subprocess.run(
        [*started_as(account), sys.executable, "-B", "-c", question, str(data), sys.version],
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(project)},
        capture_output=True,
        check=False,
    )
    return checked.returncode == 0
