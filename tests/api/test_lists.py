"""Every list is cut into pages in the same way, and can be narrowed."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from mpm.models import Change
from mpm.servers.models import Server
from tests.api.conftest import PREFORK, AddServer, AddToken, Call, profile_with
from tests.api.test_changes import finish

LISTS = (
    "servers",
    "changes",
    "events",
    "tokens",
    "webhooks",
    "servers/web01/repairs",
    "webhooks/{webhook}/deliveries",
)


@pytest.fixture
def filled(add_server: AddServer, add_token: AddToken, call: Call) -> dict[str, str]:
    """Three of everything."""
    admin = add_token("admin", name="first")
    made: dict[str, str] = {}
    for name in ("web01", "web02", "web03"):
        add_server(name)
        done = call("PUT", f"servers/{name}/mpm", {"mpm": "event"}, token=admin)
        finish(Change.objects.get(pk=done.body["change"]["id"]))
        add_token("read", name=f"of-{name}", servers=[name])
        hook = {"name": name, "url": "https://8.8.8.8/", "kinds": ["change.*"], "servers": [name]}
        made = call("POST", "webhooks", hook, token=admin).body
        call("POST", "servers/web01/repairs", {"action": "start-httpd"}, token=admin)
    for _ in range(3):
        call("POST", f"webhooks/{made['id']}/test", token=admin)
    return {"token": admin.text, "webhook": made["id"]}


def ids(body: Any) -> list[Any]:
    return [item.get("id", item.get("name")) for item in body["items"]]


@pytest.mark.parametrize("path", LISTS)
def test_pages_of_two_give_what_one_page_of_all_gives(
    filled: dict[str, str], call: Call, path: str
) -> None:
    path, token = path.format(**filled), filled["token"]
    whole = ids(call("GET", f"{path}?limit=500", token=token).body)
    assert len(whole) >= 3
    found: list[Any] = []
    address = f"{path}?limit=2"
    while address:
        page = call("GET", address, token=token)
        found += ids(page.body)
        following = page.body["next"]
        if following is None or (path == "events" and len(page.body["items"]) < 2):
            assert "Link" not in page.headers
            address = ""
        else:
            link = page.headers["Link"]
            assert link.endswith('>; rel="next"')
            address = link.partition(">")[0].removeprefix("</api/v1/")
            assert f"cursor={following}" in address
    assert found == whole


@pytest.mark.parametrize("path", LISTS)
def test_the_head_of_a_list_is_that_of_its_page(
    filled: dict[str, str], call: Call, path: str
) -> None:
    address, token = f"{path.format(**filled)}?limit=2", filled["token"]
    whole, head = call("GET", address, token=token), call("HEAD", address, token=token)
    assert (head.status, head.content, head.type) == (200, b"", whole.type)
    for name in ("Link", "Content-Length", "RateLimit-Policy"):
        assert head.headers[name] == whole.headers[name], name


@pytest.mark.parametrize("path", LISTS)
def test_a_parameter_that_is_none_is_refused_and_the_others_are_named(
    filled: dict[str, str], call: Call, path: str
) -> None:
    path, token = path.format(**filled), filled["token"]
    refused = call("GET", f"{path}?bogus=1&limit=1", token=token)
    assert (refused.status, refused.body["code"]) == (422, "invalid")
    [error] = refused.body["errors"]
    assert error["parameter"] == "bogus"
    assert "cursor" in error["detail"]
    assert "limit" in error["detail"]
    assert call("GET", f"{path}?limit=501", token=token).status == 422
    assert call("GET", f"{path}?cursor=%20", token=token).status == 422


def test_which_servers_still_run_prefork_is_one_request(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    names = tuple(name.replace("prefork", "event").replace("_cgi", "_cgid") for name in PREFORK)
    add_server("old")
    add_server("new", profile_with(*names, mpm="event"), kind="real", active=False)
    Server.objects.create(name="unseen", kind="lab", created_at=timezone.now())
    token = add_token("read")

    def found(query: str) -> list[Any]:
        return ids(call("GET", f"servers?{query}", token=token).body)

    assert found("mpm=prefork") == ["old"]
    assert found("mpm=event") == ["new"]
    assert found("active=false") == ["new"]
    assert found("kind=lab") == found("health=unknown") == ["unseen"]
    assert found("health=unknown,warning,critical&kind=lab") == ["unseen"]
    assert found("itk=true") == []
    assert found("mpm=prefork&limit=1&cursor=old") == []
    assert call("GET", "servers?mpm=itk", token=token).status == 422


def test_changes_are_filtered_by_the_names_of_their_fields(
    filled: dict[str, str], call: Call
) -> None:
    token = filled["token"]

    def count(query: str) -> int:
        answer = call("GET", f"changes?{query}", token=token)
        assert answer.status == 200, answer.body
        return len(answer.body["items"])

    assert count("state=succeeded") == count("from=prefork&to=event") == 3
    assert count("requested_by=first&origin=rest") == 3
    assert count("state=failed") == count("to=worker") == count("state=active") == 0
    assert count("state=failed&state=succeeded") == count("state=failed,succeeded") == 3
    assert count("state=active,succeeded") == 3
    for old in ("result=failed", "person=first", "mpm_to=event"):
        assert call("GET", f"changes?{old}", token=token).status == 422
    assert call("GET", "changes?state=failed,bogus", token=token).status == 422


@pytest.mark.parametrize("path", ["changes", "events", "tokens", "webhooks"])
def test_a_server_that_is_not_there_is_an_error_in_every_filter(
    filled: dict[str, str], add_token: AddToken, call: Call, path: str
) -> None:
    own = call("GET", f"{path}?server=web01", token=filled["token"])
    assert (own.status, len(own.body["items"]) > 0) == (200, True)
    narrow = add_token("admin", servers=["web01"])
    for token, name in ((filled["token"], "nowhere"), (narrow, "web02")):
        refused = call("GET", f"{path}?server={name}", token=token)
        assert (refused.status, refused.body["code"]) == (422, "unknown_server")
        assert refused.body["errors"][0]["parameter"] == "server"


def test_events_are_filtered_by_kinds_also_by_all_that_begin_alike(
    filled: dict[str, str], call: Call
) -> None:
    token = filled["token"]

    def kinds(query: str) -> set[str]:
        items = call("GET", f"events?limit=500&{query}", token=token).body["items"]
        return {item["kind"] for item in items}

    assert kinds("kind=token.created") == {"token.created"}
    both = {"token.created", "webhook.created"}
    assert kinds("kind=token.created,webhook.created") == both
    assert kinds("kind=token.created&kind=webhook.created") == both
    assert kinds("kind=webhook.*") == {"webhook.created", "webhook.tested"}
    assert {kind.partition(".")[0] for kind in kinds("kind=change.*")} == {"change"}
    for wrong in ("bogus", "bogus.*", "change", "change.*.x"):
        refused = call("GET", f"events?kind={wrong}", token=token)
        assert (refused.status, refused.body["code"]) == (422, "unknown_kind")


def test_tokens_webhooks_repairs_and_deliveries_have_filters_too(
    filled: dict[str, str], add_token: AddToken, call: Call
) -> None:
    token = filled["token"]
    dead = add_token("change", name="dead")
    assert call("DELETE", f"tokens/{dead.token.key_id}", token=token).status == 204
    webhook = filled["webhook"]
    call("PATCH", f"webhooks/{webhook}", {"active": False}, token=token)

    def count(path: str) -> int:
        answer = call("GET", path, token=token)
        assert answer.status == 200, answer.body
        return len(answer.body["items"])

    assert count("tokens?state=revoked") == count("tokens?scope=change&state=revoked") == 1
    assert count("tokens?scope=admin") == 1
    assert count("webhooks?active=false") == 1
    assert count("webhooks?kind=change.failed") == 3
    assert count("webhooks?kind=token.created") == count("webhooks?format=slack") == 0
    assert count("servers/web01/repairs?state=running&action=start-httpd") == 3
    assert count("servers/web01/repairs?state=failed") == 0
    assert count(f"webhooks/{webhook}/deliveries?state=pending&kind=webhook.test") == 3
    assert count(f"webhooks/{webhook}/deliveries?state=given_up,delivered") == 0
    assert call("GET", f"webhooks/{webhook}/deliveries?kind=x", token=token).status == 422
