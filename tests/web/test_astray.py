"""A form of an expired session, an address that only takes forms, a form to an address that takes
none: whoever sent it is told that nothing was sent, and led to a page."""

from __future__ import annotations

from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from mpm.models import Change, Preview
from mpm.servers.models import Server
from tests.web.conftest import HISTORY, MPM

EA4 = "/software/easyapache4/"
HERE = f"{EA4}profiles/?server=web01"
HTMX = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{HERE}"}
ONLY_FORMS = {
    f"{MPM}review/": MPM,
    f"{MPM}review/0123/confirm/": f"{MPM}review/0123/",
    f"{MPM}review/0123/again/": f"{MPM}review/0123/",
    f"{EA4}profiles/restore/": f"{EA4}profiles/",
    f"{EA4}profiles/own-1/delete/": f"{EA4}profiles/own-1/",
    f"{HISTORY}1/cancel/": f"{HISTORY}1/",
    f"{HISTORY}1/rollback/confirm/": f"{HISTORY}1/rollback/",
    f"{HISTORY}1/share/": f"{HISTORY}1/",
    f"{EA4}doctor/repair/": f"{EA4}doctor/",
    "/tokens/key/rotate/": "/tokens/",
    "/tokens/key/revoke/": "/tokens/",
    "/webhooks/id/alter/": "/webhooks/id/",
    "/webhooks/id/delivery/again/": "/webhooks/id/",
    "/users/1/": "/users/",
    "/logout/": "/",
}
"""Each with the page it is about."""
SENT = sorted(set(ONLY_FORMS) - {"/logout/"})


def query_of(address: str) -> dict[str, list[str]]:
    assert urlsplit(address).path == "/login/"
    return parse_qs(urlsplit(address).query)


@pytest.mark.parametrize("path", SENT)
def test_a_form_of_an_expired_session_leads_back_to_its_page_and_says_that_nothing_was_sent(
    path: str, admin: Client, server: Server
) -> None:
    admin.cookies.pop("sessionid")
    refused = admin.post(path, {"mpm": "event"}, headers={"Referer": f"http://testserver{HERE}"})
    assert refused.status_code == 302
    assert query_of(refused["Location"]) == {"next": [HERE], "unsent": ["1"]}
    page = admin.get(refused["Location"]).content.decode()
    assert "Your session expired and nothing was changed" in page
    form = {"username": "ada", "password": "a good long password", "next": HERE}
    back = admin.post(refused["Location"], form, follow=True)
    assert back.redirect_chain == [(HERE, 302)]
    words = unescape(back.content.decode())
    assert "Your session expired and nothing was changed. Check the form" in words
    assert (Change.objects.count(), Preview.objects.count()) == (0, 0)
    assert "Your session expired" in admin.get("/messages/").content.decode()
    assert "Your session expired" not in admin.get(HERE).content.decode()


@pytest.mark.parametrize(
    "referer", ["", "http://evil.example/users/", "http://testserver//evil.example/"]
)
def test_a_form_from_nowhere_leads_to_the_first_page(referer: str, server: Server) -> None:
    refused = Client().post(f"{MPM}review/", headers={"Referer": referer})
    assert query_of(refused["Location"]) == {"next": ["/"], "unsent": ["1"]}


def test_a_form_sent_by_htmx_takes_the_whole_browser_to_the_sign_in_page(server: Server) -> None:
    refused = Client().post(f"{MPM}review/", headers=HTMX)
    assert refused.status_code == 204
    assert query_of(refused["HX-Redirect"]) == {"next": [HERE], "unsent": ["1"]}
    asked = Client().get(f"{MPM}plan/", headers=HTMX)
    assert query_of(asked["HX-Redirect"]) == {"next": [HERE]}


def test_who_only_asked_for_a_page_is_not_told_that_something_was_lost(
    admin: Client, server: Server
) -> None:
    admin.cookies.pop("sessionid")
    refused = admin.get(HERE)
    assert query_of(refused["Location"]) == {"next": [HERE]}
    assert "Your session expired" not in admin.get(refused["Location"]).content.decode()
    form = {"username": "ada", "password": "a good long password", "next": HERE}
    back = admin.post(refused["Location"], form, follow=True)
    assert "Your session expired" not in back.content.decode()


def test_signing_out_twice_is_no_lost_form(server: Server) -> None:
    assert Client().post("/logout/")["Location"] == "/login/"


@pytest.mark.parametrize("path", sorted(ONLY_FORMS))
def test_an_address_that_only_takes_a_form_leads_to_the_page_it_is_about(
    path: str, admin: Client, server: Server
) -> None:
    """The address of a form that was refused stands in the browser, and is opened again."""
    answer = admin.get(path)
    assert (answer.status_code, answer["Location"]) == (302, ONLY_FORMS[path])


def test_colours_can_be_chosen_on_the_page_of_a_refused_form(admin: Client, server: Server) -> None:
    refused = admin.post(f"{MPM}review/", {"mpm": "threads"})
    assert refused.status_code == 422
    assert f'name="next" value="{MPM}review/"' in refused.content.decode()
    chosen = admin.post("/preferences/", {"theme": "dark", "next": f"{MPM}review/"}, follow=True)
    assert chosen.redirect_chain == [(f"{MPM}review/", 302), (MPM, 302)]
    assert chosen.status_code == 200


def test_a_form_to_an_address_that_takes_none_is_refused_in_the_style_of_the_house(
    admin: Client, server: Server
) -> None:
    answer = admin.post(HISTORY)
    assert answer.status_code == 405
    assert answer["Allow"] == "GET"
    words = answer.content.decode()
    assert "This page doesn’t accept forms" in words
    assert f'href="{HISTORY}"' in words
    assert f'href="{EA4}"' in words
    part = admin.post(HISTORY, headers=HTMX)
    assert part.status_code == 405
    assert part["Content-Type"] == "text/plain; charset=utf-8"
    assert "Nothing was changed" in part.content.decode()
    assert admin.put(HISTORY).status_code == 405


def test_the_api_refuses_a_method_in_its_own_words(admin: Client, server: Server) -> None:
    answer = admin.delete("/api/v1/servers")
    assert answer.status_code == 405
    assert b"<html" not in answer.content
