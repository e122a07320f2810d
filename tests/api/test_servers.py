"""Which servers a token sees, and what it is told of them."""

from __future__ import annotations

import pytest
from django.utils import timezone

from mpm.servers.inventory import record_scan
from mpm.servers.models import Server
from tests.api.conftest import AddServer, AddToken, Call, profile_with


def test_a_token_lists_the_servers_it_reaches(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    for name in ("web01", "web02", "web03"):
        add_server(name)
    everything = call("GET", "servers", token=add_token("read"))
    some = call("GET", "servers", token=add_token("read", servers=["web02"]))
    assert [item["name"] for item in everything.body["items"]] == ["web01", "web02", "web03"]
    assert [item["name"] for item in some.body["items"]] == ["web02"]
    assert everything.body["items"][0]["mpm"] == "prefork"


def test_a_sandbox_token_sees_simulated_servers_only(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server("real", kind="real")
    add_server("sim")
    token = add_token("read", sandbox=True)
    assert [item["name"] for item in call("GET", "servers", token=token).body["items"]] == ["sim"]
    assert call("GET", "servers/sim", token=token).status == 200
    assert call("GET", "servers/real", token=token).status == 404


def test_a_server_out_of_reach_looks_like_one_that_does_not_exist(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server("web01")
    token = add_token("read", servers=["web01"])
    add_server("web02")
    hidden = call("GET", "servers/web02", token=token)
    absent = call("GET", "servers/web09", token=token)
    assert hidden.status == absent.status == 404
    assert hidden.body["detail"].replace("web02", "web09") == absent.body["detail"]


def test_the_three_observations_are_told_apart(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    drifted = profile_with()
    add_server(
        "web03",
        drifted.__class__(
            drifted.packages, drifted.configured, profile_with(mpm="event").running, drifted.facts
        ),
    )
    body = call("GET", "servers/web03/mpm", token=add_token("read")).body
    assert body["installed"] == {"mpms": ["prefork"], "itk": False}
    assert body["running"] == {"mpms": ["event"], "itk": False}
    assert body["sound"] is False
    assert body["mpm"] == "prefork"
    assert body["recommendation"]["mpm"] == "event"
    assert body["recommendation"]["detected"] == {"threads": True, "safe_polling": True}


def test_the_etag_is_the_digest_and_saves_the_body(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("read")
    first = call("GET", "servers/web03/mpm", token=token)
    assert first.headers["ETag"] == f'"{first.body["digest"]}"'
    again = call("GET", "servers/web03/mpm", token=token, If_None_Match=first.headers["ETag"])
    assert (again.status, again.content) == (304, b"")
    other = call("GET", "servers/web03/mpm", token=token, If_None_Match='"other"')
    assert other.status == 200


def test_the_etag_of_a_client_that_takes_compressed_answers_is_fit_for_if_match(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token, takes = add_token("change"), {"Accept_Encoding": "gzip, deflate, br"}
    first = call("GET", "servers/web03/mpm", token=token, **takes)
    tag = first.headers["ETag"]
    assert tag == f'"{first.body["digest"]}"'
    assert call("GET", "servers/web03/mpm", token=token, If_None_Match=tag, **takes).status == 304
    wish = {"mpm": "event"}
    other = call("PUT", "servers/web03/mpm", wish, token=token, If_Match='"0"', **takes)
    assert (other.status, other.headers["ETag"]) == (412, tag)
    made = call("PUT", "servers/web03/mpm", wish, token=token, If_Match=tag, **takes)
    assert made.status == 202


def test_a_profile_is_compressed_and_asked_for_again_only_when_it_is_another(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token, takes = add_token("read"), {"Accept_Encoding": "gzip"}
    first = call("GET", "servers/web03/profile", token=token, **takes)
    assert first.headers["Content-Encoding"] == "gzip"
    tag = first.headers["ETag"]
    assert tag == call("GET", "servers/web03/profile", token=token).headers["ETag"]
    again = call("GET", "servers/web03/profile", token=token, If_None_Match=tag, **takes)
    assert (again.status, again.content) == (304, b"")
    record_scan(server, profile_with(mpm="worker"), timezone.now(), "scan")
    other = call("GET", "servers/web03/profile", token=token, If_None_Match=tag, **takes)
    assert (other.status, other.headers["ETag"] != tag) == (200, True)


def test_the_profile_holds_packages_and_facts(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("read")
    answer = call("GET", "servers/web03/profile", token=token)
    names = [item["name"] for item in answer.body["packages"]]
    assert "ea-apache24-mod_mpm_prefork" in names
    assert answer.body["facts"]["threads"] is True
    same = call("GET", "servers/web03/profile", token=token, If_None_Match=answer.headers["ETag"])
    assert same.status == 304


@pytest.mark.django_db
def test_a_server_nobody_has_looked_at_says_so(add_token: AddToken, call: Call) -> None:
    Server.objects.create(name="new", created_at=timezone.now())
    token = add_token("plan")
    for path in ("servers/new/mpm", "servers/new/profile"):
        answer = call("GET", path, token=token)
        assert (answer.status, answer.body["code"]) == (409, "no_profile")
    assert call("GET", "servers/new", token=token).body["mpm"] is None
    plan = call("POST", "servers/new/plans", {"mpm": "event"}, token=token)
    assert (plan.status, plan.body["code"]) == (409, "no_profile")


@pytest.mark.parametrize("name", ["", "..", "%00", "a" * 300, "WEB03", "web03%0a"])
def test_a_name_that_cannot_be_is_not_found(
    server: Server, add_token: AddToken, call: Call, name: str
) -> None:
    answer = call("GET", f"servers/{name}/mpm", token=add_token("read"))
    assert answer.status == 404
    assert answer.type == "application/problem+json"
