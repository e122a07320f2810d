"""Sign-in from the WHM of a server: registers keys, redeems tickets, and finds the account.

The claims of a ticket are not used before its signature is verified with the panel's key of the
server. A used ticket is a row in the database, so that none is used twice by any process.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from easyapache import tickets
from easyapache.ea4.sentences import Sentence
from mpm.access.services.actor import Actor, BadRequest, NotFound
from mpm.changes.services.lookup import must_be_allowed
from mpm.history.services.events import append
from mpm.models import WhmKey, WhmTicket, WhmUser
from mpm.servers.models import Server

log = logging.getLogger(__name__)

ENTER_WITHIN = timedelta(seconds=60)
"""How long the browser may take from handing in the ticket to the page behind it."""

REASONS = (
    *("invalid", "expired", "early", "audience", "used", "unknown", "disabled", "wait"),
    "address",
)
"""The reasons for refusing a sign-in, as in the URL of the sign-in page."""


class TicketRefused(Exception):
    """A ticket does not open the panel. ``code`` is one of REASONS; the message is for the log."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# -- keys --------------------------------------------------------------------------------------


def register_key(server: Server, key: str, actor: Actor) -> WhmKey:
    """Accept tickets of this server from now on. Another key takes the place of the one before,
    whose sessions end. Raises NotAllowed, BadRequest ``bad_key``."""
    must_be_allowed(actor, Sentence("update servers"))
    try:
        key = tickets.checked_key(key)
    except tickets.BadKey:
        raise BadRequest(
            Sentence(
                "This is not the public key of a server. Copy the line that ea4-mpm whm key prints "
                "there."
            ),
            code="bad_key",
        ) from None
    now = timezone.now()
    with transaction.atomic():
        known = WhmKey.objects.select_for_update().filter(server=server).first()
        if known is not None and known.key == key:
            return known
        WhmKey.objects.filter(server=server).delete()
        WhmUser.objects.filter(server=server).update(root=False)
        _end_sessions(server)
        made = WhmKey.objects.create(
            server=server, key=key, registered_at=now, registered_by=actor.name
        )
        data = {"fingerprint": tickets.fingerprint(key)}
        append("whm.key_registered", now, server_name=server.name, actor=actor, data=data)
    return made


def set_may_change(server: Server, may_change: bool, actor: Actor) -> WhmKey:
    """Let WHM users with all privileges change this server, or only look. Raises NotAllowed,
    NotFound."""
    must_be_allowed(actor, Sentence("update servers"))
    with transaction.atomic():
        key = key_of(server)
        if key.may_change != may_change:
            WhmKey.objects.filter(pk=key.pk).update(may_change=may_change)
            key.may_change = may_change
            data = {"may_change": may_change}
            append("whm.updated", timezone.now(), server_name=server.name, actor=actor, data=data)
    return key


def remove_key(server: Server, actor: Actor) -> None:
    """Accept no more tickets of this server; sessions from there end. Raises NotAllowed."""
    must_be_allowed(actor, Sentence("update servers"))
    with transaction.atomic():
        if WhmKey.objects.filter(server=server).delete()[0]:
            _end_sessions(server)
            append("whm.key_removed", timezone.now(), server_name=server.name, actor=actor)


def key_of(server: Server) -> WhmKey:
    """Raises NotFound."""
    found = WhmKey.objects.filter(server=server).first()
    if found is None:
        raise NotFound(
            Sentence("No key of {name} is registered.", name=server.name), code="no_whm_key"
        )
    return found


def _end_sessions(server: Server) -> None:
    """A session is held against the password of its account. It has none, which is written with a
    random text each time: another one ends the sessions that are open. Tickets that were redeemed
    but not entered with lead nowhere anymore. They stay, so that none is redeemed twice."""
    WhmTicket.objects.filter(server=server, entered_at=None).update(entered_at=timezone.now())
    for account in User.objects.filter(whm__server=server):
        _end_sessions_of(account)


def _end_sessions_of(account: User) -> None:
    account.set_unusable_password()
    account.save(update_fields=["password"])


# -- tickets -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A ticket was used: what the browser shows to enter, and for which server."""

    secret: str
    server: Server


def use_ticket(ticket: str, *, audiences: frozenset[str], actor: Actor) -> Entry:
    """Redeem a ticket. ``audiences`` are the addresses of this panel, ``actor`` is the source of
    the request. Raises TicketRefused; the reason is in the history of the server if it has signed
    the ticket, else in the log only."""
    now = timezone.now()
    try:
        name = tickets.server_of(ticket)
        rows = WhmKey.objects.select_related("server").filter(server__active=True)
        key = rows.filter(server__name=name).first()
        if key is None:
            raise TicketRefused("unknown", f"no key of {name} is registered")
        claims = tickets.verified(ticket, key.key)
    except tickets.BadTicket as error:
        raise TicketRefused("invalid", str(error)) from error
    why = tickets.fault(claims, audiences=audiences, now=now.timestamp())
    if why:
        _record_refusal(key.server, claims, why, actor, now)
        code = why if why in REASONS else "invalid"
        ahead = claims.issued - now.timestamp()
        raise TicketRefused(code, f"{why}: {claims.audience}, issued {ahead:+.0f} s from now")
    secret = secrets.token_urlsafe(32)
    try:
        with transaction.atomic():
            WhmTicket.objects.create(
                server=key.server,
                nonce=claims.nonce,
                name=claims.user,
                root=claims.root,
                used_at=now,
                expires_at=datetime.fromtimestamp(claims.expires + tickets.SKEW, UTC),
                entry=_digest(secret),
            )
            if not WhmKey.objects.filter(pk=key.pk).update(last_used_at=now):
                raise TicketRefused("unknown", f"the key of {name} has just been removed")
    except IntegrityError:
        _record_refusal(key.server, claims, "used", actor, now)
        raise TicketRefused("used", "the ticket was used before") from None
    _forget(now)
    return Entry(secret, key.server)


def enter(secret: str, actor: Actor) -> tuple[User, Server]:
    """The account for a ticket that was just used; once. Raises TicketRefused."""
    now = timezone.now()
    fresh = WhmTicket.objects.filter(
        entry=_digest(secret), entered_at=None, used_at__gt=now - ENTER_WITHIN
    )
    with transaction.atomic():
        if not fresh.update(entered_at=now):
            raise TicketRefused("expired", "there is no ticket to enter with")
        used = WhmTicket.objects.select_related("server").get(entry=_digest(secret))
        account = _account(used)
        if not account.is_active:
            raise TicketRefused("disabled", f"{account.get_username()} is disabled")
        append(
            "whm.signed_in",
            now,
            server_name=used.server.name,
            actor=_named(actor, account.get_username()),
            data={"whm_user": used.name, "all_privileges": used.root},
        )
    return account, used.server


def spend(secret: str) -> Server | None:
    """Redeem a ticket without signing in, because the user is signed in already. Returns its
    server; None if there is no such ticket."""
    now = timezone.now()
    fresh = WhmTicket.objects.filter(
        entry=_digest(secret), entered_at=None, used_at__gt=now - ENTER_WITHIN
    )
    used = fresh.select_related("server").first()
    return used.server if used is not None and fresh.update(entered_at=now) else None


def _account(used: WhmTicket) -> User:
    """The account of a WHM user of a server, created on first use. Its name has a space, unlike
    those of other accounts."""
    known = WhmUser.objects.select_related("user").filter(server=used.server, name=used.name)
    found = known.first()
    if found is not None:
        if found.root != used.root:
            known.update(root=used.root)
            # Sessions that began with the other privileges end.
            _end_sessions_of(found.user)
        return found.user
    user = User(username=f"{used.name}@{used.server.name} (WHM)")
    user.set_unusable_password()
    user.save()
    WhmUser.objects.create(user=user, server=used.server, name=used.name, root=used.root)
    return user


def _named(actor: Actor, name: str) -> Actor:
    return Actor(
        name=name,
        role="whm",
        origin=actor.origin,
        address=actor.address,
        agent_class=actor.agent_class,
        request_id=actor.request_id,
    )


def _record_refusal(
    server: Server, claims: tickets.Claims, why: str, actor: Actor, now: datetime
) -> None:
    with transaction.atomic():
        append(
            "whm.refused",
            now,
            server_name=server.name,
            actor=_named(actor, f"{claims.user}@{server.name} (WHM)"),
            data={"whm_user": claims.user, "reason": why},
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _forget(now: datetime) -> None:
    """Rows of tickets that would be refused as expired anyway."""
    old = WhmTicket.objects.filter(expires_at__lt=now - ENTER_WITHIN).values("pk")[:500]
    WhmTicket.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
