"""Whoever reads the table of sessions cannot use one."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from mpm.access.services.actor import Actor
from mpm.access.services.users import add_user
from mpm.access.sessions import SessionStore

pytestmark = pytest.mark.django_db
ADMIN = Actor(name="anna", role="administrator")


@pytest.fixture
def signed_in(client: Client) -> Client:
    _, password = add_user("anna", "administrator", actor=ADMIN)
    client.get("/login/")
    assert client.login(username="anna", password=password)
    return client


def cookie(client: Client) -> str:
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def test_the_database_does_not_hold_the_key_that_a_browser_sends(signed_in: Client) -> None:
    (row,) = Session.objects.all()
    assert cookie(signed_in) not in (row.session_key, row.session_data)
    assert signed_in.get("/").status_code == 200
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = row.session_key
    assert thief.get("/").status_code == 302


def test_a_session_of_an_earlier_version_is_over(signed_in: Client) -> None:
    Session.objects.update(session_key=cookie(signed_in))
    assert signed_in.get("/").status_code == 302


def test_signing_out_deletes_the_row(signed_in: Client) -> None:
    signed_in.post("/logout/")
    assert not Session.objects.exists()


def test_a_session_is_kept_found_renewed_and_deleted() -> None:
    store = SessionStore()
    store["server"] = "web03"
    store.save()
    key = store.session_key
    assert key is not None
    assert SessionStore().exists(key)
    assert SessionStore(key)["server"] == "web03"
    store.cycle_key()
    assert not SessionStore().exists(key)
    again = SessionStore(store.session_key)
    assert again["server"] == "web03"
    again.delete()
    assert SessionStore(store.session_key).get("server") is None
    assert SessionStore(key).get("server") is None
    assert not Session.objects.exists()
