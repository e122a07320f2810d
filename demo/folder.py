"""The data folder of a panel on one machine: who owns what, its secrets, its environment file.

::

    var/ anyone may enter, only the owner may write panel.env environment of the panel, used by
    manage.py (owner only) first-accounts the accounts made at the first start, with their passwords
    (owner only) running.json port, address and process ids, while it runs panel/ database, secrets,
    static files (the panel's account) redis/ the broker's configuration (the broker's account)
    agents/ spool/ the agents' configuration and spool (root) servers/ logs/ the lab and the
    simulated servers; one log per process
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.account import BROKER, Account, can_work_in, service_account
from easyapache.agent.change.durable import sync_folder

PROJECT = Path(__file__).resolve().parent.parent
OPEN_PLACE = Path("/var/lib/ea4-mpm-panel")


@dataclass(frozen=True, slots=True)
class Folder:
    """``account`` runs the unprivileged parts, ``broker_account`` runs Redis; None: the current
    user."""

    path: Path
    account: Account | None
    warning: str = ""
    broker_account: Account | None = None

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Create missing folders. Existing ones keep their content."""
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
        if path == PROJECT / "var" and path.stat().st_uid == os.geteuid():
            path.chmod(0o755)  # a panel without a demo keeps this folder to itself
        account, warning = service_account(), ""
        if account is not None and not can_work_in(account, PROJECT, path):
            warning = (
                f"{account.name} cannot read {PROJECT} or reach {path}, so everything runs as "
                "root. Put the project where everybody may read it to give the web part fewer "
                "rights."
            )
            account = None
        broker = service_account(BROKER) if account is not None else None
        folder = cls.for_agents(path, account, warning, broker)
        for served, owner in ((folder.panel, account), (folder.redis, broker)):
            served.mkdir(exist_ok=True, mode=0o700)
            if os.geteuid() == 0:
                give(served, owner)
        return folder

    @classmethod
    def for_agents(
        cls,
        path: Path,
        account: Account | None = None,
        warning: str = "",
        broker_account: Account | None = None,
    ) -> Folder:
        """Only what agents need: their configuration, their spools, their servers."""
        folder = cls(path, account, warning, broker_account)
        for private in (folder.agents, folder.spool, folder.logs):
            private.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.servers.mkdir(exist_ok=True, mode=0o711)  # httpd's own user serves from there
        return folder

    @property
    def panel(self) -> Path:
        return self.path / "panel"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def agents(self) -> Path:
        return self.path / "agents"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def servers(self) -> Path:
        return self.path / "servers"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def accounts_file(self) -> Path:
        return self.path / "first-accounts"

    @property
    def running_file(self) -> Path:
        return self.path / "running.json"

    @property
    def environment_file(self) -> Path:
        return self.path / "panel.env"

    def secret(self, name: str) -> Path:
        """A file of the panel with a random secret, made once; readable by its owner only."""
        path = self.panel / name
        if not path.exists() or not path.stat().st_size:
            write_private(path, secrets.token_urlsafe(48) + "\n")
            if self.account is not None:
                self.account.own(path)
        return path

    def write_environment(self, values: Mapping[str, str]) -> None:
        lines = [f"{name}={value}\n" for name, value in sorted(values.items())]
        write_private(self.environment_file, "".join(lines))

    def write_running(self, state: Mapping[str, Any]) -> None:
        write_private(self.running_file, json.dumps(state, indent=1) + "\n")


def give(path: Path, account: Account | None) -> None:
    """Hand a folder with all it holds to an account (None: to root), if it is not there yet.

    Symbolic links are given away as links, never followed: the account that owns the folder
    could have put them there.
    """
    uid, gid = (account.uid, account.gid) if account else (0, 0)
    if path.stat().st_uid == uid:
        return
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(parent) / name, uid, gid, follow_symlinks=False)
    os.chown(path, uid, gid)


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read: all of it or nothing, after a power cut too."""
    scratch = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    scratch.replace(path)
    sync_folder(path.parent)


def data_folder(project: Path = PROJECT) -> Path:
    """Where the data is: ``EA4_DATA``, else ``var/`` in the project.

    For root with a checkout that only root can enter (such as its home), it is ``OPEN_PLACE``:
    httpd's own account could not serve from the checkout.
    """
    chosen = os.environ.get("EA4_DATA")
    if chosen:
        return Path(chosen).absolute()
    everybody = all(part.stat().st_mode & 0o001 for part in (project, *project.parents))
    return project / "var" if everybody or os.geteuid() != 0 else OPEN_PLACE
