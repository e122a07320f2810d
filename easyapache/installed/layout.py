"""Where everything of an installation is."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ACCOUNT = "ea4-mpm"
"""The account of the panel, and the group that reads its configuration."""
REDIS_SOCKET = "/run/ea4-mpm-redis/redis.sock"

TARGET = "ea4-mpm.target"
WEB, WORKER, PREPARE = "ea4-mpm-web.service", "ea4-mpm-worker.service", "ea4-mpm-prepare.service"
REDIS, AGENT, RESUME = "ea4-mpm-redis.service", "ea4-mpm-agent.service", "ea4-mpm-resume.service"


class Refused(Exception):
    """A command failed; the message has the reason and the recommended action."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of an installation. ``root`` is ``/``, and another folder in tests."""

    root: Path = field(default=Path("/"))

    def _at(self, path: str) -> Path:
        return self.root / path

    @property
    def base(self) -> Path:
        return self._at("opt/ea4-mpm")

    @property
    def current(self) -> Path:
        return self.base / "current"

    @property
    def config(self) -> Path:
        return self._at("etc/ea4-mpm")

    @property
    def state(self) -> Path:
        return self._at("var/lib/ea4-mpm")

    @property
    def panel_state(self) -> Path:
        return self.state / "panel"

    @property
    def spool(self) -> Path:
        return self.state / "agent"

    @property
    def secrets(self) -> Path:
        return self.config / "secrets"

    @property
    def panel_env(self) -> Path:
        return self.config / "panel.env"

    @property
    def broker_env(self) -> Path:
        return self.config / "broker.env"

    @property
    def agent_env(self) -> Path:
        return self.config / "agent.env"

    @property
    def agent_toml(self) -> Path:
        return self.config / "agent.toml"

    @property
    def agent_key(self) -> Path:
        """The private key of this server, which signs tickets of WHM."""
        return self.config / "agent.key"

    @property
    def redis_conf(self) -> Path:
        return self.config / "redis.conf"

    @property
    def certificate(self) -> Path:
        return self.config / "tls/certificate.pem"

    @property
    def certificate_key(self) -> Path:
        return self.config / "tls/key.pem"

    @property
    def manage(self) -> Path:
        return self.current / "manage.py"

    @property
    def has_panel(self) -> bool:
        """Whether the installed package is the panel's; the other one has the agent alone."""
        return (self.current / "mpm").is_dir()

    @property
    def panel_is_set_up(self) -> bool:
        return self.panel_env.exists()

    @property
    def agent_is_set_up(self) -> bool:
        return self.agent_toml.exists()

    def units(self) -> list[str]:
        """The units that this installation runs, in the order in which they start."""
        own_redis = [REDIS] if self.redis_conf.exists() else []
        panel = [PREPARE, WEB, WORKER] if self.panel_is_set_up else []
        agent = [RESUME, AGENT] if self.agent_is_set_up else []
        return [*own_redis, *panel, *agent]


# -- files of settings ------------------------------------------------------------------------


def read_env(path: Path) -> dict[str, str]:
    """A file that systemd reads as EnvironmentFile. Empty where it is not there."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    values = {}
    for line in text.splitlines():
        name, sign, value = line.partition("=")
        if sign and not name.startswith("#"):
            values[name.strip()] = "".join(shlex.split(value)) if value.strip() else ""
    return values


def env_text(values: Mapping[str, str], about: str) -> str:
    """Such a file; ``about`` is a comment at its top. Raises Refused for a value that would end
    its line."""
    lines = [f"# {about}"]
    for name, value in values.items():
        if any(mark in value for mark in '\n\r\0"\\'):
            raise Refused(f"{name} must not hold a quotation mark, a backslash or an end of line.")
        lines.append(f'{name}="{value}"')
    return "\n".join(lines) + "\n"


def write(path: Path, text: str, mode: int, group: int) -> bool:
    """Write a file of root's that ``group`` may read as far as ``mode`` allows, whole or not at
    all. Returns whether it is another one than before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = path.read_text(encoding="utf-8") if path.exists() else None
    fresh = known != text
    if fresh:
        scratch = path.with_name(f".{path.name}.new")
        scratch.unlink(missing_ok=True)
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchown(handle, -1, group)
            os.fchmod(handle, mode)
            file.write(text)
            file.flush()
            os.fsync(handle)
        scratch.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    own(path, mode, group, os.geteuid())
    return fresh


def own(path: Path, mode: int, group: int, user: int = -1) -> None:
    """Give a file or folder this owner and mode, where it has others."""
    found = path.stat()
    if found.st_gid != group or (user >= 0 and found.st_uid != user):
        os.chown(path, user, group)
    if stat.S_IMODE(found.st_mode) != mode:
        path.chmod(mode)


# -- programs ----------------------------------------------------------------------------------


def run(
    argv: Sequence[str], *, check: bool = True, limit: float = 600.0, **more: object
) -> subprocess.CompletedProcess[str]:
    """Run a program. Raises Refused with the end of its output when it fails and ``check`` is
    set."""
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
            **more,  # type: ignore[call-overload]
        )
    except FileNotFoundError as error:
        raise Refused(f"{argv[0]} is not installed.") from error
    except subprocess.TimeoutExpired as error:
        raise Refused(f"{argv[0]} did not end within {limit:.0f} s.") from error
    if check and done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise Refused(f"{' '.join(argv[:4])} failed ({done.returncode}):\n{tail}")
    return done


def systemctl(*words: str, check: bool = True, limit: float = 600.0) -> str:
    return run(["systemctl", *words], check=check, limit=limit).stdout.strip()


def account() -> pwd.struct_passwd:
    """The panel's account. Raises Refused where setup has not made it."""
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError as error:
        raise Refused(f"There is no account {ACCOUNT}. Run ea4-mpm setup.") from error


def panel_environment(layout: Layout) -> dict[str, str]:
    """What a process of the panel has in its environment."""
    tree = layout.current.resolve()
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(layout.panel_state),
        "PYTHONPATH": f"{tree}:{tree / 'vendor'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        **read_env(layout.broker_env),
        **read_env(layout.panel_env),
    }


def manage(
    layout: Layout,
    *words: str,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    program: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py`` (``program``, where it is that of another version) as the panel's account.
    Raises Refused."""
    who = account()
    return run(
        [sys.executable, str(program or layout.manage.resolve()), *words],
        check=check,
        user=who.pw_uid,
        group=who.pw_gid,
        extra_groups=[],
        umask=0o077,
        cwd=str(layout.current.resolve()),
        env={**panel_environment(layout), **(environment or {})},
    )
