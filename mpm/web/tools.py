"""The tools at the left of every page. The platform has some, a product registers its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise

Words = str | Promise


class Health(Protocol):
    """What keeps a server from being whole (``mpm.servers.health.Health``)."""

    @property
    def problems(self) -> Sized: ...


class Page(Protocol):
    """What a tool may count on every page (``mpm.web.page_context.Frame``)."""

    @property
    def server_count(self) -> int: ...

    @property
    def health(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Tool:
    """One entry: ``route`` is the name of its page, ``pages`` the names of the pages that belong to
    it, ``words`` more words that find it, ``count`` the number beside it; ``of_server``: its pages
    are about the selected server."""

    title: Words
    route: str
    group: Words
    order: int
    about: Words = ""
    words: Words = ""
    pages: tuple[str, ...] = ()
    below: bool = False
    count: Callable[[Page], int | None] | None = None
    only_for_change: bool = False
    of_server: bool = False

    @property
    def address(self) -> str | None:
        """None while no page of that name is installed."""
        try:
            return reverse(self.route)
        except NoReverseMatch:
            return None

    def matches(self, query: str) -> bool:
        text = f"{self.title} {self.group} {self.about} {self.words}".casefold()
        return all(word in text for word in query.casefold().split())


_registered: dict[str, Tool] = {}


def register(tools: Iterable[Tool]) -> None:
    for tool in tools:
        _registered[tool.route] = tool


def registered() -> list[Tool]:
    """In the order of the page; without those whose page is not installed."""
    return sorted(
        (tool for tool in _registered.values() if tool.address), key=lambda tool: tool.order
    )
