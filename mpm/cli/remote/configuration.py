"""Which panel, and with which token: options, then the environment, then a file.

The file is ``$XDG_CONFIG_HOME/ea4mpm/config.toml`` (``~/.config/ea4mpm/config.toml``)::

    default = "production"

    [panels.production]
    url = "https://panel.example.net"
    token_file = "~/.config/ea4mpm/token"    # or token = "…" in a file only you can read

    [panels.lab]
    url = "http://127.0.0.1:8000"
    token = "ea4mpm_…"
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpm.cli.commands.connection import Panel
from mpm.cli.commands.language import _
from mpm.cli.commands.statuses import BadUsage


class BadConfiguration(BadUsage):
    """No panel, no token, or an invalid file; the message has the recommended action."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "configuration")


def config_path(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")) / ".config")
    return Path(base).expanduser() / "ea4mpm" / "config.toml"


def panel_from(environ: Mapping[str, str] | None = None, *, name: str = "", url: str = "") -> Panel:
    """``EA4MPM_URL``, ``EA4MPM_TOKEN`` or ``EA4MPM_TOKEN_FILE``, ``EA4MPM_PANEL``, ``EA4MPM_CA``.

    Raises BadConfiguration.
    """
    environ = os.environ if environ is None else environ
    section = _section(environ, name or environ.get("EA4MPM_PANEL", ""))
    address = url or environ.get("EA4MPM_URL") or str(section.get("url", ""))
    if not address.startswith(("http://", "https://")):
        raise BadConfiguration(
            _("Set EA4MPM_URL, or url in {path}, to the URL of a panel.").format(
                path=config_path(environ)
            )
        )
    token = environ.get("EA4MPM_TOKEN", "") or _read(environ.get("EA4MPM_TOKEN_FILE", ""))
    token = token or str(section.get("token", "")) or _read(str(section.get("token_file", "")))
    if not token:
        raise BadConfiguration(
            _("Create an API token in the panel, and set EA4MPM_TOKEN_FILE to a file with it.")
        )
    if not re.fullmatch(r"[\x21-\x7e]+", token.strip()):
        raise BadConfiguration(_("This isn't a token of the panel: check where it is set."))
    ca = environ.get("EA4MPM_CA") or section.get("ca", True)
    address = address.rstrip("/").removesuffix("/api/v1").rstrip("/")
    return Panel(address, token.strip(), ca if isinstance(ca, bool) else str(ca))


def _section(environ: Mapping[str, str], name: str) -> dict[str, Any]:
    path = config_path(environ)
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            data = tomllib.load(handle)
    except FileNotFoundError:
        if name:
            raise BadConfiguration(
                _("{path} doesn't exist, so panel {name!r} is unknown.").format(
                    path=path, name=name
                )
            ) from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfiguration(f"{path}: {error}") from error
    panels = data.get("panels", {})
    if not isinstance(panels, dict):
        raise BadConfiguration(_("{path}: write each panel as [panels.NAME].").format(path=path))
    chosen = name or str(data.get("default", "")) or next(iter(panels), "")
    section = panels.get(chosen, {})
    if chosen and not (section and isinstance(section, dict)):
        raise BadConfiguration(
            _("{path} has no panel {name!r}; it has {names}.").format(
                path=path, name=chosen, names=", ".join(panels)
            )
        )
    if section.get("token") and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadConfiguration(
            _("Other users can read the token in {path}: chmod 600 {path}").format(path=path)
        )
    return dict(section)


def _read(path: str) -> str:
    if not path:
        return ""
    try:
        with Path(path).expanduser().open(encoding="utf-8") as handle:
            if _readable_by_all(handle.name, os.fstat(handle.fileno()).st_mode):
                raise BadConfiguration(
                    _("Other users can read the token in {path}: chmod 600 {path}").format(
                        path=path
                    )
                )
            return handle.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path}: {error}") from error


def _readable_by_all(path: str, mode: int) -> bool:
    """Containers and systemd hand secrets over below /run, and guard the folder instead."""
    shared = stat.S_ISREG(mode) and bool(mode & stat.S_IRWXO)
    return shared and not Path(path).resolve().is_relative_to("/run")
