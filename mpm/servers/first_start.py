"""What a new panel needs in its database: its first people, its servers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from mpm.access.rights import ADMINISTRATOR, SUPPORT
from mpm.servers.models import Server

FIRST_PEOPLE = (("admin", ADMINISTRATOR), ("support", SUPPORT))


@dataclass(frozen=True, slots=True)
class FirstAccount:
    """An account made just now. The database keeps only the password's hash."""

    name: str
    role: str
    password: str


class BadServer(ValueError):
    """A server was described with something missing or something unknown."""


def register(described: Mapping[str, Any]) -> Server:
    """``described``: name, kind, and where known hostname and note. A server that is known
    already keeps what an administrator made of it. Raises BadServer."""
    values = {"hostname": "", "note": "", **described}
    if set(values) != {"name", "kind", "hostname", "note"}:
        raise BadServer(f"a server has name, kind, hostname and note, not {sorted(described)}")
    server = Server(**values, created_at=timezone.now())
    try:
        server.clean_fields()
    except ValidationError as error:
        raise BadServer("; ".join(error.messages)) from error
    known, _ = Server.objects.get_or_create(
        name=server.name,
        defaults={
            "kind": server.kind,
            "hostname": server.hostname,
            "note": server.note,
            "created_at": server.created_at,
        },
    )
    return known


@transaction.atomic
def first_accounts() -> list[FirstAccount]:
    """Create one administrator and one support reader, unless there are accounts already."""
    if User.objects.exists():
        return []
    made = []
    for name, role in FIRST_PEOPLE:
        account = FirstAccount(name, role, secrets.token_urlsafe(12))
        user = User.objects.create_user(name, password=account.password)
        user.groups.add(Group.objects.get(name=role))
        made.append(account)
    return made
