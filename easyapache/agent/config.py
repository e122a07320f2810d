"""Where the parts of the managed server are: the agent's one configuration file.

On a production server every default holds and the file needs two lines. The lab and the tests
point the same fields into a folder. TOML; it must belong to the agent's user and be
writable by nobody else, because what it names is run with that user's rights.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easyapache.ea4.protocol import RESTART_METHODS, SERVER_NAME


class BadConfig(ValueError):
    """The configuration file cannot be used; the message says which line of thought is wrong."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """How to reach one server's package manager and httpd.

    ``package_manager``: argv prefix, as ``["dnf"]`` or ``["yum"]``, with the fixed options an
    installroot needs. Empty means: dnf if the server has it, else yum.
    ``rpm``: argv prefix for rpm. ``python``: the interpreter that can ``import dnf``.
    ``httpd``: argv prefix for httpd. ``root``: folder that stands for ``/`` of the server.
    ``server_root``: httpd's ServerRoot, as a path on this machine.
    ``status_url``: where mod_status answers. ``sites``: further addresses to ask before and
    after, as ``{"url", "host", "kind"}``; listeners and virtual hosts are found by themselves.
    ``restart_method``: ``auto``, ``overlap``, ``graceful-stop`` or ``script``.
    ``environment``: added to every process that is started.
    """

    server: str
    spool: Path
    driver: str = "dnf"
    package_manager: tuple[str, ...] = ()
    rpm: tuple[str, ...] = ("rpm",)
    python: str = "/usr/bin/python3"
    httpd: tuple[str, ...] = ("/usr/sbin/httpd",)
    root: Path = Path("/")
    server_root: Path = Path("/etc/apache2")
    pid_file: Path = Path("/run/apache2/httpd.pid")
    error_log: Path = Path("/var/log/apache2/error_log")
    status_url: str = "http://127.0.0.1/whm-server-status"
    sites: tuple[Mapping[str, str], ...] = ()
    restart_method: str = "auto"
    restart_script: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    simulated_state: Path | None = None


def script_calls(script: Sequence[str]) -> list[tuple[str, ...]]:
    """What to run so that httpd stops and starts. A script configured with arguments is run as
    it is; a bare one is cPanel's, which must be told to: its plain restart may be a graceful one,
    and that ends an httpd whose MPM has changed."""
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


_PATHS = {"spool", "root", "server_root", "pid_file", "error_log", "simulated_state"}
_LISTS = {"package_manager", "rpm", "httpd", "restart_script"}
_DRIVERS = ("dnf", "simulated")


def config_from(data: Mapping[str, Any]) -> HostConfig:
    """Raises BadConfig for a key that does not exist or a value of the wrong kind."""
    known = set(HostConfig.__dataclass_fields__)
    unknown = sorted(set(data) - known)
    if unknown:
        raise BadConfig(f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key in _PATHS:
            values[key] = Path(_text(key, value))
        elif key in _LISTS:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise BadConfig(f"{key} must be a list of strings, one per argument")
            values[key] = tuple(value)
        elif key == "sites":
            if not isinstance(value, list):
                raise BadConfig("sites must be a list of tables")
            values[key] = tuple(_texts(key, item) for item in value)
        elif key == "environment":
            values[key] = _texts(key, value)
        else:
            values[key] = _text(key, value)
    for required in ("server", "spool"):
        if required not in values:
            raise BadConfig(f"{required} is missing")
    config = HostConfig(**values)
    if not SERVER_NAME.match(config.server):
        raise BadConfig(f"server = {config.server!r}: lower-case letters, digits, dots and dashes")
    if config.driver not in _DRIVERS:
        raise BadConfig(f"driver = {config.driver!r}: one of {', '.join(_DRIVERS)}")
    if config.restart_method not in RESTART_METHODS:
        methods = ", ".join(RESTART_METHODS)
        raise BadConfig(f"restart_method = {config.restart_method!r}: one of {methods}")
    return config


def load_config(path: Path) -> HostConfig:
    """Read the agent's configuration.

    Raises BadConfig when the file is missing, is not TOML, says something unknown, or could
    be written by somebody other than its owner.
    """
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno())
            data = tomllib.load(handle)
    except OSError as error:
        raise BadConfig(f"{path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{path}: {error}") from error
    if mode.st_uid != os.geteuid() or mode.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BadConfig(
            f"{path} must belong to the agent's user and be writable only by that user: "
            f"chown {os.geteuid()} {path} && chmod 600 {path}"
        )
    try:
        return config_from(data)
    except BadConfig as error:
        raise BadConfig(f"{path}: {error}") from error


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadConfig(f"{key} must be text, not {type(value).__name__}")
    return value


def _texts(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise BadConfig(f"{key} must hold names and strings, not {type(value).__name__}")
    return {_text(key, name): _text(key, item) for name, item in value.items()}
