"""The history by API, one change, its log, canceling and going back."""

from __future__ import annotations

import base64
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from easyapache.ea4.protocol import Report
from mpm.changes.services.record import record_log, record_reports
from mpm.models import Change, State
from mpm.servers.models import Server
from tests.api.conftest import AddServer, AddToken, Call, profile_with

EVENT = {"mpm": "event", "reason": "HTTP/2", "ticket": "OPS-1"}


def make(call: Call, token: Any, server: str = "web03") -> Change:
    body = {**EVENT, "ticket": f"T-{server}"}
    answer = call("PUT", f"servers/{server}/mpm", body, token=token)
    return Change.objects.get(pk=answer.body["change"]["id"])


def finish(change: Change, mpm: str = "event") -> None:
    """What the agent reports of a change that went well."""
    now = timezone.now().isoformat()
    profile = profile_with(
        "ea-apache24", f"ea-apache24-mod_mpm_{mpm}", "ea-apache24-mod_cgid", mpm=mpm
    )
    outcome = {
        "outcome": "succeeded",
        "decided_by": "verification",
        "sentence": "The server runs event.",
        "profile": profile.as_json(),
    }
    record_reports(
        change.server_name,
        change.uuid,
        [
            Report(1, now, "step", {"step": "packages", "status": "started"}),
            Report(2, now, "step", {"step": "packages", "status": "done"}),
            Report(3, now, "outcome", outcome),
        ],
    )


def write_log(change: Change, text: str) -> None:
    change.refresh_from_db()
    record_log(
        change.server_name, change.uuid, change.log_size, base64.b64encode(text.encode()).decode()
    )


def test_pages_of_the_history_touch_and_never_overlap(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    for number in range(7):
        add_server(f"web{number}")
        make(call, token, f"web{number}")
    seen, cursor = [], ""
    while True:
        page = call("GET", f"changes?limit=3&cursor={cursor}", token=token).body
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert seen == sorted(Change.objects.values_list("pk", flat=True), reverse=True)
    back = call("GET", f"changes?limit=3&cursor={page['previous']}", token=token).body
    assert [item["id"] for item in back["items"]] == seen[3:6]


def test_every_filter_narrows(add_server: AddServer, add_token: AddToken, call: Call) -> None:
    token = add_token("change", name="deploy")
    for name in ("web01", "web02"):
        add_server(name)
        make(call, token, name)
    for query, count in {
        "server=web01": 1,
        "requested_by=deploy": 2,
        "requested_by=nobody": 0,
        "origin=rest": 2,
        "origin=web": 0,
        "state=active": 2,
        "state=succeeded": 0,
        "from=prefork&to=event": 2,
        "itk=true": 0,
        "ticket=T-web02": 1,
        "text=http%2F2": 2,
        "since=2020-01-01T00:00:00Z": 2,
        "until=2020-01-01T00:00:00Z": 0,
    }.items():
        answer = call("GET", f"changes?{query}", token=token)
        assert answer.status == 200, query
        assert len(answer.body["items"]) == count, query
    for query in ("itk=maybe", "state=lost", "cursor=b", "limit=0", "since=yesterday", "text=%00"):
        assert call("GET", f"changes?{query}", token=token).status == 422, query


def test_a_token_sees_only_changes_of_its_servers(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    for name in ("web01", "web02"):
        add_server(name)
    everything = add_token("change")
    hidden = make(call, everything, "web02")
    make(call, everything, "web01")
    token = add_token("read", servers=["web01"])
    items = call("GET", "changes", token=token).body["items"]
    assert [item["server"] for item in items] == ["web01"]
    for path in (f"changes/{hidden.pk}", f"changes/{hidden.uuid}", f"changes/{hidden.pk}/log"):
        assert call("GET", path, token=token).status == 404


def test_one_change_tells_all_about_itself(server: Server, add_token: AddToken, call: Call) -> None:
    token = add_token("change", "rollback")
    change = make(call, token)
    finish(change)
    body = call("GET", f"changes/{change.pk}", token=token).body
    assert body == call("GET", f"changes/{change.uuid}", token=token).body
    assert (body["state"], body["finished"]) == ("succeeded", True)
    assert [(item["step"], item["status"]) for item in body["steps"]] == [
        ("packages", "started"),
        ("packages", "done"),
    ]
    assert {item["name"] for item in body["remove"]} == {
        "ea-apache24-mod_cgi",
        "ea-apache24-mod_mpm_prefork",
    }
    assert body["story"]
    assert body["why_not_cancel"]
    assert body["why_not_roll_back"] == ""


def test_rolling_back_is_a_change_of_its_own(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change", "rollback")
    change = make(call, token)
    early = call("POST", f"changes/{change.pk}/rollback", {}, token=token)
    assert early.status in (409, 422)
    finish(change)
    for _ in range(2):
        back = call(
            "POST",
            f"changes/{change.pk}/rollback",
            {"reason": "plugin"},
            token=token,
            Idempotency_Key="back",
        )
        assert back.status == 202
        assert back.body["rollback_of"] == change.pk
        assert back.body["to"] == {"mpm": "prefork", "itk": False}
    assert Change.objects.count() == 2
    assert (
        call("POST", f"changes/{change.pk}/rollback", {}, token=add_token("change")).status == 403
    )


def test_a_change_nobody_was_told_of_is_canceled_at_once(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    later = {**EVENT, "not_before": (timezone.now() + timedelta(days=30)).isoformat()}
    number = call("PUT", "servers/web03/mpm", later, token=token).body["change"]["id"]
    answer = call("POST", f"changes/{number}/cancel", {}, token=token)
    assert (answer.status, answer.body["state"]) == (202, "canceled")
    again = call("POST", f"changes/{number}/cancel", {}, token=token)
    assert (again.status, again.body) == (202, answer.body)
    call("PUT", "servers/web03/mpm", EVENT, token=token)
    finish(Change.objects.get(pk=number + 1))
    late = call("POST", f"changes/{number + 1}/cancel", token=token)
    assert (late.status, late.body["code"]) == (409, "too_late")
    assert call("POST", f"changes/{number}/cancel", token=add_token("read")).status == 403


def test_the_log_is_read_byte_for_byte_from_any_offset(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    change = make(call, token)
    path = f"changes/{change.pk}/log"
    assert call("GET", path, token=token).headers["X-Log-Ended"] == "false"
    write_log(change, "eins\n")
    write_log(change, "zwei — ☃\n")
    first = call("GET", path, token=token)
    assert first.content.decode() == "eins\nzwei — ☃\n"
    rest = call("GET", f"{path}?offset=5", token=token)
    assert rest.content == "zwei — ☃\n".encode()
    assert int(rest.headers["X-Log-Next"]) == len(first.content)
    finish(change)
    end = call("GET", f"{path}?offset={len(first.content)}&wait=5", token=token)
    assert (end.content, end.headers["X-Log-Ended"]) == (b"", "true")
    assert call("GET", f"{path}?offset=-1", token=token).status == 422


@pytest.mark.django_db(transaction=True)
def test_a_long_poll_answers_as_soon_as_there_is_something(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server()
    token = add_token("change")
    change = make(call, token)

    def later() -> None:
        time.sleep(0.6)
        write_log(change, "there\n")
        connection.close()

    writer = threading.Thread(target=later)
    began = time.monotonic()
    writer.start()
    answer = call("GET", f"changes/{change.pk}/log?wait=20", token=token)
    writer.join()
    assert answer.content == b"there\n"
    assert 0.4 < time.monotonic() - began < 10


@pytest.mark.django_db(transaction=True)
def test_a_long_poll_holds_no_connection_while_it_waits(
    add_server: AddServer, add_token: AddToken
) -> None:
    from mpm.web.polling import wait_for

    held = []

    def look() -> bool | None:
        Change.objects.count()
        held.append(connection.connection is not None)
        return None

    def sleeping() -> None:
        time.sleep(0.1)
        held.append(connection.connection is not None)

    assert wait_for(look, 0.3, pause=0.1) is None
    assert connection.connection is not None
    assert held.count(True) >= 2
    sleeping()


def test_an_unknown_change_is_not_found(server: Server, add_token: AddToken, call: Call) -> None:
    token = add_token("change", "rollback")
    for number in ("0", "999999", "-1", "9" * 40, "x", "%23x", "%00", "f" * 32):
        assert call("GET", f"changes/{number}", token=token).status == 404, number
        assert call("POST", f"changes/{number}/cancel", {}, token=token).status == 404, number


def test_states_of_the_api_are_those_of_the_database() -> None:
    from typing import get_args

    from mpm.api import changes

    assert set(get_args(changes.State)) == {*State.values, "active"}
