"""Creates, checks, updates, rotates and revokes API tokens.

A token reads ``ea4mpm_<key id>_<secret>``: the prefix lets secret scanners find leaked ones, the
key id may be shown and logged, the secret is 256 random bits, shown once. Stored is
HMAC-SHA256(pepper, key id and secret), so that neither a copy of the database nor the pepper alone
gives a token. A fast hash is right here, because 256 bits can't be guessed.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from easyapache.ea4.sentences import Sentence
from mpm.access.rights import ADMINISTRATOR
from mpm.access.scopes import BadGrant, checked_networks, checked_scopes, within
from mpm.access.services.actor import Actor, BadRequest
from mpm.changes.services.lookup import check_servers
from mpm.history.services.events import append
from mpm.models import IdempotentAnswer, Token
from mpm.servers.models import Server

log = logging.getLogger(__name__)

PREFIX = "ea4mpm_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_LENGTH, _SECRET_LENGTH = 12, 43
TOKEN = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_KEY_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})\Z")
_OPTIONS = Token._meta  # noqa: SLF001  # Django's own name for what it documents
_COLUMNS = tuple(_OPTIONS.concrete_fields)
_SELECT = f"""SELECT {", ".join(f"t.{field.column}" for field in _COLUMNS)},
    (t.created_by_id IS NULL OR EXISTS (
        SELECT 1 FROM auth_user u
        JOIN auth_user_groups m ON m.user_id = u.id JOIN auth_group g ON g.id = m.group_id
        WHERE u.id = t.created_by_id AND u.is_active AND g.name = %s))"""  # noqa: S608  # our own model
"""Written as SQL, because every request needs it and the ORM took most of the time. The last
column: the token has no creator, or one who is still an administrator."""
_NOBODY_KEY = "0" * _KEY_LENGTH
USED_EVERY = timedelta(minutes=1)
LONGEST_OVERLAP = timedelta(days=30)
ANSWERS_KEPT = timedelta(hours=24)


class Denied(Exception):
    """The token is not accepted. ``str()`` may be shown: only the holder of the secret learns that
    a token has expired, was revoked, or is used from the wrong network. ``token`` is set if the
    secret was right."""

    def __init__(self, message: str, token: Token | None = None) -> None:
        super().__init__(message)
        self.token = token


@dataclass(frozen=True, slots=True)
class Beside:
    """What is read in the query of the token, where a second one would take longer than the rest of
    the request: ``columns`` of ``tables`` (SQL, never from a request), which are joined so that
    there is one row, and the ``values`` of their placeholders."""

    columns: str
    tables: str
    values: tuple[str, ...]


_NOTHING = Beside("", "", ())


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token with its text, which exists only in this value."""

    token: Token
    text: str


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _seal(pepper: bytes, key_id: str, secret: str) -> str:
    return hmac.digest(pepper, f"{key_id}:{secret}".encode(), "sha256").hex()


def _current_pepper() -> tuple[str, bytes]:
    peppers: dict[str, bytes] = settings.TOKEN_PEPPERS
    return next(iter(peppers.items()))


# -- checking ----------------------------------------------------------------------------------


def check(text: str, address: str, now: datetime | None = None) -> Token:
    """The token with the text ``text``, if it may be used from ``address``. Raises Denied.

    An invalid text, an unknown key id and a wrong secret are handled the same way: one query, one
    HMAC, one comparison in constant time, one message.
    """
    return check_and_read(text, address, None, now)[0]


def check_and_read(
    text: str, address: str, beside: Beside | None, now: datetime | None = None
) -> tuple[Token, tuple[Any, ...]]:
    """``check``, and the row of ``beside`` from the same query. Raises Denied."""
    now = now or timezone.now()
    match = TOKEN.match(text)
    key_id, secret = match.groups() if match else (_NOBODY_KEY, text[:200])
    token, vouched, row = _found(key_id, beside)
    current_id, current = _current_pepper()
    pepper = settings.TOKEN_PEPPERS.get(token.pepper_id if token else "", current)
    kept = token.digest if token else "-" * 64
    right = hmac.compare_digest(_seal(pepper, key_id, secret), kept)
    if token is None or not right:
        if token is not None and token.pepper_id not in settings.TOKEN_PEPPERS:
            log.warning(
                "token %s needs the pepper %s, which TOKEN_PEPPERS no longer contains",
                key_id,
                token.pepper_id,
            )
        raise Denied("The token is not valid.")
    state = token.state(now)
    if state != "active":
        raise Denied(f"The token {key_id} is {state}.", token)
    if not vouched:
        raise Denied(f"The creator of the token {key_id} is no longer an administrator.", token)
    if not within(address, token.networks):
        raise Denied(f"The token {key_id} is not allowed from {address or 'here'}.", token)
    if token.pepper_id != current_id:
        # The secret is known only while a token is used: store its digest under the new pepper now.
        Token.objects.filter(pk=token.pk, digest=token.digest).update(
            digest=_seal(current, key_id, secret), pepper_id=current_id
        )
    _touch(token, address, now)
    return token, row


def key_id_of(text: str) -> str:
    """The key id that a token names; "" for a text that is no token."""
    match = TOKEN.match(text)
    return match[1] if match else ""


def _found(key_id: str, beside: Beside | None) -> tuple[Token | None, bool, tuple[Any, ...]]:
    """The token of this key id, whether its creator is still an administrator, and the row of
    ``beside``. Read on every request, so that revoking takes effect at once."""
    beside = beside or _NOTHING
    columns = f"{_SELECT}, {beside.columns}" if beside.columns else _SELECT
    with connection.cursor() as cursor:
        cursor.execute(
            f"{columns} FROM mpm_token t {beside.tables} WHERE t.key_id = %s",
            [ADMINISTRATOR, *beside.values, key_id],
        )
        row = cursor.fetchone()
    if row is None:
        return None, False, ()
    count = len(_COLUMNS)
    return _token_of(row[:count]), bool(row[count]), row[count + 1 :]


@lru_cache(maxsize=1024)
def _token_of(row: tuple[Any, ...]) -> Token:
    """The Token of a database row, cached until the row changes.

    It must not be altered. The conversions are those of Django's own queries.
    """
    values = []
    for field, value in zip(_COLUMNS, row, strict=True):
        column = field.get_col(_OPTIONS.db_table)
        for convert in (
            *connection.ops.get_db_converters(column),
            *column.get_db_converters(connection),
        ):
            value = convert(value, column, connection)
        values.append(value)
    return Token.from_db(connection.alias, [field.attname for field in _COLUMNS], values)


def _touch(token: Token, address: str, now: datetime) -> None:
    """Record the use, at most once a minute, so that reads do not become writes."""
    if token.last_used_at is not None and token.last_used_at > now - USED_EVERY:
        return
    Token.objects.filter(
        Q(last_used_at=None) | Q(last_used_at__lte=now - USED_EVERY), pk=token.pk
    ).update(last_used_at=now, last_used_address=address)


def may_reach(token: Token, server: Server) -> bool:
    """Whether the token may know of this server at all."""
    return reaches(token, server.name, server.kind)


def reaches(token: Token, name: str, kind: str) -> bool:
    """The same of a server that was not read as a row."""
    if token.sandbox and kind != Server.Kind.SIMULATED:
        return False
    return not token.servers or name in token.servers


# -- making ------------------------------------------------------------------------------------


def issue(
    actor: Actor,
    *,
    name: str,
    scopes: Sequence[str],
    purpose: str = "",
    servers: Sequence[str] = (),
    networks: Sequence[str] = (),
    sandbox: bool = False,
    implied_removals: bool = False,
    expires_at: datetime | None = None,
    per_minute: int | None = None,
    replaces: Token | None = None,
    behind: int | None = None,
    now: datetime | None = None,
) -> Issued:
    """Make a token. Raises BadRequest for a grant that does not exist.

    It is worth something only as long as the person who made it is an administrator. Where
    another token makes it, that is ``behind``: the person behind that one.
    """
    now = now or timezone.now()
    name, purpose = _name(name), _line("purpose", purpose, 300)
    if expires_at is not None and expires_at <= now:
        raise BadRequest(Sentence("The expiration date is in the past."), field="expires_at")
    granted = _granted(checked_scopes, scopes, "scopes")
    allowed = _granted(checked_networks, networks, "networks")
    wanted = check_servers(servers)
    key_id, secret = _random(_KEY_LENGTH), _random(_SECRET_LENGTH)
    pepper_id, pepper = _current_pepper()
    with transaction.atomic():
        token = Token.objects.create(
            key_id=key_id,
            digest=_seal(pepper, key_id, secret),
            pepper_id=pepper_id,
            name=name,
            purpose=purpose,
            scopes=granted,
            servers=wanted,
            networks=allowed,
            sandbox=sandbox,
            implied_removals=implied_removals,
            per_minute=per_minute,
            created_at=now,
            created_by_id=actor.user_id if actor.user_id is not None else behind,
            created_by_name=actor.name,
            expires_at=expires_at,
            replaces=replaces,
        )
        append(
            "token.rotated" if replaces else "token.created",
            now,
            actor=actor,
            data=_event_data(token),
        )
    return Issued(token, f"{PREFIX}{key_id}_{secret}")


def update(
    token: Token,
    actor: Actor,
    *,
    name: str | None = None,
    purpose: str | None = None,
    implied_removals: bool | None = None,
    now: datetime | None = None,
) -> Token:
    """Set the values that are not None; servers and permissions of a token never change.

    Raises BadRequest for an invalid text, and for a token that is no longer active.
    """
    now = now or timezone.now()
    values: dict[str, object] = {}
    if name is not None:
        values["name"] = _name(name)
    if purpose is not None:
        values["purpose"] = _line("purpose", purpose, 300)
    if implied_removals is not None:
        values["implied_removals"] = implied_removals
    with transaction.atomic():
        row = Token.objects.select_for_update(of=("self",)).get(pk=token.pk)
        _must_be_active(row, now)
        changed = {key: value for key, value in values.items() if getattr(row, key) != value}
        for key, value in changed.items():
            setattr(row, key, value)
        if changed:
            row.save(update_fields=[*changed])
            append("token.updated", now, actor=actor, data=_event_data(row))
    return row


def rotate(token: Token, actor: Actor, overlap: timedelta, now: datetime | None = None) -> Issued:
    """A new secret with the same grants; the old one is valid for ``overlap`` at most.

    Raises BadRequest for a token that is no longer active.
    """
    now = now or timezone.now()
    _must_be_active(token, now)
    overlap = max(timedelta(0), min(overlap, LONGEST_OVERLAP))
    with transaction.atomic():
        issued = issue(
            actor,
            name=token.name,
            purpose=token.purpose,
            scopes=token.scopes,
            servers=token.servers,
            networks=token.networks,
            sandbox=token.sandbox,
            implied_removals=token.implied_removals,
            expires_at=token.expires_at,
            per_minute=token.per_minute,
            replaces=token,
            behind=token.created_by_id,
            now=now,
        )
        end = now + overlap
        Token.objects.filter(pk=token.pk).filter(Q(expires_at=None) | Q(expires_at__gt=end)).update(
            expires_at=end
        )
    return issued


def revoke(token: Token, actor: Actor, now: datetime | None = None) -> bool:
    """End a token at once. False when it was revoked already."""
    now = now or timezone.now()
    with transaction.atomic():
        done = Token.objects.filter(pk=token.pk, revoked_at=None).update(
            revoked_at=now, revoked_by_name=actor.name
        )
        if done:
            append("token.revoked", now, actor=actor, data=_event_data(token))
    return bool(done)


def prune_answers(now: datetime, limit: int = 5000) -> int:
    """Forget answers to idempotency keys that are older than a day, a little at a time."""
    old = IdempotentAnswer.objects.filter(created_at__lte=now - ANSWERS_KEPT)
    keys = list(old.order_by("pk").values_list("pk", flat=True)[:limit])
    return IdempotentAnswer.objects.filter(pk__in=keys).delete()[0]


def _event_data(token: Token) -> dict[str, object]:
    """The event data of a token: never the secret or its digest."""
    return {
        "key_id": token.key_id,
        "name": token.name,
        "purpose": token.purpose,
        "scopes": token.scopes,
        "servers": token.servers,
        "networks": token.networks,
        "sandbox": token.sandbox,
        "implied_removals": token.implied_removals,
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "replaces": token.replaces.key_id if token.replaces else None,
    }


def _granted(
    check: Callable[[Iterable[str]], list[str]], wanted: Sequence[str], field: str
) -> list[str]:
    """Raises BadRequest."""
    try:
        return check(wanted)
    except BadGrant as error:
        raise BadRequest(error.args[0], field=field) from error


def _must_be_active(token: Token, now: datetime) -> None:
    if token.state(now) != "active":
        raise BadRequest(
            Sentence(
                "Token {key_id} is {state}. Create a new one.",
                key_id=token.key_id,
                state=token.state(now),
            )
        )


def _name(text: str) -> str:
    name = _line("name", text, 100)
    if not name:
        raise BadRequest(Sentence("Enter a name for the token."), field="name")
    return name


def _line(what: str, text: str, longest: int) -> str:
    text = text.strip()
    if len(text) > longest:
        raise BadRequest(
            Sentence(
                "The {what} of a token has at most {longest} characters.",
                what=what,
                longest=longest,
            ),
            field=what,
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise BadRequest(
            Sentence("The {what} of a token is one line of text.", what=what), field=what
        )
    return text
