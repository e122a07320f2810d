"""Share links: they show the page of one change, and nothing else, without an account.

A link is signed with the panel's key and has an expiration time. It must also be in the change's
history, which records who created it; revoking links is an event as well. So a link is valid if its
signature is, it has not expired, and its event is later than the last revocation.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.db import transaction
from django.utils import timezone

from easyapache.ea4.sentences import Sentence
from mpm.access.rights import ROLES
from mpm.access.services.actor import Actor, BadRequest, NotAllowed, Refused
from mpm.changes.aftermath import AFTERMATH
from mpm.history.customer import MAY_INCLUDE
from mpm.history.services.events import append
from mpm.models import Change, Event

SALT = "mpm.shared-change"
DAYS = (1, 7, 30)
SHARED, TAKEN_BACK = "change.shared", "change.unshared"


class BadLink(Refused):
    """A link that was altered, is of another panel, or of a change that is no longer there."""

    status = 404
    code = "bad_link"


class LinkOver(Refused):
    """A link that is no longer valid. ``until`` is when it expired; None if it was revoked."""

    status = 410
    code = "link_over"

    def __init__(self, message: str, until: datetime | None = None) -> None:
        super().__init__(message)
        self.until = until


@dataclass(frozen=True, slots=True)
class Link:
    """A valid link: the token in its URL, its expiration, and who created it when.

    ``include``: parts of history.MAY_INCLUDE that it shows besides the standard ones.
    """

    token: str
    until: datetime
    made_by: str
    made_at: datetime
    include: frozenset[str] = frozenset()


def share(change: Change, actor: Actor, days: int, include: Collection[str] = ()) -> Link:
    """Create a link to a finished change that expires after ``days`` (one of DAYS), and shows the
    parts ``include`` of history.MAY_INCLUDE besides the outcome.

    Users who may read may share: the link shows less than they see. Raises NotAllowed, BadRequest,
    and Refused for an unfinished change.
    """
    _must_read(actor)
    if days not in DAYS:
        raise BadRequest(Sentence("A link can be valid for 1, 7, or 30 days."), code="bad_days")
    if not change.finished:
        raise Refused(
            Sentence("You can create a link when the change has finished."), code="not_finished"
        )
    if unknown := set(include) - set(MAY_INCLUDE):
        raise BadRequest(
            Sentence("A link can't include {what}.", what=", ".join(sorted(unknown))[:100]),
            code="bad_include",
        )
    now = timezone.now()
    until = (now + timedelta(days=days)).replace(microsecond=0)
    data: dict[str, Any] = {
        "link": secrets.token_hex(12),
        "days": days,
        "until": int(until.timestamp()),
    }
    if include:
        data["include"] = sorted(set(include))
    with transaction.atomic():
        event = append(
            SHARED, now, server_name=change.server_name, change=change, actor=actor, data=data
        )
    return _link(change, event)


def take_back(change: Change, actor: Actor) -> None:
    """Revoke all links to this change. Raises NotAllowed."""
    _must_read(actor)
    with transaction.atomic():
        append(
            TAKEN_BACK,
            timezone.now(),
            server_name=change.server_name,
            change=change,
            actor=actor,
        )


def good_links(change: Change, events: Iterable[Event], now: datetime) -> list[Link]:
    """The links among ``events`` (those of the change, in their order) that are good now."""
    found: list[Link] = []
    for event in events:
        if event.kind == TAKEN_BACK:
            found = []
        elif event.kind == SHARED and (link := _link(change, event)).until > now:
            found.append(link)
    return found


def shared_change(token: str, now: datetime) -> tuple[Change, Link]:
    """The change a link leads to. Raises BadLink and LinkOver. Two queries."""
    try:
        claims = signing.Signer(salt=SALT).unsign_object(token)
        uuid, nonce = str(claims["change"]), str(claims["link"])
        until = datetime.fromtimestamp(int(claims["until"]), timezone.get_current_timezone())
    except (signing.BadSignature, ValueError, KeyError, TypeError) as error:
        raise BadLink(Sentence("This link is invalid or incomplete.")) from error
    if until <= now:
        raise LinkOver(Sentence("This link has expired."), until)
    changes = Change.objects.select_related("server").annotate(**AFTERMATH)
    change = changes.filter(uuid=uuid).first()
    if change is None:
        raise BadLink(Sentence("This change was deleted from the history."))
    events = change.events.filter(kind__in=(SHARED, TAKEN_BACK)).order_by("seq")
    for link in good_links(change, events, now):
        if signing.Signer(salt=SALT).unsign_object(link.token)["link"] == nonce:
            return change, link
    raise LinkOver(Sentence("This link was revoked."))


def _link(change: Change, event: Event) -> Link:
    data = {name: event.data[name] for name in ("link", "until")}
    return Link(
        token=signing.Signer(salt=SALT).sign_object({"change": change.uuid, **data}),
        until=datetime.fromtimestamp(data["until"], timezone.get_current_timezone()),
        made_by=event.actor_name,
        made_at=event.at,
        include=frozenset(event.data.get("include", ())) & frozenset(MAY_INCLUDE),
    )


def _must_read(actor: Actor) -> None:
    if actor.role not in ROLES:
        raise NotAllowed(Sentence("Only administrators and support can create links."))
