"""Pristine servers: every lab is a copy of one, installed once per machine and starting point."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from lab import apache, hooks, installroot, website
from lab.catalog import profile_names, profile_packages
from lab.installroot import Installroot
from lab.repository import Repository, cache_folder, locked
from lab.system import distribution

STOCKS: dict[str, tuple[str, ...]] = {
    **{name: profile_packages(name) for name in profile_names()},
    "event": tuple(
        name.replace("mod_mpm_worker", "mod_mpm_event") for name in profile_packages("worker")
    ),
    "minimal": ("ea-apache24", "ea-apache24-mod_mpm_prefork", "ea-apache24-mod_suexec"),
}
"""Starting points: EasyApache 4's own stock profiles by file name, the worker one with event
instead, and the least that serves pages."""


OPERATING_SYSTEM = ("brotli", "libcap", "nghttp2", "openssl")
"""What EasyApache 4 needs from outside. A real server has it from the start, so that an MPM
change never brings it."""

_KEPT = 86400.0
"""Seconds to keep an unused pristine server: creating it again takes two seconds."""


def pristine_server(source: Repository, stock: str, extra: tuple[str, ...]) -> Path:
    """The server every lab of this kind is copied from; installed now if it never was."""
    cache = cache_folder()
    name = "-".join(["pristine", source.digest.removeprefix("repository-"), stock, *extra])
    name += f"-{_made_by()}"
    pristine = cache / name
    with locked(cache / "pristine.lock"):
        if pristine.is_dir():
            os.utime(pristine)
            return pristine
        _forget_unused(cache)
        work = cache / f".{name}"
        installroot.remove(work)
        place = Installroot(work)
        work.mkdir()
        work.chmod(0o755)
        machine = distribution()
        place.prepare(machine, source)
        place.install([*STOCKS[stock], *OPERATING_SYSTEM, *extra])
        website.write_content(place.root, machine.php_cgi)
        hooks.install_scripts(place.root)
        apache.make_certificate(place.root)
        work.rename(pristine)
    return pristine


def _forget_unused(cache: Path) -> None:
    """Delete pristine servers not copied for a day, such as those of other versions of this
    code."""
    for path in cache.glob("pristine-*/"):
        if time.time() - path.stat().st_mtime > _KEPT:
            installroot.remove(path)


def _made_by() -> str:
    """Changes when the code that furnishes a pristine server does."""
    sources = (apache.__file__, hooks.__file__, installroot.__file__, website.__file__, __file__)
    content = b"".join(Path(source).read_bytes() for source in sources)
    return hashlib.sha256(content).hexdigest()[:8]
