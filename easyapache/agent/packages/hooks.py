"""EasyApache 4's own package hooks: recognized, and run by the engine at the right moment.

A plugin of dnf (universal-hooks) runs cPanel's scripts around every transaction. One of them stops
and starts httpd; that would be a second restart, and after an interrupted transaction it would
start httpd on a broken configuration. The transaction therefore runs without the plugin, and all
its other scripts are run here, when and as the plugin runs them:

* ``pkgs/<package>/<slot>/``: for each changed package, without arguments;
* ``multi_pkgs/<slot>/<pattern>/``: once for each pattern (``__WILDCARD__`` matches anything) that a
  changed package matches, with ``--pkg_list=FILE``, which lists all changed packages;
* ``<slot>/``: once, without arguments.

The slots are ``pre_transaction`` and ``transaction``. Scripts that the plugin runs when dnf is
configured or reads its metadata belong to calls that change nothing, and are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from easyapache.agent.packages.moved import HOOK
from easyapache.agent.runner import Runner
from easyapache.agent.server import Log

FOLDER = "etc/dnf/universal-hooks"
REBUILD = "usr/local/cpanel/scripts/rebuildhttpdconf"
BEFORE, AFTER = "pre_transaction", "transaction"
_RESTARTS = "restartsrv_httpd"
"""What a script is called that restarts httpd. (PHP-FPM's is ``restartsrv_apache_php_fpm``.)"""


def scripts(root: Path, slot: str, packages: Sequence[str]) -> list[tuple[Path, bool]]:
    """The scripts of a slot for these packages, in the plugin's order, without those that restart
    httpd; and whether each accepts the list of packages."""
    base = root / FOLDER
    names = sorted(set(packages))
    found = [(path, False) for name in names for path in _in(base / "pkgs" / name / slot)]
    for folder in sorted((base / "multi_pkgs" / slot).glob("*")):
        pattern = folder.name.replace("__WILDCARD__", "*")
        if any(fnmatchcase(name, pattern) for name in names):
            found += [(path, True) for path in _in(folder)]
    found += [(path, False) for path in _in(base / slot)]
    return found


def _in(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.name == HOOK or _RESTARTS in path.name:
                continue  # ours tells of transactions that others make
            if os.access(path, os.X_OK) and path.is_file():
                yield path


@contextmanager
def around(root: Path, packages: Sequence[str], runner: Runner, log: Log) -> Iterator[None]:
    """Runs the hooks before and after the package changes made inside."""
    run_before(root, packages, runner, log)
    yield
    run_after(root, packages, runner, log)


def run_before(root: Path, packages: Sequence[str], runner: Runner, log: Log) -> None:
    _run_all(scripts(root, BEFORE, packages), packages, runner, log)


def run_after(root: Path, packages: Sequence[str], runner: Runner, log: Log) -> None:
    """On a cPanel server without hooks httpd.conf has to be rebuilt all the same."""
    found = scripts(root, AFTER, packages)
    _run_all(found, packages, runner, log)
    rebuild = root / REBUILD
    if not found and os.access(rebuild, os.X_OK):
        _run([str(rebuild)], runner, log)


def _run_all(
    found: Sequence[tuple[Path, bool]], packages: Sequence[str], runner: Runner, log: Log
) -> None:
    """A script that fails is reported and does not stop the rest, as with the plugin; whether the
    configuration is sound is tested afterwards anyway."""
    with _in_memory("".join(f"{name}\n" for name in sorted(set(packages)))) as names:
        for path, takes_list in found:
            _run([str(path), *([f"--pkg_list={names}"] if takes_list else [])], runner, log)


@contextmanager
def _in_memory(text: str) -> Iterator[Path]:
    """A file with this text that every program of this user can open by its path, as long as the
    block lasts. No disk is needed, which may be full by now."""
    handle = os.memfd_create("ea4.pkg_list", os.MFD_CLOEXEC)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode())
        file.flush()
        yield Path(f"/proc/{os.getpid()}/fd/{handle}")


def _run(argv: list[str], runner: Runner, log: Log) -> None:
    log(f"$ {argv[0]}")
    done = runner.perform(argv, log)
    if not done.ok:
        log(f"{Path(argv[0]).name} ended with status {done.status}")
