"""Every page, for everybody who may see it, and what others get."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from easyapache.ea4.mpm import Choice
from mpm.models import Change, Preview
from mpm.servers.models import Server
from tests.web.conftest import HISTORY, MPM, answered_preview

EA4 = "/software/easyapache4/"
PAGES = (
    "/",
    EA4,
    MPM,
    f"{MPM}?mpm=event",
    f"{MPM}?mpm=worker&add=ea-apache24-mod_suexec",
    f"{MPM}?mpm=prefork&itk=on",
    f"{EA4}packages/",
    f"{EA4}packages/?show=all&q=mpm",
    f"{EA4}packages/ea-apache24-mod_mpm_event/",
    f"{EA4}profiles/",
    f"{EA4}profiles/stock-worker/",
    f"{EA4}doctor/",
    HISTORY,
    f"{HISTORY}?result=succeeded&of=web01&text=keep&since=2026-01-01",
    "/servers/",
    "/servers/web01/",
    "/users/",
    "/preferences/",
    "/messages/",
    "/tools/?q=history",
    "/password/",
    "/help/",
    "/help/tutorial/first-change/",
    "/help/decisions/",
)
OPEN_TO_ALL = {"login", "logout"}
FOR_ONESELF = {"password_change", "password_change_done"}
OTHER_DOORS = ("/api/", "/json-api/", "/tokens/", "/webhooks/", "/health", "/metrics")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_there_for_administrator_and_support(
    path: str, admin: Client, support: Client, finished_change: Change
) -> None:
    for client in (admin, support):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.content.count(b"<h1") == 1
        assert b'style="' not in answer.content
        assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_asked_to_sign_in_and_comes_back(path: str, server: Server) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/?next=/")


def test_review_change_and_rollback_are_there(
    admin: Client, support: Client, server: Server, finished_change: Change
) -> None:
    preview = answered_preview(server, Choice.parse("worker"))
    for client in (admin, support):
        for path in (
            f"{MPM}review/{preview.uuid}/",
            f"{HISTORY}{finished_change.pk}/",
            f"{HISTORY}{finished_change.pk}/rollback/",
        ):
            assert client.get(path).status_code == 200, path


def test_somebody_without_a_role_sees_nothing(db: None, server: Server) -> None:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.create_user("nobody"))
    answer = client.get(MPM)
    assert answer.status_code == 403
    assert b"have permission" in answer.content


@pytest.mark.parametrize(
    "path",
    [
        "/nothing/",
        f"{HISTORY}999/",
        "/servers/unknown/",
        f"{MPM}?server=unknown",
        f"{MPM}review/{'0' * 32}/",
        f"{EA4}profiles/own-999/",
        f"{EA4}packages/not-a-package/",
    ],
)
def test_what_does_not_exist_is_said_in_the_house_style(
    path: str, admin: Client, server: Server
) -> None:
    answer = admin.get(path)
    assert answer.status_code == 404
    said = b"Unknown server" if "unknown" in path else b"Page not found"
    assert said in answer.content


def test_a_fault_is_told_in_the_house_style(
    admin: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mpm.history import views

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(views, "page_of_changes", broken)
    admin.raise_request_exception = False
    answer = admin.get(HISTORY)
    assert answer.status_code == 500
    assert b"Something went wrong" in answer.content
    assert b"disk is on fire" not in answer.content


def test_a_panel_without_a_server_says_what_to_do(admin: Client) -> None:
    for path in (EA4, MPM, f"{EA4}packages/", f"{EA4}profiles/"):
        answer = admin.get(path)
        assert answer.status_code == 200
        assert b"No servers yet" in answer.content
    assert admin.get("/").status_code == 200


def test_a_server_nobody_has_looked_at_says_so(admin: Client, db: None) -> None:
    from django.utils import timezone

    Server.objects.create(name="new01", created_at=timezone.now())
    for path in (EA4, MPM, f"{EA4}packages/", f"{EA4}profiles/", "/servers/new01/"):
        answer = admin.get(path)
        assert answer.status_code == 200
        assert b"been checked yet" in answer.content, path


def views_of(
    patterns: list[URLPattern | URLResolver], prefix: str = "/"
) -> list[tuple[str, URLPattern]]:
    found: list[tuple[str, URLPattern]] = []
    for item in patterns:
        if isinstance(item, URLResolver):
            found += views_of(item.url_patterns, prefix + str(item.pattern))
        else:
            found.append((prefix + str(item.pattern), item))
    return found


def test_every_page_says_in_its_first_line_who_may_come_in() -> None:
    missing = [
        path
        for path, pattern in views_of(get_resolver().url_patterns)
        if not path.startswith(OTHER_DOORS)
        and pattern.name not in OPEN_TO_ALL | FOR_ONESELF
        and getattr(pattern.callback, "right", None) not in ("read", "change")
        and getattr(pattern.callback, "login_required", True)
    ]
    assert missing == []


def test_the_review_says_what_the_packages_weigh(admin: Client, server: Server) -> None:
    preview = answered_preview(server, Choice.parse("worker"))
    path = f"{MPM}review/{preview.uuid}/"
    assert b"to download" not in admin.get(path).content
    sizes = {
        "download": {"ea-apache24-mod_mpm_worker": 120_000},
        "install": {"ea-apache24-mod_mpm_worker": 300_000},
        "remove": {"ea-apache24-mod_mpm_prefork": 1_500_000},
    }
    Preview.objects.filter(pk=preview.pk).update(transaction=preview.transaction | {"sizes": sizes})
    words = admin.get(path).content.decode()
    for part in ("120.0 kB to download", "Frees 1.2 MB of disk space", "300.0 kB", "1.5 MB"):
        assert part in words


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("overlap", "Overlapping restart, no downtime expected"),
        ("graceful-stop", "One restart, brief downtime"),
        ("script", "One restart of Apache by its script"),
        ("", "One restart of Apache"),
    ],
)
def test_the_summary_says_of_the_restart_what_the_server_can_do(
    method: str, said: str, admin: Client, server: Server
) -> None:
    known = {"restart_method": method, "restart_reason": "because it is so"}
    Server.objects.filter(pk=server.pk).update(agent={"capabilities": known})
    for path in (f"{MPM}?mpm=event", f"{MPM}plan/?mpm=event"):
        assert said in admin.get(path).content.decode()
    preview = answered_preview(server, Choice.parse("event"))
    review = admin.get(f"{MPM}review/{preview.uuid}/").content.decode()
    assert ("because it is so" in review) is bool(method)


def test_the_change_says_afterwards_how_httpd_was_replaced_and_why(
    admin: Client, finished_change: Change
) -> None:
    words = admin.get(f"{HISTORY}{finished_change.pk}/?part=impact").content.decode()
    assert "Overlapping" in words
    assert "(the kernel allows it)" in words
