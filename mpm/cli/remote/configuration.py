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
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class BadConfiguration(Exception):
    """No panel, no token, or a file that cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Panel:
    url: str
    token: str
    verify: bool | str = True
    """False for a certificate nobody signed, or the path of a CA's."""


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
            "Which panel? Set EA4MPM_URL, or url in " + str(config_path(environ)) + "."
        )
    token = environ.get("EA4MPM_TOKEN", "") or _read(environ.get("EA4MPM_TOKEN_FILE", ""))
    token = token or str(section.get("token", "")) or _read(str(section.get("token_file", "")))
    if not token:
        raise BadConfiguration(
            "No token. Make one in the panel under “API tokens” and set EA4MPM_TOKEN_FILE."
        )
    if not re.fullmatch(r"[\x21-\x7e]+", token.strip()):
        raise BadConfiguration("The token is none: it has letters, digits and underscores only.")
    ca = environ.get("EA4MPM_CA") or section.get("ca", True)
    return Panel(address.rstrip("/"), token.strip(), ca if isinstance(ca, bool) else str(ca))


def _section(environ: Mapping[str, str], name: str) -> dict[str, Any]:
    path = config_path(environ)
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            data = tomllib.load(handle)
    except FileNotFoundError:
        if name:
            raise BadConfiguration(f"There is no {path}, so no panel {name!r}.") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfiguration(f"{path}: {error}") from error
    panels = data.get("panels", {})
    if not isinstance(panels, dict):
        raise BadConfiguration(f"{path}: write each panel as [panels.NAME].")
    chosen = name or str(data.get("default", "")) or next(iter(panels), "")
    section = panels.get(chosen, {})
    if chosen and not (section and isinstance(section, dict)):
        raise BadConfiguration(f"{path} has no panel {chosen!r}; it has {', '.join(panels)}.")
    if section.get("token") and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadConfiguration(f"{path} holds a token: chmod 600 {path}")
    return dict(section)


def _read(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path}: {error}") from error
