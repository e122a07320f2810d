"""Every page forbids what it does not need, and needs nothing it forbids: no script and no style
stands in a page, on error pages and in fragments neither."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from django.http.response import HttpResponseBase
from django.test import Client

from mpm.access.throttle import FAILURES_A_MINUTE, limiter
from mpm.history import views
from mpm.servers.models import Server
from mpm.web.middleware import POLICY
from tests.web.conftest import HISTORY, MPM, person
from tests.web.test_query_counts import RECORDED, busy_panel, others

__all__ = ["busy_panel", "others"]

HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/"}


class Inline(HTMLParser):
    """Collects what the policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags = 0
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags += 1
        given = dict(attrs)
        self._script = tag == "script"
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.found.append(self.get_starttag_text() or tag)
        for name, value in attrs:
            told = (value or "").strip().lower()
            if (
                name == "style"
                or name.startswith(("on", "hx-on"))
                or told.startswith("javascript:")
            ):
                self.found.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.found.append(data.strip()[:80])

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = False


def check(answer: HttpResponseBase) -> None:
    """Policy and page go together, whatever kind of answer it is."""
    assert answer.headers["Content-Security-Policy"] == POLICY
    if "html" not in answer.headers.get("Content-Type", "") or answer.streaming:
        return
    parser = Inline()
    parser.feed(answer.content.decode())  # type: ignore[attr-defined]
    parser.close()
    assert parser.found == []


def test_what_is_forbidden_is_noticed() -> None:
    for page in (
        "<script>alert(1)</script>",
        "<style>a{}</style>",
        '<p style="color:red">x</p>',
        '<a onclick="x()">x</a>',
        '<a hx-on:click="x()">x</a>',
        '<a href=" JavaScript:x()">x</a>',
        '<script src="a.js">x()</script>',
    ):
        parser = Inline()
        parser.feed(page)
        assert parser.found, page
    good = Inline()
    good.feed('<script src="a.js"></script><p class="on">style=1</p><svg><rect x="1"/></svg>')
    assert good.found == []


def test_the_policy_forbids_whatever_is_inline_and_comes_from_elsewhere() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in POLICY.split(";"))
    assert rules["default-src"] == "'none'"
    assert {rules[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert "unsafe" not in POLICY


@pytest.mark.parametrize("path", sorted(RECORDED))
def test_a_page_keeps_the_policy(path: str, admin: Client, busy_panel: dict[str, str]) -> None:
    address = path.format(**busy_panel)
    for headers in ({}, HTMX):
        check(admin.get(address, headers=headers))
    check(Client().get(address))


def test_the_other_states_of_pages_keep_the_policy(admin: Client, server: Server) -> None:
    for address in (
        "/api/docs",
        f"{MPM}?mpm=event&itk=on",
        f"{MPM}?mpm=prefork&itk=on",
        f"{MPM}?mpm=threads",
        "/software/easyapache4/doctor/?repair=restart-httpd",
        f"{HISTORY}?result=wonderful",
        f"{HISTORY}export.csv?result=wonderful",
        "/shared/no-such-link/",
        "/preferences/?server=web01",
    ):
        check(admin.get(address))


def test_refusals_keep_the_policy(
    admin: Client, support: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person("eve", "administrator"))
    expected = {
        400: [Client(HTTP_HOST="elsewhere.example").get("/login/")],
        403: [support.post(f"{MPM}review/"), strict.post(f"{MPM}review/")],
        404: [admin.get("/no/such/page/"), Client().get("/no/such/page/")],
        405: [admin.post(HISTORY), admin.post(HISTORY, headers=HTMX)],
        422: [admin.post("/software/easyapache4/profiles/upload/")],
    }
    limiter.cache_clear()
    for number in range(FAILURES_A_MINUTE):
        Client().post("/login/", {"username": f"n{number}", "password": "x"})
    expected[429] = [Client().post("/login/", {"username": "ada", "password": "x"})]
    limiter.cache_clear()

    def broken(*_: object) -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(views, "page_of_changes", broken)
    admin.raise_request_exception = False
    expected[500] = [admin.get(HISTORY), admin.get(HISTORY, headers=HTMX)]
    for status, answers in expected.items():
        for answer in answers:
            assert answer.status_code == status
            check(answer)
