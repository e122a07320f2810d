"""The pages of docs/ as the panel shows them under Help: those of the installed version.

The files are listed once. A URL is looked up among them and never used as a path, so that nothing
outside docs/ can be requested.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.token import Token

INDEX = "README.md"
"""The file that an address of a folder shows."""
LARGEST = 1024 * 1024
"""Bytes of one page. A larger file isn't documentation."""


@dataclass(frozen=True, slots=True)
class Page:
    """``key``: its address below /help/, without slashes at the ends; the first page has "".
    ``source``: the path of its file below docs/. ``folder``: "" for the first page."""

    key: str
    source: str
    title: str
    text: str

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.source)

    @property
    def address(self) -> str:
        return reverse("help-page", args=[self.key]) if self.key else reverse("help")


Manual = Mapping[str, Page]
"""Every page, by its key, in the order of the paths."""


@lru_cache(maxsize=4)
def manual(folder: Path | None = None) -> Manual:
    """The pages below ``folder``, by default ``settings.DOCS_DIR``. Empty if it does not exist."""
    top = (folder or settings.DOCS_DIR).resolve()
    pages = (_page(top, path) for path in sorted(top.rglob("*.md")) if _belongs(top, path))
    return {page.key: page for page in pages}


def _belongs(top: Path, path: Path) -> bool:
    """A plain file of a sensible size that is where it seems to be."""
    inside = path.resolve() == path and path.is_relative_to(top)
    return inside and path.is_file() and path.stat().st_size <= LARGEST


def _page(top: Path, path: Path) -> Page:
    source = path.relative_to(top).as_posix()
    text = path.read_text("utf-8")
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    return Page(
        key=key_of(source),
        source=source,
        title=heading[1].strip().replace("`", "") if heading else path.stem,
        text=text,
    )


def key_of(source: str) -> str:
    """``how-to/roll-back`` of ``how-to/roll-back.md``, and ``decisions`` of its README.md."""
    folder, name = posixpath.split(source)
    return folder if name == INDEX else source.removesuffix(".md")


# -- rendering ---------------------------------------------------------------------------------


def rendered(page: Page, pages: Manual) -> SafeString:
    """The page as HTML, without its title. HTML in the source is shown as text, and a link that
    leads to no page is shown as its words: the tests find it."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = _without_title(reader.parse(page.text))
    _name_headings(tokens)
    for token in tokens:
        if token.children:
            token.children = list(_inline(token.children, page, pages))
    html = str(reader.renderer.render(list(_framed_tables(tokens)), reader.options, {}))
    return mark_safe(html)  # noqa: S308 -- the renderer escapes, and takes no HTML


def _without_title(tokens: list[Token]) -> list[Token]:
    """The first heading is shown above the page already."""
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        return tokens[3:]
    return tokens


def _name_headings(tokens: Sequence[Token]) -> None:
    """Give every heading an id made of its words, each once on a page."""
    used: set[str] = set()
    for opening, words in pairwise(tokens):
        if opening.type == "heading_open":
            name = base = slugify(words.content) or "section"
            number = 1
            while name in used:
                number += 1
                name = f"{base}-{number}"
            used.add(name)
            opening.attrSet("id", name)


def _framed_tables(tokens: Sequence[Token]) -> Iterator[Token]:
    """A wide table scrolls in its own frame, also by keyboard."""
    for token in tokens:
        if token.type == "table_open":
            frame = Token("table_frame_open", "div", 1, block=True)
            frame.attrs = {"class": "scroll", "tabindex": "0"}
            yield frame
        yield token
        if token.type == "table_close":
            yield Token("table_frame_close", "div", -1, block=True)


def _inline(tokens: Sequence[Token], page: Page, pages: Manual) -> Iterator[Token]:
    """Links are changed to URLs of the panel, and pictures to their text: an installed panel has
    none."""
    dropped = 0
    for token in tokens:
        if token.type == "link_open":
            address = target(str(token.attrGet("href") or ""), page, pages)
            if address is None:
                dropped += 1
                continue
            token.attrSet("href", address)
            if urlsplit(address).netloc:
                token.attrSet("rel", "noopener noreferrer")
        elif token.type == "link_close" and dropped:
            dropped -= 1
            continue
        elif token.type == "image":
            token = Token("text", "", 0, content=token.content)
        yield token


def target(href: str, page: Page, pages: Manual) -> str | None:
    """Where a link of ``page`` leads in the panel; None where that is no page of docs/."""
    parts = urlsplit(href)
    if parts.scheme or parts.netloc or parts.path.startswith("/"):
        return href if parts.scheme in ("", "http", "https") and not href.startswith("//") else None
    found = page
    if parts.path:
        source = posixpath.normpath(posixpath.join(page.folder, parts.path))
        known = {one.source: one for one in pages.values()}
        beside = known.get(source) or known.get(posixpath.join(source, INDEX))
        if beside is None:
            return None
        found = beside
    return found.address + (f"#{parts.fragment}" if parts.fragment else "")
