"""Capacity: what each MPM means in memory and simultaneous requests on one server, as a picture,
as a table and as directives to copy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from easyapache.ea4.capacity import MIB, Capacity
from easyapache.ea4.limits import CPANEL_MAX_REQUEST_WORKERS
from easyapache.ea4.mpm import MPM
from mpm.history.capacity import Load, load_of
from mpm.servers.models import InstalledProfile, Peak, Server

WIDTH, TRACK = 240.0, 232.0
LEAST = 1.5
"""So wide is a bar at least, in units of the picture: something that is there is seen."""

TOLD_BY = frozenset({"limit_stays_150", "one_process_per_request"})
"""The findings that send their reader here."""


def memory(count: int) -> str:
    """``0.4 MiB``, ``824 MiB`` or ``7.8 GiB``, in the reader's language."""
    if count < 1024 * MIB:
        return f"{number_format(count / MIB, 1 if count < 10 * MIB else 0)} MiB"
    return f"{number_format(count / 1024 / MIB, 1)} GiB"


@dataclass(frozen=True, slots=True)
class Picture:
    """The bars of one MPM. All three have the same scale, so they can be compared by eye.

    Widths and places are units of a picture ``width`` wide. ``machine`` and ``to_be_had`` are
    where the machine's memory and httpd's possible share of it end; ``busiest`` is where the
    busiest moments seen stand among the simultaneous requests.
    """

    peak: float
    at_busiest: float
    machine: float
    to_be_had: float
    requests: float
    busiest: tuple[float, ...]
    width: float = WIDTH


@dataclass(frozen=True, slots=True)
class Column:
    """One MPM: its numbers in words, and its picture."""

    capacity: Capacity
    picture: Picture
    process: str
    thread: str
    peak: str
    at_busiest: str
    told: str

    @property
    def mpm(self) -> MPM:
        return self.capacity.mpm


@dataclass(frozen=True, slots=True)
class Shown:
    """The whole section. ``peaks``: the busiest moments that were seen. ``mpm``: which MPM was
    measured. ``cpanels``: whether the limit that holds is the one cPanel comes with."""

    columns: tuple[Column, ...]
    machine: str
    to_be_had: str
    peaks: tuple[Peak, ...]
    measured_at: datetime
    mpm: MPM | None
    estimated: bool
    cpanels: int


def shown(server: Server, row: InstalledProfile) -> Shown | None:
    """The section for ``server`` by its latest profile ``row``; None before httpd was first
    seen running. One query."""
    load = load_of(server, timezone.now(), row)
    if load is None:
        return None
    columns = tuple(
        Column(
            capacity=one,
            picture=_picture(one, load),
            process=memory(one.process.bytes),
            thread=memory(one.thread.bytes) if one.thread else "",
            peak=memory(one.memory_at_peak),
            at_busiest=memory(one.memory_at_busiest),
            told=_told(one, load),
        )
        for one in load.capacities
    )
    first, set_now = load.capacities[0], load.measured.directives
    is_cpanels = set_now.get("MaxRequestWorkers") == CPANEL_MAX_REQUEST_WORKERS
    return Shown(
        columns=columns,
        machine=memory(first.memory_total),
        to_be_had=memory(first.available),
        peaks=load.peaks,
        measured_at=load.measured_at,
        mpm=load.measured.mpm,
        estimated=any(one.estimated for one in load.capacities),
        cpanels=CPANEL_MAX_REQUEST_WORKERS if is_cpanels else 0,
    )


def _picture(one: Capacity, load: Load) -> Picture:
    every = load.capacities
    most_memory = max(one.memory_total, *(other.memory_at_peak for other in every))
    most_requests = max(load.busiest, *(other.limits.requests for other in every))

    def along(part: float, whole: float) -> float:
        return round(part / whole * TRACK, 1)

    return Picture(
        peak=max(along(one.memory_at_peak, most_memory), LEAST),
        at_busiest=along(one.memory_at_busiest, most_memory),
        machine=along(one.memory_total, most_memory),
        to_be_had=along(one.available, most_memory),
        requests=max(along(one.limits.requests, most_requests), LEAST),
        busiest=tuple(along(peak.busiest, most_requests) for peak in load.peaks),
    )


def _told(one: Capacity, load: Load) -> str:
    """The picture in one sentence, for whoever does not see it."""
    told = _(
        "With all workers busy, %(mpm)s needs %(peak)s; the server has %(machine)s, and "
        "%(available)s are available to Apache. It serves %(requests)s concurrent requests."
    ) % {
        "mpm": one.mpm.value,
        "peak": memory(one.memory_at_peak),
        "machine": memory(one.memory_total),
        "available": memory(one.available),
        "requests": number_format(one.limits.requests),
    }
    if load.busiest:
        seen = _("The highest load was %(busiest)s concurrent requests, which need %(memory)s.")
        told += " " + seen % {
            "busiest": number_format(load.busiest),
            "memory": memory(one.memory_at_busiest),
        }
    return told
