"""Repairs of a server: requested once, repeated until its agent has answered, recorded once."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from easyapache.ea4.protocol import RepairRequest
from easyapache.ea4.sentences import Sentence, with_words
from mpm.access.services.actor import Actor, Refused, agent_of
from mpm.changes.services.lookup import must_be_allowed
from mpm.changes.services.record import mark_seen
from mpm.history import renamed
from mpm.history.diagnosis import NOT_REPAIRED, REPAIR_REQUESTED, REPAIRED
from mpm.history.services.events import append
from mpm.history.services.text_checks import storable
from mpm.models import ACTIVE_STATES, Event
from mpm.servers.agents import wake
from mpm.servers.looks import request_number, rescan
from mpm.servers.models import Server

REPEAT = timedelta(seconds=8)
REPEATED_FOR = timedelta(days=7)
"""An agent that is offline longer still reports the result by itself, from its spool."""


def repair(server: Server, action: str, actor: Actor) -> str:
    """Have the agent carry out one of the doctor's safe repairs; returns the request's number.

    Raises NotAllowed, and Busy-like Refused while a change of that server has not ended.
    """
    must_be_allowed(actor, Sentence("repair servers"))
    if server.changes.filter(state__in=ACTIVE_STATES).exists():
        raise Refused(
            Sentence(
                "A change on {server} hasn't finished. Wait until it finishes.",
                server=str(server),
            ),
            code="busy",
            status=409,
        )
    now = timezone.now()
    number = request_number(now)
    with transaction.atomic():
        event = append(
            REPAIR_REQUESTED,
            now,
            server_name=server.name,
            actor=actor,
            data={"request": number, "action": action},
        )
    _send(event)
    return number


def _send(event: Event) -> None:
    message = RepairRequest(event.data["request"], event.data["action"], event.at)
    wake(event.server_name, "repair", message.as_json())


def repeat_unanswered(now: datetime, away: Container[str]) -> None:
    """Repeat the request of every repair without an answer, except for agents in ``away``.

    It does no harm: an agent carries out each once, starts no old one, and answers each time."""
    since = now - REPEATED_FOR
    requests = Event.objects.filter(
        kind__in=renamed.spellings(REPAIR_REQUESTED), at__gte=since, at__lte=now - REPEAT
    )
    waiting = {str(event.data.get("request")): event for event in requests.order_by("-id")[:200]}
    if not waiting:
        return
    answers = Event.objects.filter(kind__in=(REPAIRED, NOT_REPAIRED), at__gte=since)
    answered = set(answers.values_list("data__request", flat=True))
    served = set(Server.objects.filter(active=True).values_list("name", flat=True))
    for number, event in waiting.items():
        name = event.server_name
        if number not in answered and name in served and name not in away:
            _send(event)


def record_repair(
    server: str, request: str, action: str, *, ok: bool, message: str, log: str = ""
) -> None:
    """Record the result of a repair in the history, once, and scan the server again."""
    now = timezone.now()
    with transaction.atomic():
        row = Server.objects.select_for_update().filter(name=server).first()
        if row is None:
            return
        mark_seen(server, now)
        answers = Event.objects.filter(server_name=server, kind__in=(REPAIRED, NOT_REPAIRED))
        if answers.filter(data__request=request).exists():
            return
        data = {"request": request, "action": action, "message": message, "log": log[-20_000:]}
        append(
            REPAIRED if ok else NOT_REPAIRED,
            now,
            server_name=server,
            actor=agent_of(server),
            data=storable(with_words(data, "message")),
        )
    rescan(row)
