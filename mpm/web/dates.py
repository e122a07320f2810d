"""Dates and times as the reader wants them.

``mpm.web.formats`` holds the usual way of each language. A reader may want another order of an
English date, or another clock; ``written`` is what every page writes its times with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date

from django.utils.dateformat import format as in_format
from django.utils.formats import get_format
from django.utils.translation import get_language

USUAL = ""
DAY_FIRST = "day-first"
ORDERS = (USUAL, DAY_FIRST)
"""Of an English date: ``Nov 30, 2026`` is the usual one."""
CLOCKS = (USUAL, "12", "24")
"""How many hours a clock has. Usual are 12 in English and 24 in German."""

_DAY_FIRST = (("F j, Y", "j F Y"), ("M j, Y", "j M Y"))
_OF_24_HOURS = (("g:i:s A", "H:i:s"), ("g:i A", "H:i"))


@dataclass(frozen=True, slots=True)
class Style:
    """``order`` is one of ORDERS, ``clock`` one of CLOCKS."""

    order: str = USUAL
    clock: str = USUAL

    def applied(self, form: str) -> str:
        """A format of ``mpm.web.formats`` in this style."""
        if self.order == DAY_FIRST and (get_language() or "en").startswith("en"):
            form = _replaced(form, _DAY_FIRST)
        if self.clock == "24":
            form = _replaced(form, _OF_24_HOURS)
        elif self.clock == "12":
            form = _replaced(form, ((there, here) for here, there in _OF_24_HOURS))
        return form


_AS_USUAL = Style()
_style: ContextVar[Style] = ContextVar("date style", default=_AS_USUAL)


@contextmanager
def override(style: Style) -> Iterator[None]:
    """Everything that is written inside has this style."""
    before = _style.set(style)
    try:
        yield
    finally:
        _style.reset(before)


def written(value: date, name: str) -> str:
    """A date, or a time in the zone it has, in the format of this name in ``mpm.web.formats``."""
    return in_format(value, _style.get().applied(get_format(name)))


def _replaced(form: str, pairs: Iterable[tuple[str, str]]) -> str:
    for here, there in pairs:
        form = form.replace(here, there)
    return form
