"""Whether the panel's own background parts still work, and whether a proxy in front of it is
known: a page says so when they do not, or it is not."""

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
    """A part that has not been heard for too long. ``sentence`` says what that means for people."""

    name: str
    since: datetime
    sentence: str


def stopped_parts(
    now: datetime, heard: Mapping[str, datetime | None] | None = None
) -> tuple[Stopped, ...]:
    """One query, none where the caller knows when each part was ``heard``. A part that was never
    heard is not reported: nothing has been started yet.

    The control worker gives signs whenever any message reaches it, beat only by its ticks. So a
    worker that is up but deaf shows, and beat alone can be told from both. Where the worker is
    not heard the broker is asked whether it is its fault.
    """
    if heard is None:
        heard = {pulse.name: pulse.at for pulse in Pulse.objects.all()}
    late = {name: at for name, at in heard.items() if at and now - at > STOPPED_AFTER}
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
    """How many messages the panel's worker has dropped so far, and when last. One query."""
    pulse = Pulse.objects.filter(name=DROPPED).first()
    return (pulse.count, pulse.at) if pulse else (0, None)


PROXY = "unknown-proxy"
NOTED_EVERY, REMEMBERED_FOR = timedelta(hours=1), timedelta(days=1)
_noted: list[datetime] = []
"""When this process last wrote it down: a request is not to become a write every time."""


def note_unknown_proxy(request: HttpRequest) -> None:
    """Remember that a request came through a proxy that the settings do not know of."""
    now = timezone.now()
    if not passed_an_unknown_proxy(request) or (_noted and now - _noted[0] < NOTED_EVERY):
        return
    _noted[:] = [now]
    Pulse.beat(PROXY, now)


def proxy_and_drops(now: datetime) -> tuple[bool, int, datetime | None]:
    """Whether an unknown proxy was met lately, how many messages the worker has dropped so far,
    and when last. One query."""
    found = {pulse.name: pulse for pulse in Pulse.objects.filter(name__in=(PROXY, DROPPED))}
    proxy, drops = found.get(PROXY), found.get(DROPPED)
    met = proxy is not None and proxy.at > now - REMEMBERED_FOR
    return (met, drops.count, drops.at) if drops else (met, 0, None)
