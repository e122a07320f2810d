"""Whether the panel's own background parts work, and whether a proxy in front of it is known; if
not, pages show a notice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from mpm.servers.agents import broker_is_up
from mpm.servers.models import Pulse
from mpm.web.address import passed_an_unknown_proxy

STOPPED_AFTER = timedelta(seconds=60)
"""Each part gives a sign every 20 seconds at the latest."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A part without signs of life for too long. ``sentence`` has the consequence for users."""

    name: str
    since: datetime
    sentence: str


def stopped_parts(
    now: datetime, pulses: Mapping[str, datetime | None] | None = None
) -> tuple[Stopped, ...]:
    """One query, none if the caller passes when each part was ``heard``. A part that never worked
    is not reported: it has not been started yet.

    The control worker's pulse is updated by every message, beat's only by its ticks. So a worker
    that runs but receives nothing is noticed, and beat can be distinguished from both. If the
    worker is silent, the broker is checked as the cause.
    """
    if pulses is None:
        pulses = {pulse.name: pulse.at for pulse in Pulse.objects.all()}
    late = {name: at for name, at in pulses.items() if at and now - at > STOPPED_AFTER}
    if "control" in late and not broker_is_up():
        sentence = _(
            "The broker (Redis) isn’t responding. Status may be out of date. Running changes "
            "continue on their servers."
        )
        return (Stopped("broker", late["control"], sentence),)
    if "control" in late:
        sentence = _(
            "The control worker has stopped. Status may be out of date. Running changes "
            "continue on their servers."
        )
        return (Stopped("control", late["control"], sentence),)
    if "beat" in late:
        sentence = _(
            "The scheduler (beat) has stopped. Servers aren’t checked, scheduled changes don’t "
            "start, and lost messages aren’t resent."
        )
        return (Stopped("beat", late["beat"], sentence),)
    return ()


DROPPED, SHOWN_FOR = "dropped", timedelta(days=1)


def note_dropped(count: int) -> None:
    """Remember that the control worker dropped so many messages (easyapache.envelopes)."""
    Pulse.add(DROPPED, timezone.now(), count)


def dropped_messages() -> tuple[int, datetime | None]:
    """The number of messages the panel's worker has dropped, and the last time. One query."""
    pulse = Pulse.objects.filter(name=DROPPED).first()
    return (pulse.count, pulse.at) if pulse else (0, None)


PROXY = "unknown-proxy"
NOTED_EVERY, REMEMBERED_FOR = timedelta(hours=1), timedelta(days=1)
_noted: list[datetime] = []
"""When this process last wrote it down: a request is not to become a write every time."""


def note_unknown_proxy(request: HttpRequest) -> None:
    """Record a request through a proxy that the settings do not know of."""
    if not passed_an_unknown_proxy(request):
        return
    now = timezone.now()
    if _noted and now - _noted[0] < NOTED_EVERY:
        return
    _noted[:] = [now]
    Pulse.beat(PROXY, now)


def proxy_and_drops(now: datetime) -> tuple[bool, int, datetime | None]:
    """Whether an unknown proxy was met recently, the number of messages the worker has dropped, and
    the last time. One query."""
    found = {pulse.name: pulse for pulse in Pulse.objects.filter(name__in=(PROXY, DROPPED))}
    proxy, drops = found.get(PROXY), found.get(DROPPED)
    met = proxy is not None and proxy.at > now - REMEMBERED_FOR
    return (met, drops.count, drops.at) if drops else (met, 0, None)
