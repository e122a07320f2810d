"""What is known to be wrong with a server: by its latest profile, and by the log of its last
change where that did not succeed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from easyapache.ea4.conditions.condition import TAKE_BACK
from easyapache.ea4.conditions.diagnosis import Diagnosis, diagnose, known
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.sentences import Sentence, spoken
from mpm.changes.lifecycle import past_the_point
from mpm.changes.models.change import Origin
from mpm.history import renamed
from mpm.history.unrequested import UNREQUESTED
from mpm.models import Change, Event, LogChunk, State
from mpm.servers.models import Server
from mpm.web.background_parts import SHOWN_FOR, proxy_and_drops
from mpm.web.broker_trouble import trouble
from mpm.web.exposure_checks import exposed_database, exposed_secrets

TAIL = 64 * 1024
"""So many bytes at the end of a log are looked through: whatever ended a change is there."""
ASKED = "server.repair_requested"
REPAIRED, NOT_REPAIRED = "server.repaired", "server.repair_failed"
MOST_REPAIRS = 20
UNREQUESTED_SHOWN_FOR = timedelta(days=7)
_OF_AN_MPM = ("ea-apache24-mod_mpm_", "ea-apache24-mod_cgi")


@dataclass(frozen=True, slots=True)
class Examination:
    """``change``: the one whose log was looked through, None when the last one succeeded."""

    findings: tuple[Diagnosis, ...]
    change: Change | None

    def as_json(self) -> dict[str, Any]:
        """For programs: what the command line prints and the API answers."""
        return {
            "change": self.change.pk if self.change else None,
            "findings": [finding.as_json() for finding in self.findings],
        }


UNKNOWN_PROXY = Diagnosis(
    "unknown-proxy",
    Sentence("A proxy in front of this panel is not known to it"),
    Sentence(
        "Requests came with X-Forwarded-For while TRUSTED_PROXIES is 0. So all visitors count as "
        "one address: in the limits, in the networks of tokens and in the history."
    ),
    Sentence("Set TRUSTED_PROXIES to the number of your own proxies, and start the panel again."),
    "X-Forwarded-For",
)
"""Of the panel, not of a server; it makes the panel's own records wrong."""


_DROPPED = Sentence("Messages were dropped that no part of this panel sends")
_DROPPED_FIX = Sentence(
    "Find out who else has the password of the broker (Redis), and give it a new one. The log of "
    "the worker or agent says what came."
)


def of_the_panel() -> tuple[Diagnosis, ...]:
    """What is wrong with the panel itself, whichever server is asked about. One query, and one
    question to the broker."""
    now = timezone.now()
    found: list[Diagnosis] = []
    met, count, last = proxy_and_drops(now)
    if met:
        found.append(UNKNOWN_PROXY)
    if last is not None and now - last < SHOWN_FOR:
        cause = Sentence(
            "The control worker dropped {count} messages from the broker that are malformed, too "
            "large or compressed.",
            count=count,
        )
        seen = f"{last:%Y-%m-%d %H:%M:%S} UTC"
        found.append(Diagnosis("messages-dropped", _DROPPED, cause, _DROPPED_FIX, seen))
    if (broken := trouble()) is not None:
        title = Sentence("The broker (Redis) takes no messages")
        found.append(Diagnosis("broker", title, broken.cause, broken.fix, broken.seen))
    if exposed := [*exposed_database(), *exposed_secrets().values()]:
        cause = Sentence("Other accounts of this machine can read the database or a secret file.")
        fix = Sentence("Run manage.py check as the panel's account, and do what it says.")
        seen = "\n".join(map(str, exposed))
        title = Sentence("Other accounts can read the panel's files")
        found.append(Diagnosis("files-readable", title, cause, fix, seen))
    return tuple(found)


def _dropped(server: Server) -> list[Diagnosis]:
    """What the agent of this server dropped since it started."""
    found = []
    if count := _dropped_by_agent(server.agent):
        cause = Sentence(
            "The agent of {server} dropped {count} messages since its start that are malformed, "
            "too large or compressed.",
            server=server.name,
            count=count,
        )
        seen = f"host.{server.name}"
        found.append(Diagnosis("agent-messages-dropped", _DROPPED, cause, _DROPPED_FIX, seen))
    return found


def _unrequested(server: Server) -> list[Diagnosis]:
    """What was told of changes that this panel did not request, within the last week."""
    since = timezone.now() - UNREQUESTED_SHOWN_FOR
    told = Event.objects.filter(server_name=server.name, kind=UNREQUESTED, at__gt=since)
    last = told.order_by("-pk").first()
    if last is None:
        return []
    cause = Sentence(
        "The agent of {server} carries out a change that was not requested, or somebody with the "
        "password of the broker says so in its name.",
        server=server.name,
    )
    seen = f"{last.data.get('change')} ({last.at:%Y-%m-%d %H:%M:%S} UTC)"
    title = Sentence("A change was carried out that this panel did not request")
    return [Diagnosis("change-not-requested", title, cause, _DROPPED_FIX, seen)]


def _dropped_by_agent(said: Mapping[str, Any]) -> int:
    here: Any = said
    for key in ("capabilities", "agent", "dropped"):
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, int) else 0


def examined(server: Server, profile: Profile | None) -> Examination:
    """Four queries, or three after a change that succeeded."""
    own = [*of_the_panel(), *_dropped(server), *_unrequested(server)]
    last = server.changes.order_by("-pk").first()
    if last is None or last.state not in (State.FAILED, State.NOT_STARTED, State.RESTORED):
        unasked = _unasked_removal(last) if last is not None else []
        return Examination((*diagnose("", profile), *unasked, *own), None)
    half_way = [known("half-way", str(last.sentence))] if _half_way(last) else []
    chunks = LogChunk.objects.filter(change=last, offset__gte=max(0, last.log_size - TAIL))
    said = b"".join(bytes(chunk.data) for chunk in chunks.order_by("offset"))
    found = diagnose(said.decode("utf-8", "replace"), profile)
    return Examination((*half_way, *found, *own), last)


def _half_way(change: Change) -> bool:
    """Whether it is one that failed with its packages half moved, and has not been taken back by
    a repair since."""
    if change.state != State.FAILED or not past_the_point(change.step):
        return False
    since = Event.objects.filter(
        server_name=change.server_name, kind=REPAIRED, at__gte=change.finished_at
    )
    return not since.filter(data__action=TAKE_BACK).exists()


def _unasked_removal(change: Change) -> list[Diagnosis]:
    """Packages that something outside this panel took away, beyond the MPM it exchanged: what a
    profile does not list is removed when it is provisioned. An administrator who adopted the
    change has seen them."""
    if change.origin != Origin.OUTSIDE or change.adopted_at is not None:
        return []
    moves = Transaction.from_json(change.transaction or {})
    came = {package.name for package in moves.install}
    gone = sorted(
        package.name
        for package in moves.remove
        if package.name not in came and not package.name.startswith(_OF_AN_MPM)
    )
    if not gone:
        return []
    seen = Sentence(
        "Change #{number}, made outside this panel, took away {names}.",
        number=change.pk,
        names=", ".join(gone),
    )
    return [known("unasked-removal", seen)]


@dataclass(frozen=True, slots=True)
class RepairTold:
    """One repair of a server: who asked for what when, and what came of it.

    ``ok`` is None while the agent has not answered.
    """

    request: str
    action: str
    asked_by: str
    asked_at: datetime
    ok: bool | None = None
    message: str = ""
    log: str = ""
    answered_at: datetime | None = None


def repairs(server: Server) -> list[RepairTold]:
    """The latest repairs, the newest first. One query."""
    events = Event.objects.filter(
        server_name=server.name, kind__in=renamed.spellings(ASKED, REPAIRED, NOT_REPAIRED)
    ).order_by("-pk")[: MOST_REPAIRS * 2]
    answers: dict[str, Event] = {}
    found = []
    for event in events:
        number = str(event.data.get("request", ""))
        if event.kind_now != ASKED:
            answers[number] = event
        else:
            found.append(_told(number, event, answers.get(number)))
    return found[:MOST_REPAIRS]


def _told(number: str, asked: Event, answer: Event | None) -> RepairTold:
    said: Mapping[str, Any] = spoken(answer.data) if answer else {}
    return RepairTold(
        request=number,
        action=str(asked.data.get("action", "")),
        asked_by=asked.actor_name,
        asked_at=asked.at,
        ok=None if answer is None else answer.kind == REPAIRED,
        message=said.get("message") or "",
        log=str(said.get("log", "")),
        answered_at=answer.at if answer else None,
    )
