"""The ports of each lab: a register of one user's labs.

A stopped lab needs its own ports when it starts again, so a new lab must not get them. The register
is in the cache and may be deleted with it; a lab is entered again when it starts.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from lab.process import LabError
from lab.repository import locked
from lab.website import Ports

LOWEST, HIGHEST = 20000, 32000
"""Below the range the kernel hands out by itself, so that no outgoing connection takes a port
before httpd does."""

_BEING_MADE = 60.0
"""Seconds after which a lab that has no folder yet will not get one any more."""

Claims = dict[str, tuple[str, float]]
"""By port: the lab's folder, and when it was claimed (seconds of the Unix clock)."""


def claim_ports(folder: Path, cache: Path) -> Ports:
    """Two loopback ports nobody listens on and no other lab has, for the lab in ``folder``.

    ``cache``: where the register is kept. They are released when the folder is deleted. Raises
    LabError when there are none left.
    """
    with _register(cache) as claims:
        for port in [port for port, (whose, _) in claims.items() if whose == str(folder)]:
            del claims[port]
        others = [port for port in range(LOWEST, HIGHEST + 1) if str(port) not in claims]
        # From anywhere on. (Not by ``random``: a test may have set that alike in every process.)
        start = secrets.randbelow(len(others) or 1)
        found = list(islice(filter(_is_free, others[start:] + others[:start]), 2))
        if len(found) < 2:
            raise LabError(f"all ports from {LOWEST} to {HIGHEST} are taken")
        claims.update({str(port): (str(folder), time.time()) for port in found})
    return Ports(*found)


def keep_ports(folder: Path, ports: Ports, cache: Path) -> None:
    """Enter a lab's ports in the register, unless another lab has them."""
    with _register(cache) as claims:
        for port in (ports.http, ports.https):
            claims.setdefault(str(port), (str(folder), time.time()))


@contextmanager
def _register(cache: Path) -> Iterator[Claims]:
    """The claims of labs that exist or are being created, to change. Saved if nothing is raised."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / "ports.json"
    with locked(cache / "ports.lock"):
        stored = _read(path)
        claims = {port: claim for port, claim in stored.items() if _is_valid(*claim)}
        yield claims
        if claims != stored:
            written = path.with_suffix(".new")
            written.write_text(json.dumps(claims), encoding="utf-8")
            written.rename(path)


def _read(path: Path) -> Claims:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {port: (str(folder), float(at)) for port, (folder, at) in kept.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}  # none yet, or damaged


def _is_valid(folder: str, at: float) -> bool:
    try:
        return Path(folder).exists() or 0 <= time.time() - at < _BEING_MADE
    except OSError:  # one that cannot be looked into may be there
        return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
