"""Requests scans of a server. ``mpm.servers.services.inspection`` stores the results."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from django.core.cache import cache
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from easyapache.ea4.protocol import InspectRequest
from mpm.servers.agents import wake
from mpm.servers.models import Server, ServerParticulars
from mpm.servers.reading import read_until

LOOKS_APART = 0.5
"""Seconds between two looks that an agent brings about; an honest one leaves a second."""


def request_number(moment: datetime) -> str:
    """An id of 32 hexadecimal digits with the time of the request in milliseconds, authenticated by
    the panel's key."""
    begin = f"{int(moment.timestamp() * 1000):012x}{secrets.token_hex(4)}"
    return begin + _mark(begin)


def _mark(begin: str) -> str:
    return salted_hmac("easyapache.request", begin, algorithm="sha256").hexdigest()[:12]


def request_time(request: str) -> datetime:
    """When request_number() made ``request``. Raises ValueError for anything else."""
    if len(request) != 32 or not constant_time_compare(_mark(request[:20]), request[20:]):
        raise ValueError("not the number of a request of this panel")
    return datetime.fromtimestamp(int(request[:12], 16) / 1000, UTC)


def rescan(server: Server) -> str:
    """Request a scan by the agent of ``server``; returns the number of the request."""
    known = ServerParticulars.objects.filter(server=server).values_list("digest", flat=True).first()
    return request_scan(server.name, known)


def request_scan(server: str, known: str | None) -> str:
    """The same with the digest of the panel's package metadata ``known`` already."""
    number = request_number(timezone.now())
    wake(server, "inspect", InspectRequest(number, known or "").as_json())
    return number


def look_now(server: str) -> None:
    """The agent of ``server`` says that packages have moved there. Whoever says so often, in
    whoever's name, has the server looked at twice a second at most."""
    known = Server.objects.filter(name=server, active=True).only("name").first()
    if known is not None and cache.add(f"look-now:{known.pk}", True, LOOKS_APART):
        rescan(known)


def first_look(server: str) -> None:
    """After a message from the agent of ``server``: request the first scan now instead of at the
    next round. Not while the panel is behind with reading, because the answer may be waiting
    already."""
    now = timezone.now()
    if read_until(now) < now:
        return
    unseen = Server.objects.filter(name=server, installed_profiles=None).only("name").first()
    if unseen is not None:
        rescan(unseen)
