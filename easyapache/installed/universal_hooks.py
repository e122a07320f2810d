"""The panel's script among EasyApache 4's universal hooks: it notifies the agent of package
changes.

cPanel's plugin of the package manager runs the scripts in these folders after each transaction with
a package that matches the folder's name (CpanelInc/yum-plugin-universal-hooks, DNF.md, APT.md).
Ours touches one file and does nothing else. The agent notices that and notifies the panel, which
requests a scan: an external change is found at once.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from easyapache.installed.layout import Layout, write

NAME = "990-ea4-mpm"
"""After cPanel's own, the last of which is 520, so that the agent sees the final state."""
MARKER = "packages-moved"
"""The file in the agent's spool."""
_FOLDERS = (
    ("etc/dnf/universal-hooks", "multi_pkgs/transaction"),
    ("etc/apt/universal-hooks", "multi_pkgs/Post-Invoke"),
)
_OF_EA4 = "ea-__WILDCARD__"


def _places(layout: Layout) -> Iterator[Path]:
    for base, slot in _FOLDERS:
        if (layout.root / base).is_dir():
            yield layout.root / base / slot / _OF_EA4 / NAME


def text(layout: Layout) -> str:
    spool = shlex.quote(str(layout.spool))
    return (
        "#!/bin/sh\n"
        "# Tells the agent of ea4-mpm that packages of EasyApache 4 were installed or removed.\n"
        "# Written by ea4-mpm setup. It never fails, and nothing depends on it.\n"
        f"[ -d {spool} ] && touch {spool}/{MARKER} 2>/dev/null\n"
        "exit 0\n"
    )


def install(layout: Layout) -> None:
    """Where the server has universal hooks. Safe to repeat."""
    for path in _places(layout):
        write(path, text(layout), 0o755, os.getegid())


def remove(layout: Layout) -> None:
    """And the folder, where nothing else is in it."""
    for path in _places(layout):
        path.unlink(missing_ok=True)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


def missing(layout: Layout) -> list[str]:
    """The places where it should be and is not, or is another one."""
    return [
        str(path)
        for path in _places(layout)
        if not path.exists() or path.read_text(encoding="utf-8") != text(layout)
    ]
