"""Which lab has which ports. Two labs of one user never have the same, even while one is down:
it expects to find its own free when it comes up again."""

from __future__ import annotations

import json
import secrets
import socket
import time
from itertools import islice
from pathlib import Path

from easyapache.lab.process import LabError
from easyapache.lab.repository import locked
from easyapache.lab.website import Ports

LOWEST, HIGHEST = 20000, 32000
"""Below the range the kernel hands out by itself, so that no outgoing connection takes a port
before httpd does."""

_BEING_MADE = 60.0
"""Seconds after which a lab that has no folder yet will not get one any more."""

Claims = dict[str, tuple[str, float]]
"""By port: the lab's folder, and when it was claimed (seconds of the Unix clock)."""


def claim_ports(folder: Path, cache: Path) -> Ports:
    """Two loopback ports nobody listens on and no other lab has, for the lab in ``folder``.

    ``cache``: where the list of all labs' ports is kept. They are given back with the folder.
    Raises LabError when there are none left.
    """
    cache.mkdir(parents=True, exist_ok=True)
    register = cache / "ports.json"
    with locked(cache / "ports.lock"):
        claims = _standing(_read(register))
        others = [port for port in range(LOWEST, HIGHEST + 1) if str(port) not in claims]
        # From anywhere on. (Not by ``random``: a test may have set that alike in every process.)
        start = secrets.randbelow(len(others) or 1)
        found = list(islice(filter(_is_free, others[start:] + others[:start]), 2))
        if len(found) < 2:
            raise LabError(f"all ports from {LOWEST} to {HIGHEST} are taken")
        claims.update({str(port): (str(folder), time.time()) for port in found})
        written = register.with_suffix(".new")
        written.write_text(json.dumps(claims), encoding="utf-8")
        written.rename(register)
    return Ports(*found)


def _read(register: Path) -> Claims:
    try:
        kept = json.loads(register.read_text(encoding="utf-8"))
        return {port: (folder, at) for port, (folder, at) in kept.items()}
    except (FileNotFoundError, ValueError):  # none yet, or a power cut has left half of it
        return {}


def _standing(claims: Claims) -> Claims:
    """The claims of labs that are there or are just being made."""
    return {
        port: (folder, at)
        for port, (folder, at) in claims.items()
        if Path(folder).exists() or 0 <= time.time() - at < _BEING_MADE
    }


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
