"""The doctor by REST: the same findings as on the page and the command line, and repairs."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import get_args

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from easyapache.agent.repair.repairs import REPAIRS
from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Observation
from mpm.api.doctor import Action
from mpm.changes.services.record import record_log, record_reports
from mpm.changes.services.repairs import record_repair
from mpm.changes.services.request import request_change
from mpm.cli.commands import display
from mpm.models import Event
from mpm.servers.looks import request_number
from mpm.servers.models import Server
from mpm.servers.services.inspection import record_inspection
from tests.api.conftest import AddServer, AddToken, Call, profile_with
from tests.panel.reports import ADMIN, piece, report, step
from tests.web.conftest import person


@pytest.fixture
def sick(add_server: AddServer) -> Server:
    """Several things at once, one of them only in the log of its last change."""
    facts = {
        "missing_files": {"ea-apache24-mod_ssl": ["/etc/apache2/conf.modules.d/495_mod_ssl.conf"]},
        "unfinished_transaction": "dnf's transaction 7 was begun and never ended",
    }
    profile = replace(profile_with(), running=Observation(("event",)), facts=facts)
    server = add_server(profile=profile_with())
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    output = b"Error: Failed to download metadata for repo 'EA4'\n"
    record_log(server.name, change.uuid, 0, piece(output))
    outcome = report(
        2, "outcome", outcome="failed", decided_by="repo", sentence="", profile=profile.as_json()
    )
    record_reports(server.name, change.uuid, [step(1, "preflight"), outcome])
    return server


def test_command_page_and_api_tell_the_same(
    sick: Server,
    client: Client,
    call: Call,
    add_token: AddToken,
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = call("GET", f"servers/{sick.name}/doctor", token=add_token("read")).body
    codes = [item["code"] for item in body["findings"]]
    assert set(codes) >= {
        "files_missing",
        "pending_restart",
        "unfinished_transaction",
        "repository_unreachable",
    }
    assert body["change"] == sick.changes.get().pk
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("mpm", "doctor", "--server", sick.name, "--json", stdout=out)
    assert end.value.code == 1
    by_command = json.loads(out.getvalue())
    assert by_command["findings"] == body["findings"]
    assert by_command["change"] == body["change"]
    client.force_login(person("ada", "administrator"))
    page = client.get(f"/software/easyapache4/doctor/?server={sick.name}").content.decode()
    assert re.findall(r'data-code="([^"]+)"', page) == codes
    console = io.StringIO()
    display.diagnostics(display.Terminal(console), body)
    printed = console.getvalue()
    assert all(code in printed for code in codes)


def test_a_sound_server_has_no_findings(server: Server, call: Call, add_token: AddToken) -> None:
    profile = profile_with("ea-apache24", "ea-apache24-mod_mpm_prefork", "ea-apache24-mod_suexec")
    record_inspection(server.name, request_number(timezone.now()), profile)
    body = call("GET", "servers/web03/doctor", token=add_token("read")).body
    assert (body["server"], body["change"], body["findings"]) == ("web03", None, [])


def test_every_repair_there_is_can_be_asked_for() -> None:
    assert set(get_args(Action)) == set(REPAIRS)


def test_a_repair_is_asked_for_followed_and_listed(
    server: Server, call: Call, add_token: AddToken
) -> None:
    token = add_token("change")
    requested = call("POST", "servers/web03/repairs", {"action": "start-httpd"}, token=token)
    assert (requested.status, requested.body["ok"]) == (202, None)
    path = requested.headers["Location"].removeprefix("/api/v1/")
    event = Event.objects.get(kind="server.repair_requested")
    assert (event.token_name, event.origin) == ("deploy", "rest")
    assert call("GET", path, token=token).body == requested.body
    record_repair(
        "web03", requested.body["id"], "start-httpd", ok=True, message="Apache runs prefork."
    )
    done = call("GET", f"{path}?wait=20", token=token).body
    assert (done["ok"], done["message"]) == (True, "Apache runs prefork.")
    assert call("GET", "servers/web03/repairs", token=token).body == {
        "items": [done],
        "next": None,
    }


def test_the_same_key_asks_for_one_repair(server: Server, call: Call, add_token: AddToken) -> None:
    token, wish = add_token("change"), {"action": "restart-httpd"}
    answers = [
        call("POST", "servers/web03/repairs", wish, token=token, Idempotency_Key="again")
        for _ in range(3)
    ]
    assert {answer.body["id"] for answer in answers} == {answers[0].body["id"]}
    assert Event.objects.filter(kind="server.repair_requested").count() == 1


def test_what_may_not_be_is_refused(
    server: Server, add_server: AddServer, call: Call, add_token: AddToken
) -> None:
    change, wish = add_token("change"), {"action": "start-httpd"}
    assert call("POST", "servers/web03/repairs", wish, token=add_token("plan")).status == 403
    assert call("POST", "servers/web03/repairs", {"action": "rm"}, token=change).status == 422
    assert call("GET", "servers/web03/repairs/0", token=change).body["code"] == "unknown_repair"
    add_server("web09")
    elsewhere = add_token("change", servers=["web09"])
    for method, path in (("GET", "doctor"), ("GET", "repairs"), ("POST", "repairs")):
        answer = call(method, f"servers/web03/{path}", wish if method == "POST" else None,
                      token=elsewhere)  # fmt: skip
        assert answer.status == 404
    request_change(server, Choice.parse("event"), actor=ADMIN)
    assert call("POST", "servers/web03/repairs", wish, token=change).body["code"] == "busy"
    assert not Event.objects.filter(kind="server.repair_requested").exists()
