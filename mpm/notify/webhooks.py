"""Webhooks: events delivered to subscribed endpoints, at least once each.

The history is the outbox: an event exists exactly if it happened. ``fan_out`` turns events into
deliveries, ``deliver_due`` sends them, retries with growing pauses and stores the result of every
attempt. Both can run concurrently and be stopped at any point.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from easyapache.ea4.sentences import Sentence
from mpm.access.services.actor import Actor, BadRequest
from mpm.changes.services.lookup import check_servers
from mpm.history.event_cursor import events_after, last_id
from mpm.history.event_kinds import unknown_kind
from mpm.history.outside import HEAVY
from mpm.history.services.events import append
from mpm.history.services.text_checks import one_text
from mpm.models import Change, Delivery, Event, Webhook
from mpm.notify import mail
from mpm.notify.bodies import a_test, body_of, notification, test_body
from mpm.notify.delivery import Attempt, send
from mpm.notify.signature import derive_secret, headers_for
from mpm.notify.ssrf import BadDestination, destination, origin_of
from mpm.schemas.event import TEST
from mpm.servers.models import Server

log = logging.getLogger(__name__)

PAUSES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 36_000)
)
"""After each failed attempt; after the last one the delivery is given up (about 30 hours)."""
LEASE = timedelta(seconds=90)
"""How long one attempt may take before another worker believes it lost."""
OVERLAP = timedelta(hours=24)
BATCH = 8
KEPT_ATTEMPTS = 20
KEPT_FOR = timedelta(days=30)


# -- who is told -----------------------------------------------------------------------------


def secret(webhook: Webhook) -> str:
    """The secret the receiver checks signatures with. Raises BadRequest if the pepper it was
    derived from was removed; rotating creates a new one."""
    return _secret(webhook, webhook.generation)


def _secret(webhook: Webhook, generation: int) -> str:
    pepper = settings.TOKEN_PEPPERS.get(webhook.pepper_id)
    if pepper is None:
        raise BadRequest(
            Sentence(
                "The pepper {pepper_id} of this webhook's secret is missing.",
                pepper_id=webhook.pepper_id,
            ),
            remedy=Sentence("Rotate the webhook's secret."),
        )
    return derive_secret(pepper, webhook.uuid, generation)


def _secrets(webhook: Webhook, now: datetime) -> list[str]:
    found = [_secret(webhook, webhook.generation)]
    rotated = webhook.rotated_at
    if webhook.generation > 1 and rotated is not None and now - rotated < OVERLAP:
        found.append(_secret(webhook, webhook.generation - 1))
    return found


def check_address(url: str, form: str) -> None:
    """Raises BadRequest for an address webhooks of the format ``form`` may not have."""
    try:
        if form == Webhook.Format.EMAIL:
            mail.recipient(url)
        else:
            destination(url, settings.WEBHOOK_ALLOWED_NETWORKS)
    except BadDestination as error:
        raise BadRequest(error.args[0], code="bad_destination", field="url") from error


def _kinds(wanted: Sequence[str]) -> list[str]:
    """Raises BadRequest for what names no kind of event: nothing would ever be sent."""
    unknown = unknown_kind(sorted(set(wanted)))
    if unknown is not None:
        raise BadRequest(
            Sentence("Unknown event {kind!r}.", kind=unknown[:40]),
            code="unknown_kind",
            field="kinds",
        )
    return sorted(set(wanted))


def _name(text: str) -> str:
    name = one_text("name", text, 100)
    if not name:
        raise BadRequest(Sentence("Enter a name for the webhook."), field="name")
    return name


def _format(form: str) -> str:
    if form not in Webhook.Format.values:
        raise BadRequest(Sentence("Unknown format {form!r}.", form=form[:40]), field="format")
    return form


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "format": _format,
    "name": _name,
    "kinds": _kinds,
    "servers": check_servers,
}


def make(
    actor: Actor,
    *,
    name: str,
    url: str,
    format: str = "generic",  # noqa: A002  # its name everywhere
    kinds: Sequence[str] = (),
    servers: Sequence[str] = (),
    sandbox: bool = False,
    now: datetime | None = None,
) -> Webhook:
    """Create a webhook for events from now on. Raises BadRequest."""
    now = now or timezone.now()
    check_address(url, _format(format))
    with transaction.atomic():
        webhook = Webhook.objects.create(
            name=_name(name),
            url=url,
            format=format,
            kinds=_kinds(kinds),
            servers=check_servers(servers),
            sandbox=sandbox,
            pepper_id=next(iter(settings.TOKEN_PEPPERS)),
            position=last_id(),
            created_at=now,
            created_by_name=actor.name,
        )
        append("webhook.created", now, actor=actor, data=_event_data(webhook))
    return webhook


def change(
    webhook: Webhook, actor: Actor, fields: dict[str, Any], now: datetime | None = None
) -> Webhook:
    """Set ``name``, ``url``, ``format``, ``kinds``, ``servers`` or ``active``. Raises BadRequest.

    Events while it is disabled are not delivered when it is enabled again.
    """
    now = now or timezone.now()
    if "url" in fields or "format" in fields:
        form = _format(fields.get("format", webhook.format))
        check_address(fields.get("url", webhook.url), form)
    with transaction.atomic():
        if fields.get("active") and not webhook.active:
            webhook.position = last_id()
        for key, value in fields.items():
            setattr(webhook, key, _CHECKS[key](value) if key in _CHECKS else value)
        webhook.save(update_fields=[*fields, "position"])
        append("webhook.updated", now, actor=actor, data=_event_data(webhook))
    return webhook


def rotate(webhook: Webhook, actor: Actor, now: datetime | None = None) -> str:
    """A new secret, returned; for a day deliveries are signed with the old one as well."""
    now = now or timezone.now()
    current = next(iter(settings.TOKEN_PEPPERS))
    with transaction.atomic():
        webhook = Webhook.objects.select_for_update().get(pk=webhook.pk)
        same = webhook.pepper_id == current
        webhook.generation += 1
        # Under another pepper the old secret cannot be derived beside the new one.
        webhook.rotated_at = now if same else None
        webhook.pepper_id = current
        webhook.save(update_fields=["generation", "rotated_at", "pepper_id"])
        append("webhook.rotated", now, actor=actor, data=_event_data(webhook))
    return secret(webhook)


def remove(webhook: Webhook, actor: Actor, now: datetime | None = None) -> None:
    with transaction.atomic():
        append("webhook.deleted", now or timezone.now(), actor=actor, data=_event_data(webhook))
        webhook.delete()


def _event_data(webhook: Webhook) -> dict[str, Any]:
    """The event data of a webhook. Path and query of a URL are often the receiver's secret, and
    more users can read the history than manage webhooks."""
    return {
        "webhook": webhook.uuid,
        "name": webhook.name,
        "url": webhook.url if webhook.url.startswith(mail.SCHEME) else origin_of(webhook.url),
        "format": str(webhook.format),
        "kinds": webhook.kinds,
        "servers": webhook.servers,
        "active": webhook.active,
    }


# -- what is to be told ------------------------------------------------------------------------


def fan_out(now: datetime) -> int:
    """Make a delivery of every event that a webhook wants and has not had. Returns how many."""
    made = 0
    for identity in Webhook.objects.filter(active=True).values_list("pk", flat=True):
        with transaction.atomic():
            webhook = Webhook.objects.select_for_update().filter(pk=identity, active=True).first()
            if webhook is None:
                continue
            events, position = events_after(
                webhook.position, 200, now, servers=_servers(webhook), kinds=webhook.kinds
            )
            if position == webhook.position:
                continue
            wanted = [event for event in events if not _about(webhook, event)]
            changes = Change.objects.defer(*HEAVY).in_bulk(
                {event.change_id for event in wanted if event.change_id is not None}
            )
            Delivery.objects.bulk_create(
                [
                    Delivery(
                        webhook=webhook,
                        event_id=event.pk,
                        kind=event.kind_now,
                        body=body_of(
                            notification(event, changes.get(event.change_id or 0)), webhook.format
                        ),
                        created_at=now,
                        next_at=now,
                    )
                    for event in wanted
                ],
                ignore_conflicts=True,
            )
            Webhook.objects.filter(pk=webhook.pk).update(position=position)
            made += len(wanted)
    return made


def _servers(webhook: Webhook) -> list[str] | None:
    if not webhook.sandbox:
        return list(webhook.servers) or None
    simulated = Server.objects.filter(kind=Server.Kind.SIMULATED)
    if webhook.servers:
        simulated = simulated.filter(name__in=webhook.servers)
    return list(simulated.values_list("name", flat=True))


def _about(webhook: Webhook, event: Event) -> bool:
    """Whether an event is about the webhook itself, whose receiver wants to know of servers."""
    return event.kind_now.startswith("webhook.") and event.data.get("webhook") == webhook.uuid


def send_test(webhook: Webhook, actor: Actor, now: datetime | None = None) -> Delivery:
    """One delivery of the kind ``webhook.test``."""
    now = now or timezone.now()
    content = a_test(webhook.uuid, webhook.name, now)
    body = test_body(webhook.uuid, webhook.name, webhook.format, content)
    with transaction.atomic():
        delivery = Delivery.objects.create(
            webhook=webhook, kind=TEST, body=body, created_at=now, next_at=now
        )
        data = {**_event_data(webhook), "delivery": delivery.uuid}
        append("webhook.tested", now, actor=actor, data=data)
    return delivery


def redeliver(delivery: Delivery, actor: Actor, now: datetime | None = None) -> bool:
    """Send again, at once, whatever its result. False while it is being sent."""
    now = now or timezone.now()
    with transaction.atomic():
        updated = (
            Delivery.objects.filter(pk=delivery.pk)
            .exclude(state=Delivery.State.SENDING)
            .update(state=Delivery.State.PENDING, attempts=0, next_at=now)
        )
        if updated:
            data = {
                **_event_data(delivery.webhook),
                "delivery": delivery.uuid,
                "event": delivery.event_id,
            }
            append("webhook.redelivered", now, actor=actor, data=data)
    return bool(updated)


# -- telling ---------------------------------------------------------------------------------


_turn = threading.Lock()


def run(now: datetime | None = None, seconds: float = 8.0) -> int:
    """One round: fan out, then send what is due for at most ``seconds`` and one attempt more.

    Returns the number of attempts; 0 while another round of this process runs, so that slow
    receivers block one thread of the worker and not those that its servers need.
    """
    if not _turn.acquire(blocking=False):
        return 0
    try:
        fan_out(now or timezone.now())
        deadline, made = time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            attempted = deliver_due(now or timezone.now())
            made += attempted
            if not attempted:
                break
        return made
    finally:
        _turn.release()


def deliver_due(now: datetime) -> int:
    """Send one batch of due deliveries. Returns the number of attempts."""
    claimed = [item for item in _due(now) if _claim(item, now)]
    if not claimed:
        return 0
    work = [_attempt_of(item, now) for item in claimed]
    with ThreadPoolExecutor(max_workers=BATCH) as pool:
        attempts = pool.map(lambda attempt: attempt(), work)
        for item, attempt in zip(claimed, attempts, strict=True):
            _record(item, attempt, timezone.now())
    return len(claimed)


def _attempt_of(item: Delivery, now: datetime) -> Callable[[], Attempt]:
    """What sends ``item``. It reads nothing of the database, as it is called in another thread."""
    url = item.webhook.url
    if item.webhook.format == Webhook.Format.EMAIL:
        return partial(mail.send, url, item.uuid, item.body)
    return partial(send, url, *_signed(item, now))


def _due(now: datetime) -> list[Delivery]:
    """At most two of one webhook, so that a slow receiver does not hold up the others."""
    rows = (
        Delivery.objects.filter(
            state__in=[Delivery.State.PENDING, Delivery.State.SENDING],
            next_at__lte=now,
            webhook__active=True,
        )
        .select_related("webhook")
        .order_by("next_at", "pk")[: BATCH * 8]
    )
    chosen: list[Delivery] = []
    for row in rows:
        if sum(item.webhook_id == row.webhook_id for item in chosen) < 2:
            chosen.append(row)
    return chosen[:BATCH]


def _claim(item: Delivery, now: datetime) -> bool:
    """Take one delivery for this worker: one conditional UPDATE that exactly one can win."""
    won = Delivery.objects.filter(
        pk=item.pk, state=item.state, attempts=item.attempts, next_at=item.next_at
    ).update(state=Delivery.State.SENDING, attempts=item.attempts + 1, next_at=now + LEASE)
    item.attempts += 1
    return won == 1


def _signed(item: Delivery, now: datetime) -> tuple[dict[str, str], bytes]:
    body = json.dumps(item.body, separators=(",", ":"), ensure_ascii=False).encode()
    try:
        keys = _secrets(item.webhook, now)
    except BadRequest:
        # Late is better than unsigned: send() refuses, and the delivery log has the reason.
        return {}, body
    return headers_for(keys, item.uuid, int(now.timestamp()), body), body


def _record(item: Delivery, attempt: Attempt, now: datetime) -> None:
    """Write down one attempt, unless another worker has taken the delivery meanwhile."""
    entry = {
        "at": now.isoformat(),
        "status": attempt.status,
        "ms": attempt.milliseconds,
        "error": attempt.error,
        "answer": attempt.answer,
    }
    fields: dict[str, Any] = {"log": [*item.log, entry][-KEPT_ATTEMPTS:]}
    if attempt.delivered:
        fields |= {"state": Delivery.State.DELIVERED, "delivered_at": now, "next_at": None}
    elif item.attempts > len(PAUSES):
        fields |= {"state": Delivery.State.GIVEN_UP, "next_at": None}
    else:
        due = now + PAUSES[item.attempts - 1]
        fields |= {"state": Delivery.State.PENDING, "next_at": due}
    Delivery.objects.filter(
        pk=item.pk, state=Delivery.State.SENDING, attempts=item.attempts
    ).update(**fields)
    if attempt.status == 410:
        # The endpoint returned 410: it is gone permanently.
        Webhook.objects.filter(pk=item.webhook_id).update(active=False)
    if not attempt.delivered:
        log.warning("delivery %s to %s failed: %s", item.uuid, item.webhook.name, attempt.error)


def prune(now: datetime, limit: int = 1000) -> int:
    """Drop finished deliveries that are older than a month, a little at a time."""
    old = (
        Delivery.objects.filter(Q(next_at=None), created_at__lt=now - KEPT_FOR)
        .order_by("pk")
        .values_list("pk", flat=True)[:limit]
    )
    return Delivery.objects.filter(pk__in=list(old)).delete()[0]
