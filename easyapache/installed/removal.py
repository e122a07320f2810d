"""``ea4-mpm uninstall``: everything that the package and setup have made, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from easyapache.installed import universal_hooks
from easyapache.installed.check import wait_for_changes
from easyapache.installed.layout import (
    ACCOUNT,
    AGENT,
    PREPARE,
    REDIS,
    RESUME,
    TARGET,
    WEB,
    WORKER,
    Layout,
    Refused,
    run,
    systemctl,
)
from easyapache.installed.whm import Whm, remove

_CHANGES_LIMIT = 900.0
LEFT_IN_RUN = Path("/run/easyapache-mpm-migrate.json")

Report = Callable[[str], None]


def uninstall(layout: Layout, *, keep_history: bool, report: Report) -> None:
    """Stops everything, removes settings, state and account, and at last the package. It needs no
    network. Raises Refused while a change of this server is unfinished."""
    if left := wait_for_changes(layout, 5.0):
        report(f"Waiting for a change to end: {', '.join(left)}")
        if wait_for_changes(layout, _CHANGES_LIMIT):
            raise Refused(
                "A change of this server is unfinished, and removing the agent would leave it so. "
                "See docs/how-to/at-3-am.md."
            )
    if Whm(layout).is_installed:
        remove(layout, report)
    universal_hooks.remove(layout)
    units = (WEB, WORKER, PREPARE, AGENT, REDIS, RESUME)
    systemctl("disable", "--now", TARGET, check=False)
    for unit in units:
        systemctl("disable", unit, check=False)
        if unit != RESUME:
            systemctl("stop", unit, check=False)
        systemctl("reset-failed", unit, check=False)
    kept = []
    if keep_history and layout.panel_state.exists():
        kept = [layout.panel_state, layout.secrets]
        for path in (layout.panel_state / "static", layout.spool):
            _remove(path)
        for path in layout.config.iterdir():
            if path != layout.secrets:
                _remove(path)
    else:
        _remove(layout.config)
        _remove(layout.state)
        if run(["getent", "passwd", ACCOUNT], check=False).returncode == 0:
            run(["userdel", ACCOUNT])
            run(["groupdel", ACCOUNT], check=False)
    LEFT_IN_RUN.unlink(missing_ok=True)
    name, removal = _package()
    report(f"Removing the package {name}")
    for path in kept:
        report(f"Kept: {path}")
    if kept:
        report(f"Kept: the account {ACCOUNT}, which owns it. ea4-mpm setup uses them again.")
    report("httpd keeps running as it is. Its journal entries stay in the journal.")
    os.execvp(removal[0], removal)  # noqa: S606


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _package() -> tuple[str, list[str]]:
    """The installed package and the command that removes it. Raises Refused."""
    for name in ("ea4-mpm-panel", "ea4-mpm-agent"):
        for question, removal in (
            (["dpkg-query", "-W", "-f", "${db:Status-Status}", name], ["dpkg", "--purge", name]),
            (["rpm", "-q", name], ["rpm", "-e", name]),
        ):
            if shutil.which(question[0]) is None:
                continue
            listing = run(question, check=False)
            if listing.returncode == 0 and "not-installed" not in listing.stdout:
                return name, removal
    raise Refused("No package of ea4-mpm is installed.")
