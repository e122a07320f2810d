"""The MPM of a server as a cached response body, because monitoring requests it all the time."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from django.db import connection
from django.http import HttpRequest
from django.utils import timezone

from easyapache.ea4.protocol import SERVER_NAME
from mpm.access.services.actor import Refused
from mpm.access.token_auth import admit, admit_and_read
from mpm.access.tokens import Beside, reaches
from mpm.api.auth import reachable
from mpm.history.capacity import load_of, recommendation_of
from mpm.models import Token
from mpm.schemas.server import MpmStatus
from mpm.servers.models import InstalledProfile, Server

_COLUMNS = "server.kind, profile.id, profile.digest, profile.confirmed_at"
_PROFILE = """LEFT JOIN easyapache_installedprofile profile
    ON profile.id = (SELECT MAX(id) FROM easyapache_installedprofile WHERE server_id = server.id)"""
_BESIDE_TOKEN = f"LEFT JOIN easyapache_server server ON server.name = %s {_PROFILE}"
_ALONE = f"SELECT {_COLUMNS} FROM easyapache_server server {_PROFILE} WHERE server.name = %s"  # noqa: S608
"""Written as SQL: requested by monitoring all the time, this takes a tenth of the ORM's time."""


def admit_for_state(request: HttpRequest, text: str) -> Token:
    """``token_auth.admit``, which reads the latest profile of the server in the address in the
    query of the token."""
    match = request.resolver_match
    name = str(match.kwargs.get("server", "")) if match else ""
    if not SERVER_NAME.match(name):
        return admit(request, text)
    token, row = admit_and_read(request, text, Beside(_COLUMNS, _BESIDE_TOKEN, (name,)))
    request.latest_profile = row  # type: ignore[attr-defined]
    return token


def mpm_answer(request: HttpRequest, token: Token, name: str) -> tuple[str, bytes]:
    """The digest of the state of a server, and the whole body.

    The cached body is valid until the server is checked again, which may find the same profile but
    other figures of its memory; and for an hour, because old figures count no longer. Raises
    NotFound for a server out of the token's reach, Refused ``no_profile`` before the first
    scan.
    """
    row = getattr(request, "latest_profile", None) or _latest(name)
    if row is not None and row[0] is not None and reaches(token, name, row[0]) and row[1]:
        return row[2], _body(name, *row[1:], int(time.time()) // 3600)
    raise no_profile(reachable(token, name))


def _latest(name: str) -> tuple[Any, ...] | None:
    """For a command, which has no token."""
    if not SERVER_NAME.match(name):
        return None
    with connection.cursor() as cursor:
        cursor.execute(_ALONE, [name])
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


@lru_cache(maxsize=2048)
def _body(name: str, profile: int, _digest: str, _confirmed: object, _hour: int) -> bytes:
    row = InstalledProfile.objects.select_related("server").get(pk=profile)
    load = load_of(row.server, timezone.now(), row, with_peaks=False)
    recommended = recommendation_of(row.profile, load)
    return MpmStatus.of(name, row.profile, recommended).model_dump_json().encode()


def latest_of(server: Server) -> InstalledProfile:
    """The latest profile of a server. Raises Refused ``no_profile`` before the first scan."""
    latest = server.installed_profiles.order_by("-pk").first()
    if latest is None:
        raise no_profile(server)
    return latest


def no_profile(server: Server) -> Refused:
    return Refused(
        f"{server} hasn't been checked yet.",
        code="no_profile",
        status=409,
        remedy="Check that its agent is running. The panel checks the server every minute.",
    )
