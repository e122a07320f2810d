"""Capacity: what each MPM means in memory and simultaneous requests on one server, as one chart,
as a table and as directives to copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from easyapache.ea4.capacity import MIB, Capacity, Verdict
from easyapache.ea4.limits import CPANEL_MAX_REQUEST_WORKERS
from easyapache.ea4.mpm import MPM
from mpm.history.capacity import Load, load_of
from mpm.servers.models import InstalledProfile, Peak, Server

WHOLE = 400.0
"""Units of the chart's width, which is ``SHARE`` of what is available to Apache."""
SHARE = 1.25
LEAST = 3.0
"""The minimum width of a bar, in units of the chart, so that it is visible."""
WORTH = 0.05
"""Smaller savings of memory are not mentioned."""

CAPACITY_CODES = frozenset({"limit_stays_150", "one_process_per_request"})
"""The findings that send their reader here."""


def memory(count: int) -> str:
    """``0.4 MiB``, ``824 MiB`` or ``7.8 GiB``, in the reader's language."""
    if count < 1024 * MIB:
        return f"{_rounded(count / MIB, 1 if count < 10 * MIB else 0)} MiB"
    return f"{_rounded(count / 1024 / MIB, 1)} GiB"


def _rounded(value: float, digits: int = 0) -> str:
    """``number_format`` truncates."""
    return str(number_format(round(value, digits), digits))


@dataclass(frozen=True, slots=True)
class Bar:
    """The row of one MPM in the chart, in its units. ``low`` and ``high`` are the ends of an
    estimate, both 0 if everything was measured. ``beyond``: the bar continues beyond the edge."""

    peak: float
    low: float
    high: float
    beyond: bool

    @property
    def spread(self) -> float:
        return round(self.high - self.low, 1)


@dataclass(frozen=True, slots=True)
class Column:
    """One MPM: its formatted figures, and its bar. ``share``: of the memory available to Apache.
    ``between``: the range of an estimate, else "". ``measured_at``: when it last ran; None if it
    runs now or was never measured."""

    capacity: Capacity
    bar: Bar
    process: str
    thread: str
    peak: str
    share: str
    between: str
    at_busiest: str
    requests_that_fit: str
    measured_at: datetime | None

    @property
    def mpm(self) -> MPM:
        return self.capacity.mpm


@dataclass(frozen=True, slots=True)
class Section:
    """The whole section. ``conclusion`` is what the chart says, ``saving`` what one MPM would need
    less than another. ``peaks``: the busiest moments that were seen. ``mpm``: which MPM is
    measured now. ``cpanels``: the limit that holds where it is the one cPanel comes with, else
    0."""

    columns: tuple[Column, ...]
    conclusion: tuple[str, str]
    saving: str
    machine: str
    to_be_had: str
    peaks: tuple[Peak, ...]
    measured_at: datetime
    mpm: MPM | None
    cpanels: int


def known_load(server: Server, row: InstalledProfile) -> Load | None:
    """The load of ``server`` in its latest profile; None before the first scan of a running httpd.
    One query."""
    return load_of(server, timezone.now(), row)


def section(load: Load) -> Section:
    """The section, without further queries."""
    columns = tuple(_column(one, load) for one in load.capacities)
    first, set_now = load.capacities[0], load.measured.directives
    is_cpanels = set_now.get("MaxRequestWorkers") == CPANEL_MAX_REQUEST_WORKERS
    return Section(
        columns=columns,
        conclusion=_conclusion(load.capacities),
        saving=_saving(load.capacities, load.measured.mpm),
        machine=memory(first.memory_total),
        to_be_had=memory(first.available),
        peaks=load.peaks,
        measured_at=load.measured_at,
        mpm=load.measured.mpm,
        cpanels=CPANEL_MAX_REQUEST_WORKERS if is_cpanels else 0,
    )


def _column(one: Capacity, load: Load) -> Column:
    runs_now = one.mpm is load.measured.mpm
    return Column(
        capacity=one,
        bar=_bar(one),
        process=_about(one.process.measured, memory(one.process.bytes)),
        thread=_about(one.thread.measured, memory(one.thread.bytes)) if one.thread else "",
        peak=_about(one.measured, memory(one.memory_at_peak)),
        share=_share(one),
        between="" if one.measured else _between(one.peak_low, one.peak_high),
        at_busiest=_about(one.measured, memory(one.memory_at_busiest)),
        requests_that_fit=_about(
            one.measured, number_format(one.requests_that_fit, 0, force_grouping=True)
        ),
        measured_at=None if runs_now or not one.measured else load.own_at.get(one.mpm),
    )


def _about(measured: bool, text: str) -> str:
    return text if measured else f"≈ {text}"


def _between(low: int, high: int) -> str:
    """``152–606 MiB``, or both with their units."""
    first, last = memory(low), memory(high)
    if first[-3:] == last[-3:]:
        first = first[:-4]
    return f"{first}–{last}"


def _share(one: Capacity) -> str:
    if not one.available:
        return ""
    percent = _rounded(100 * one.memory_at_peak / one.available)
    return _about(one.measured, _("%(percent)s%%") % {"percent": percent})


def _bar(one: Capacity) -> Bar:
    def along(part: int) -> float:
        if not one.available:
            return WHOLE
        return round(min(part / one.available / SHARE, 1) * WHOLE, 1)

    return Bar(
        peak=max(along(one.memory_at_peak), LEAST),
        low=0 if one.measured else along(one.peak_low),
        high=0 if one.measured else along(one.peak_high),
        beyond=one.memory_at_peak > one.available * SHARE,
    )


def _conclusion(every: Sequence[Capacity]) -> tuple[str, str]:
    """The main conclusion, and a second sentence with the rest, or ""."""
    of = {
        verdict: [one.mpm.value for one in every if one.verdict is verdict] for verdict in Verdict
    }
    out, unsure, fit = of[Verdict.DOES_NOT_FIT], of[Verdict.MAY_NOT_FIT], of[Verdict.FITS]
    if len(out) == len(every):
        return _("No MPM fits at its present limit."), ""
    if len(fit) == len(every):
        return _("All three MPMs fit."), ""
    rest = []
    if out:
        first = ngettext("%(names)s doesn’t fit.", "%(names)s don’t fit.", len(out))
        first %= {"names": _and(out)}
        if unsure:
            may_not = ngettext("%(names)s may not.", "%(names)s may not.", len(unsure))
            rest.append(may_not % {"names": _and(unsure)})
    else:
        first = ngettext("%(names)s may not fit.", "%(names)s may not fit.", len(unsure))
        first %= {"names": _and(unsure)}
    if fit:
        does = ngettext("%(names)s does.", "%(names)s do.", len(fit))
        rest.append(does % {"names": _and(fit)})
    return first, " ".join(rest)


def _and(names: Sequence[str]) -> str:
    """Two names at most: there are three MPMs."""
    if len(names) == 1:
        return names[0]
    return _("%(first)s and %(last)s") % {"first": names[0], "last": names[1]}


def _saving(every: Sequence[Capacity], runs: MPM | None) -> str:
    """The memory that the lightest MPM saves compared with the running one or, if it is the running
    one, with the heaviest. "" if their limits differ, because they could not serve the same
    load."""
    lightest = min(every, key=lambda one: (one.memory_at_peak, one.mpm is not runs))
    others = [one for one in every if one is not lightest]
    other = max(others, key=lambda one: (one.mpm is runs, one.memory_at_peak))
    if not other.memory_at_peak or lightest.limits.requests != other.limits.requests:
        return ""
    saved = 1 - lightest.memory_at_peak / other.memory_at_peak
    if saved < WORTH:
        return ""
    words = {
        "limit": number_format(lightest.limits.requests, 0),
        "mpm": lightest.mpm.value,
        "percent": _rounded(100 * saved),
        "other": other.mpm.value,
    }
    template = (
        _(
            "At the current limit of %(limit)s requests, %(mpm)s needs %(percent)s%% less memory "
            "than %(other)s."
        )
        if lightest.measured and other.measured
        else _(
            "At the current limit of %(limit)s requests, %(mpm)s needs about %(percent)s%% less "
            "memory than %(other)s."
        )
    )
    return template % words
