"""Where the parts of the managed server are: the agent's one configuration file.

On a production server every default holds and the file needs two lines. The lab and the tests point
the same fields into a folder. TOML; it must belong to the agent's user and be writable only by that
user, whose rights run what it names.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from easyapache.ea4.protocol import RestartMethod, ServerName
from easyapache.ea4.schema import BadMessage, Schema

LARGEST = 1024 * 1024
"""Bytes of the file that are read; the rest of a longer one is cut off."""
Driver = Annotated[str, Meta(pattern=r"^(dnf|simulated)\Z", description="one of dnf, simulated")]
Arguments = Annotated[tuple[str, ...], Meta(description="a list of strings, one for each argument")]


class BadConfig(ValueError):
    """The configuration file cannot be used; the message names the key and, in a file, the line."""


@dataclass(frozen=True, slots=True)
class HostConfig(Schema):
    """How to call one server's package manager and httpd: the keys of the agent's file."""

    IF_ANY: ClassVar = frozenset({"simulated_state"})
    server: ServerName
    """The name of this server in the panel."""
    spool: Path
    """The folder of the changes, with their journals and restore points."""
    driver: Driver = "dnf"
    """``dnf``, or ``simulated`` for a server that is only a file."""
    package_manager: tuple[str, ...] = ()
    """The command of the package manager, with fixed options if it needs some. Empty: ``dnf`` if
    the server has it, else ``yum``."""
    rpm: tuple[str, ...] = ("rpm",)
    """The command of rpm, with fixed options if it needs some."""
    python: str = "/usr/bin/python3"
    """The Python that can ``import dnf``."""
    httpd: tuple[str, ...] = ("/usr/sbin/httpd",)
    """The command of Apache, with fixed options if it needs some."""
    root: Path = Path("/")
    """The folder that is ``/`` for this server."""
    server_root: Path = Path("/etc/apache2")
    """Apache's ServerRoot."""
    pid_file: Path = Path("/run/apache2/httpd.pid")
    """Apache's PidFile."""
    error_log: Path = Path("/var/log/apache2/error_log")
    """Apache's main ErrorLog."""
    status_url: str = "http://127.0.0.1/whm-server-status"
    """The address at which mod_status answers."""
    sites: tuple[Mapping[str, str], ...] = ()
    """More addresses to check before and after a change, as ``{url, host, kind}``. Listeners and
    virtual hosts are detected without it."""
    restart_method: RestartMethod = "auto"
    """``auto``, ``overlap``, ``graceful-stop`` or ``script``."""
    restart_script: tuple[str, ...] = ()
    """The command that restarts Apache. Empty: cPanel's ``restartsrv_httpd``, where it is
    installed."""
    second_opinion: bool = True
    """Whether WHM, where it is installed, is queried for a plan as well."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of every program that the agent starts."""
    simulated_state: Path | None = None
    """With ``simulated``: the file that holds the state of the server."""


def script_calls(script: Sequence[str]) -> list[tuple[str, ...]]:
    """The command that stops and starts httpd. A script with arguments is run as configured; a bare
    one is cPanel's and gets the option for a hard restart: a graceful one ends an httpd whose MPM
    has changed."""
    if len(script) != 1:
        return [tuple(script)] if script else []
    return [(*script, "--stop"), (*script, "--start")]


CPANEL_SCRIPT = "usr/local/cpanel/scripts/restartsrv_httpd"


def restart_script_of(config: HostConfig) -> tuple[str, ...]:
    """The configured restart script and its arguments, else cPanel's; empty where there is none."""
    if config.restart_script:
        return config.restart_script
    path = config.root / CPANEL_SCRIPT
    return (str(path),) if path.exists() else ()


def config_from(data: Any) -> HostConfig:
    """Raises BadConfig for a key that does not exist or a value of the wrong kind."""
    known = {item.name for item in fields(HostConfig)}
    unknown = sorted(set(data) - known) if isinstance(data, Mapping) else []
    if unknown:
        raise BadConfig(f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}")
    try:
        return HostConfig.from_json(data)
    except BadMessage as error:
        raise BadConfig(str(error)) from error


def load_config(path: Path) -> HostConfig:
    """Read the agent's configuration.

    Raises BadConfig when the file is missing, is not TOML, has an unknown setting, or can be
    written by others than its owner.
    """
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno())
            text = handle.read(LARGEST).decode("utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise BadConfig(f"{path}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML, which names the line
        raise BadConfig(f"{path}: {error}") from error
    if mode.st_uid != os.geteuid() or mode.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BadConfig(
            f"{path} must belong to the agent's user and be writable only by that user: "
            f"chown {os.geteuid()} {path} && chmod 600 {path}"
        )
    try:
        return config_from(data)
    except BadConfig as error:
        raise BadConfig(f"{path}{_line_of(str(error), text)}: {error}") from error


def _line_of(mistake: str, text: str) -> str:
    """``, line 3`` where the file sets the key that the sentence of a mistake begins with."""
    name = re.match(r"(?:unknown setting ')?([\w-]+)", mistake)
    sets = re.compile(rf"\s*\[*[\"']?{re.escape(name[1])}\b") if name else None
    for number, line in enumerate(text.splitlines(), 1):
        if sets and sets.match(line):
            return f", line {number}"
    return ""
