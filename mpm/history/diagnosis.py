"""Known problems of a server: from its latest profile, and from the log of its last change if that
failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from easyapache.ea4.conditions.condition import TAKE_BACK
from easyapache.ea4.conditions.diagnosis import Diagnosis, diagnose, diagnosis_of
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.sentences import Sentence, with_sentences
from mpm.changes.lifecycle import past_the_point
from mpm.changes.models.change import Origin
from mpm.history import renamed
from mpm.history.unrequested import UNREQUESTED
from mpm.models import Change, Event, LogChunk, State, WhmKey
from mpm.servers.models import Server
from mpm.web.address import knows_its_address
from mpm.web.background_parts import SHOWN_FOR, proxy_and_drops
from mpm.web.broker_trouble import trouble
from mpm.web.exposure_checks import exposed_database, exposed_secrets

TAIL = 64 * 1024
"""The bytes at the end of a log that are searched: the cause of an end is there."""
REPAIR_REQUESTED = "server.repair_requested"
REPAIRED, NOT_REPAIRED = "server.repaired", "server.repair_failed"
MOST_REPAIRS = 20
UNREQUESTED_SHOWN_FOR = timedelta(days=7)
_OF_AN_MPM = ("ea-apache24-mod_mpm_", "ea-apache24-mod_cgi")


@dataclass(frozen=True, slots=True)
class Examination:
    """``change``: the one whose log was searched; None if the last one succeeded."""

    findings: tuple[Diagnosis, ...]
    change: Change | None

    def as_json(self) -> dict[str, Any]:
        """The JSON of the command line and the API."""
        return {
            "change": self.change.pk if self.change else None,
            "findings": [finding.as_json() for finding in self.findings],
        }


def of_the_panel() -> tuple[Diagnosis, ...]:
    """Problems of the panel itself, for every server. One query, two if the panel's own address
    isn't known, and one request to the broker."""
    now = timezone.now()
    found: list[Diagnosis] = []
    met, count, last = proxy_and_drops(now)
    if met:
        found.append(diagnosis_of("unknown_proxy", "X-Forwarded-For"))
    if not knows_its_address() and WhmKey.objects.exists():
        seen = settings.PANEL_URL or ", ".join(settings.ALLOWED_HOSTS)
        found.append(diagnosis_of("no_panel_address", seen))
    if last is not None and now - last < SHOWN_FOR:
        seen = Sentence(
            "{count} messages, the last one at {at} UTC.",
            count=count,
            at=f"{last:%Y-%m-%d %H:%M:%S}",
        )
        found.append(diagnosis_of("messages_dropped", seen))
    if (broken := trouble()) is not None:
        named = diagnosis_of("broker_trouble", broken.seen)
        found.append(replace(named, cause=broken.cause, fix=broken.fix))
    if exposed := [*exposed_database(), *exposed_secrets().values()]:
        found.append(diagnosis_of("files_readable", "\n".join(map(str, exposed))))
    return tuple(found)


def _dropped(server: Server) -> list[Diagnosis]:
    """Messages that the agent of this server has dropped since it started."""
    if count := _dropped_by_agent(server.agent):
        seen = Sentence(
            "{count} messages from the queue {queue} since the agent started.",
            count=count,
            queue=f"host.{server.name}",
        )
        return [diagnosis_of("agent_messages_dropped", seen)]
    return []


def _unrequested(server: Server) -> list[Diagnosis]:
    """Reports on changes that this panel did not request, within the last week."""
    since = timezone.now() - UNREQUESTED_SHOWN_FOR
    reported = Event.objects.filter(server_name=server.name, kind=UNREQUESTED, at__gt=since)
    last = reported.order_by("-pk").first()
    if last is None:
        return []
    seen = f"{last.data.get('change')} ({last.at:%Y-%m-%d %H:%M:%S} UTC)"
    return [diagnosis_of("change_not_requested", seen)]


def _dropped_by_agent(agent: Mapping[str, Any]) -> int:
    here: Any = agent
    for key in ("capabilities", "agent", "dropped"):
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, int) else 0


def examined(server: Server, profile: Profile | None) -> Examination:
    """Four queries, or three after a change that succeeded."""
    own = [*of_the_panel(), *_dropped(server), *_unrequested(server)]
    last = server.changes.order_by("-pk").first()
    if last is None or last.state not in (State.FAILED, State.NOT_STARTED, State.RESTORED):
        removal = _unrequested_removal(last) if last is not None else []
        return Examination((*diagnose("", profile), *removal, *own), None)
    half_way = [diagnosis_of("incomplete_change", str(last.sentence))] if _half_way(last) else []
    chunks = LogChunk.objects.filter(change=last, offset__gte=max(0, last.log_size - TAIL))
    text = b"".join(bytes(chunk.data) for chunk in chunks.order_by("offset"))
    found = diagnose(text.decode("utf-8", "replace"), profile)
    return Examination((*half_way, *found, *own), last)


def _half_way(change: Change) -> bool:
    """Whether it failed after its packages were partly changed, and no repair has undone it
    since."""
    if change.state != State.FAILED or not past_the_point(change.step):
        return False
    since = Event.objects.filter(
        server_name=change.server_name, kind=REPAIRED, at__gte=change.finished_at
    )
    return not since.filter(data__action=TAKE_BACK).exists()


def _unrequested_removal(change: Change) -> list[Diagnosis]:
    """Packages removed by an external change besides those of the MPM, such as by provisioning a
    profile that does not list them. None if an administrator has accepted the change."""
    if change.origin != Origin.OUTSIDE or change.adopted_at is not None:
        return []
    moves = Transaction.from_json(change.transaction or {})
    installed = {package.name for package in moves.install}
    removed = sorted(
        package.name
        for package in moves.remove
        if package.name not in installed and not package.name.startswith(_OF_AN_MPM)
    )
    if not removed:
        return []
    seen = Sentence(
        "External change #{number} removed {names}.",
        number=change.pk,
        names=", ".join(removed),
    )
    return [diagnosis_of("packages_removed_outside", seen)]


@dataclass(frozen=True, slots=True)
class RepairRecord:
    """One repair of a server: its request and its result.

    ``ok`` is None while the agent has not answered; ``number`` is the id of the event that
    requested it.
    """

    request: str
    action: str
    requested_by: str
    requested_at: datetime
    ok: bool | None = None
    message: str = ""
    log: str = ""
    number: int = 0
    answered_at: datetime | None = None


def repairs(server: Server) -> list[RepairRecord]:
    """The latest repairs, newest first. One query."""
    kinds = renamed.spellings(REPAIR_REQUESTED, REPAIRED, NOT_REPAIRED)
    latest = Event.objects.filter(server_name=server.name, kind__in=kinds).order_by("-pk")
    events = list(latest[: 2 * MOST_REPAIRS])
    requests = [event for event in events if event.kind in renamed.spellings(REPAIR_REQUESTED)]
    return _paired(requests[:MOST_REPAIRS], events)


def all_repairs(server: Server, before: int | None = None) -> Iterator[RepairRecord]:
    """Every repair, newest first, starting before number ``before``. Two queries for each
    hundred."""
    while True:
        rows = _requested(server)
        found = _repairs((rows if before is None else rows.filter(pk__lt=before))[:100])
        yield from found
        if len(found) < 100:
            return
        before = found[-1].number


def repair_numbered(server: Server, request: str) -> RepairRecord | None:
    """The repair with that id; None if there is none."""
    found = _repairs(_requested(server).filter(data__request=request[:64])[:1])
    return found[0] if found else None


def _requested(server: Server) -> QuerySet[Event]:
    kinds = renamed.spellings(REPAIR_REQUESTED)
    return Event.objects.filter(server_name=server.name, kind__in=kinds).order_by("-pk")


def _repairs(requests: QuerySet[Event]) -> list[RepairRecord]:
    events = list(requests)
    if not events:
        return []
    answers = Event.objects.filter(
        server_name=events[0].server_name,
        kind__in=renamed.spellings(REPAIRED, NOT_REPAIRED),
        pk__gt=events[-1].pk,
        data__request__in=[event.data.get("request", "") for event in events],
    )
    return _paired(events, answers)


def _paired(requests: Iterable[Event], events: Iterable[Event]) -> list[RepairRecord]:
    """Each request with its answer among ``events``."""
    answering = renamed.spellings(REPAIRED, NOT_REPAIRED)
    by_request = {
        str(event.data.get("request", "")): event for event in events if event.kind in answering
    }
    return [
        _record_of(number, event, by_request.get(number))
        for event in requests
        for number in (str(event.data.get("request", "")),)
    ]


def _record_of(number: str, request: Event, answer: Event | None) -> RepairRecord:
    result: Mapping[str, Any] = with_sentences(answer.data) if answer else {}
    return RepairRecord(
        request=number,
        action=str(request.data.get("action", "")),
        requested_by=request.actor_name,
        requested_at=request.at,
        ok=None if answer is None else answer.kind == REPAIRED,
        message=result.get("message") or "",
        log=str(result.get("log", "")),
        number=request.pk,
        answered_at=answer.at if answer else None,
    )
