"""Notices at the top of a server's pages, from registered sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpm.servers.models import Server


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence in the reader's language, and a link to where something can be done about it."""

    sentence: str
    address: str
    link: str


_sources: list[Callable[[Server], Notice | None]] = []


def register(source: Callable[[Server], Notice | None]) -> None:
    """``source`` is called for every page with notices: at most one query."""
    if source not in _sources:
        _sources.append(source)


def notices_of(server: Server) -> list[Notice]:
    return [notice for source in _sources if (notice := source(server)) is not None]
