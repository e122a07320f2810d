"""Small pictures as numbers for SVG attributes: no style, no script, nothing drawn by a library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _

STRIP_WIDTH, STRIP_HEIGHT = 1000, 56


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The probes of one restart, left to right; the height of a bar is its wait on a log scale. Its
    title has the same in the reader's language."""

    bars: tuple[Bar, ...]
    start_ms: int
    end_ms: int
    counts: Mapping[str, int]
    width: int = STRIP_WIDTH
    height: int = STRIP_HEIGHT


def probe_strip(interruption: Mapping[str, Any] | None) -> Strip | None:
    """None when nothing was probed. Entries that are not [offset, wait, verdict] are left out."""
    raw = (interruption or {}).get("strip") or ()
    probes = [
        (float(item[0]), float(item[1]), str(item[2]))
        for item in raw
        if isinstance(item, Sequence) and len(item) == 3
    ]
    if not probes:
        return None
    probes.sort()
    first, last = probes[0][0], probes[-1][0]
    step = STRIP_WIDTH / len(probes)
    counts = {"ok": 0, "slow": 0, "bad": 0}
    bars = []
    for number, (offset, wait, verdict) in enumerate(probes):
        kind = verdict if verdict in ("ok", "slow") else "bad"
        counts[kind] += 1
        tall = STRIP_HEIGHT - 4 if kind == "bad" else _height(wait)
        bars.append(
            Bar(
                x=round(number * step, 2),
                y=round(STRIP_HEIGHT - tall, 1),
                width=round(max(step * 0.82, 0.6), 2),
                height=round(tall, 1),
                kind=kind,
                title=_("after %(at)s ms: %(verdict)s, %(wait)s ms")
                % {
                    "at": number_format(round(offset)),
                    "verdict": _verdict(verdict),
                    "wait": number_format(wait, 1),
                },
            )
        )
    return Strip(tuple(bars), round(first), round(last), counts)


def _verdict(verdict: str) -> str:
    words = {
        "ok": _("answered"),
        "slow": _("answered slowly"),
        "refused": _("refused"),
        "reset": _("interrupted"),
    }
    return words.get(verdict, verdict)


def _height(wait_ms: float) -> float:
    """4 px up to a millisecond, the whole height at ten seconds."""
    scale = math.log10(max(wait_ms, 1.0)) / 4
    return 4 + min(1.0, scale) * (STRIP_HEIGHT - 10)
