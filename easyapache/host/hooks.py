"""EasyApache 4's own package hooks: recognised, and run by us at the right moment.

A dnf plugin (universal-hooks) runs cPanel's scripts after every transaction with an ``ea-*``
package. One of them stops and starts httpd; that would be a second restart, and after a
transaction that broke off it would start httpd on a broken configuration. The transaction is
therefore made without the plugin, and the other scripts are run here, in their order.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from easyapache.host.runner import Runner
from easyapache.host.server import Log

FOLDER = "etc/dnf/universal-hooks/multi_pkgs/transaction/ea-__WILDCARD__"
REBUILD = "usr/local/cpanel/scripts/rebuildhttpdconf"


def scripts(root: Path) -> list[Path]:
    """The hook scripts in their order, without the one that restarts httpd."""
    folder = root / FOLDER
    if not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if os.access(path, os.X_OK) and "restartsrv_httpd" not in path.name
    ]


def run_after(root: Path, packages: Iterable[str], runner: Runner, log: Log) -> None:
    """What has to follow a transaction: the hooks, or on a cPanel server without them the
    rebuilding of httpd.conf. A script that fails is told and does not stop the rest, as with
    the plugin; whether the configuration is sound is tested afterwards anyway."""
    found = scripts(root)
    if not found:
        rebuild = root / REBUILD
        if os.access(rebuild, os.X_OK):
            _run([str(rebuild)], runner, log)
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pkg_list") as names:
        names.write("".join(f"{name}\n" for name in sorted(set(packages))))
        names.flush()
        for path in found:
            _run([str(path), f"--pkg_list={names.name}"], runner, log)


def _run(argv: list[str], runner: Runner, log: Log) -> None:
    log(f"$ {argv[0]}")
    done = runner.perform(argv, log)
    if not done.ok:
        log(f"{Path(argv[0]).name} ended with status {done.status}")
