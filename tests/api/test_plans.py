"""``POST servers/{server}/plans?source=server``: the server's own dnf is asked."""

from __future__ import annotations

from easyapache.ea4.mpm import Choice
from easyapache.ea4.protocol import Failure
from mpm.changes.services.planning import plan_for
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.history.prediction import predicted
from mpm.models import Change, Event, Preview
from mpm.servers.models import Server
from mpm.servers.services.heartbeat import record_heartbeat
from mpm.servers.services.inspection import record_preview
from tests.api.conftest import ADMIN, AddServer, AddToken, Call
from tests.panel.reports import outcome, report, step

PATH = "servers/web03/plans"


def test_a_server_that_has_not_answered_is_asked_again_at_the_address_given(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("plan")
    requested = call("POST", f"{PATH}?source=server&wait=0", {"mpm": "event"}, token=token)
    assert (requested.status, requested.body["state"]) == (202, "pending")
    href = requested.headers["Location"].removeprefix("/api/v1/")
    assert requested.body["href"] == requested.headers["Location"]
    assert call("GET", href, token=token).status == 202

    preview, profile = Preview.objects.get(), server.profile
    assert profile is not None
    plan = plan_for(server, Choice.parse("event"))
    record_preview(server.name, preview.uuid, plan.transaction, None, profile)
    answered = call("GET", href, token=token)
    assert (answered.status, answered.body["source"]) == (200, "server")
    stored = call("POST", PATH, {"mpm": "event"}, token=token).body
    both = (answered.body, stored)
    assert stored["source"] == "stored"
    assert answered.body["base_digest"] == stored["base_digest"]
    for key in ("install", "remove"):
        moved = [{(item["name"], item["evr"]) for item in body[key]} for body in both]
        assert moved[0] == moved[1]

    confirmed = {"mpm": "event", "digest": answered.body["digest"]}
    made = call("PUT", "servers/web03/mpm", confirmed, token=add_token("change"))
    assert made.status == 202
    assert Change.objects.get().digest == answered.body["digest"]


def test_what_visitors_would_notice_is_what_the_page_says(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("plan")
    assert call("POST", PATH, {"mpm": "event"}, token=token).body["predicted_interruption"] is None
    how = {"restart_method": "overlap", "restart_reason": "this kernel allows it"}
    record_heartbeat(server.name, "1.0", how)
    before = call("POST", PATH, {"mpm": "event"}, token=token).body["predicted_interruption"]
    assert (before["samples"], before["refused"], before["longest_wait_ms"]) == (0, None, None)
    for result, refused, wait in (("succeeded", 0, 3.5), ("succeeded", 2, 12.0), ("failed", 9, 99)):
        change = request_change(server, Choice.parse("event"), actor=ADMIN)
        noticed = {"probes": 100, "refused": refused, "reset": 0, "longest_wait_ms": wait}
        reports = [step(1, "restart"), report(2, "interruption", **noticed), outcome(3, result)]
        record_reports(server.name, change.uuid, reports)
    expected, page = predicted(server), call("POST", PATH, {"mpm": "event"}, token=token).body
    assert page["predicted_interruption"] == {
        "samples": 3,
        "refused": 9,
        "longest_wait_ms": 99.0,
        "smooth": 1,
        "restored": 0,
        "failed": 1,
        "fastest": expected.fastest,
        "slowest": expected.slowest,
        "seconds": expected.seconds,
        "method": "overlap",
        "why": "this kernel allows it",
    }
    assert (expected.changes, expected.refused, expected.longest_wait_ms) == (3, 9, 99.0)


def test_who_asked_a_server_is_in_the_history(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("plan", name="planner")
    path = f"{PATH}?source=server&wait=0"
    call("POST", path, {"mpm": "event"}, token=token, X_Request_Id="who-asked-1")
    event = Event.objects.get(request_id="who-asked-1")
    assert (event.kind, event.server_name, event.token_name) == (
        "preview.requested",
        "web03",
        "planner",
    )
    assert event.data["preview"] == Preview.objects.get().uuid
    call("POST", PATH, {"mpm": "event"}, token=token)
    assert Event.objects.filter(kind="preview.requested").count() == 1


def test_a_server_that_cannot_answer_says_why(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("plan")
    requested = call("POST", f"{PATH}?source=server&wait=0", {"mpm": "event"}, token=token)
    error = Failure("unsolvable", "nothing provides ea-libx")
    record_preview(server.name, Preview.objects.get().uuid, None, error, None)
    href = requested.body["href"].removeprefix("/api/v1/")
    answered = call("GET", href, token=token)
    assert answered.status == 422
    assert "ea-libx" in answered.body["detail"]


def test_a_plan_of_another_server_or_of_nobody_is_not_found(
    server: Server, add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server("web04")
    token = add_token("plan")
    requested = call("POST", f"{PATH}?source=server&wait=0", {"mpm": "event"}, token=token)
    uuid = requested.body["href"].rsplit("/", 1)[1]
    assert call("GET", f"servers/web04/plans/{uuid}", token=token).status == 404
    for name in ("0", "f" * 32, "%00", "a-b"):
        assert call("GET", f"{PATH}/{name}", token=token).status == 404, name
    assert call("POST", f"{PATH}?source=guess", {"mpm": "event"}, token=token).status == 422
    assert call("POST", f"{PATH}?source=server", {"mpm": "event"}).status == 401
    read = add_token("read")
    assert call("POST", f"{PATH}?source=server", {"mpm": "event"}, token=read).status == 403
