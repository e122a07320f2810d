"""What a new panel needs in its database: its tables, its first people, its servers.

Runs inside Django, as the account that owns the database (``manage.py demo --seed``).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from easyapache.models import Server
from easyapache.rights import ADMINISTRATOR, SUPPORT

FIRST_PEOPLE = (("admin", ADMINISTRATOR), ("support", SUPPORT))


@dataclass(frozen=True, slots=True)
class FirstAccount:
    """An account made just now. The database keeps only the password's hash."""

    name: str
    role: str
    password: str


def prepare_panel(servers: Sequence[Mapping[str, str]]) -> list[FirstAccount]:
    """Bring the tables and static files up to date, register the servers, and make the first
    accounts when there are none. Safe to repeat. Returns the accounts it made."""
    call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False)
    with transaction.atomic():
        for server in servers:
            register(server)
        return first_accounts()


def register(described: Mapping[str, Any]) -> Server:
    """``described``: name, hostname, kind, note. What an administrator changed later stays."""
    server, _ = Server.objects.get_or_create(
        name=described["name"],
        defaults={
            "hostname": described["hostname"],
            "kind": described["kind"],
            "note": described["note"],
            "created_at": timezone.now(),
        },
    )
    return server


def first_accounts() -> list[FirstAccount]:
    """One administrator and one support reader, unless anybody has an account already."""
    if User.objects.exists():
        return []
    made = []
    for name, role in FIRST_PEOPLE:
        account = FirstAccount(name, role, secrets.token_urlsafe(12))
        user = User.objects.create_user(name, password=account.password)
        user.groups.add(Group.objects.get(name=role))
        made.append(account)
    return made
