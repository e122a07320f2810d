"""``manage.py mpm``: what it says, its JSON, and its exit status."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from easyapache.ea4.conditions.condition import Severity
from easyapache.ea4.conditions.diagnosis import diagnosis_of
from easyapache.ea4.mpm import Choice
from mpm.changes.services.record import record_log
from mpm.changes.services.request import UP_TO_THE_SERVER
from mpm.cli.commands import changing
from mpm.cli.local.in_process import operator
from mpm.history.diagnosis import Examination
from mpm.models import Change, LogChunk, State, Webhook
from mpm.notify import webhooks
from mpm.servers.models import Server
from tests.panel.reports import carried_out, finish
from tests.panel_fixtures import House, database_url

pytestmark = pytest.mark.django_db
PROJECT = Path(__file__).resolve().parents[2]
STOCK = PROJECT / "easyapache/ea4/data/profiles"


def mpm(*arguments: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)"""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("mpm", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def answer(*arguments: str) -> tuple[int, Any]:
    status, out, _ = mpm(*arguments, "--json")
    return status, json.loads(out)


def test_status_tells_the_three_observations(known_server: Callable[..., Server]) -> None:
    known_server()
    status, body = answer("status")
    assert status == 0
    assert (body["mpm"], body["itk"], body["recommendation"]["mpm"]) == ("prefork", False, "event")
    for observer in ("installed", "configured", "running"):
        assert body[observer] == {"mpms": ["prefork"], "itk": False}
    assert "prefork" in mpm("status")[1]


def test_a_plan_has_what_is_installed_and_removed(known_server: Callable[..., Server]) -> None:
    known_server()
    status, plan = answer("plan", "event")
    assert status == 0
    assert {"install", "remove", "findings", "digest", "satisfied"} <= set(plan)
    assert "ea-apache24-mod_mpm_event" in {item["name"] for item in plan["install"]}
    assert "ea-apache24-mod_ruid2" in {item["name"] for item in plan["remove"]}
    assert plan["digest"] in mpm("plan", "event")[1]


def test_a_blocked_plan_is_shown_with_status_3(known_server: Callable[..., Server]) -> None:
    known_server()
    status, plan = answer("plan", "event", "--itk")
    assert status == 3
    assert any(finding["severity"] == "block" for finding in plan["findings"])
    printed = mpm("plan", "worker", "--itk")[1]
    assert "no package changes" in printed
    assert "restarts Apache" not in printed, "what is blocked does nothing"


@pytest.mark.parametrize("profile", ["default", "mpm_itk", "worker", "nophp"])
def test_a_plan_for_a_profile_file_needs_no_server(profile: str) -> None:
    status, plan = answer("plan", "event", "--profile", str(STOCK / f"{profile}.json"))
    assert status == 0
    assert "ea-apache24-mod_mpm_event" in {item["name"] for item in plan["install"]}


def test_a_plan_for_a_profile_keeps_what_no_mpm_is_related_to() -> None:
    status, plan = answer("plan", "event", "--profile", str(STOCK / "default.json"))
    kept = {item["name"] for item in plan["keep"]}
    gone = {item["name"] for item in plan["remove"]}
    assert status == 0
    assert set(good()["pkgs"]) <= kept | gone
    assert (
        "more packages of the profile"
        in mpm("plan", "event", "--profile", str(STOCK / "default.json"))[1]
    )


def test_a_profile_that_chooses_no_mpm_means_prefork(tmp_path: Path) -> None:
    path = tmp_path / "bare.json"
    path.write_text(json.dumps({**good(), "pkgs": ["ea-apache24"], "name": "PHP 8.1/8.2"}))
    status, plan = answer("plan", "prefork", "--profile", str(path))
    assert (status, plan["install"], plan["remove"]) == (0, [], [])


def good() -> dict[str, Any]:
    return dict(json.loads((STOCK / "default.json").read_text()))


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"name": "x"}',
        json.dumps({**good(), "pkgs": "ea-apache24"}).encode(),
        json.dumps({**good(), "pkgs": ["../x"]}).encode(),
        json.dumps({**good(), "pkgs": ["ea-apache24; rm -rf /"]}).encode(),
        json.dumps({**good(), "name": "../x"}).encode(),
        json.dumps({key: value for key, value in good().items() if key != "version"}).encode(),
        b" " * (50 * 1024 * 1024),
        b"[" * 100_000,
    ],
    ids=lambda value: value[:30].decode("latin-1").strip() or f"{len(value)} bytes",
)
def test_a_profile_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    status, problem = answer("plan", "event", "--profile", str(path))
    assert status == 3
    assert problem["code"] == "bad_profile"
    status, _, err = mpm("plan", "event", "--profile", str(path))
    assert (status, "bad.json" in err) == (3, True)


def test_a_profile_of_fifty_megabytes_is_refused_by_its_size(tmp_path: Path) -> None:
    good = {"name": "Mine", "desc": "", "version": "1.0", "tags": [], "pkgs": ["ea-apache24"]}
    path = tmp_path / "large.json"
    path.write_text(json.dumps(good) + " " * (50 * 1024 * 1024))
    status, problem = answer("plan", "event", "--profile", str(path))
    assert status == 3
    assert "larger than" in problem["detail"]


def test_a_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert mpm("plan", "event", "--profile", str(tmp_path / "none.json"))[0] == 3
    assert mpm("plan", "event", "--profile", str(tmp_path))[0] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "event", "--server", "web99"),
        ("switch", "event", "--server", "web99"),
        ("plan", "event", "--add", "ea-x; reboot"),
        ("plan", "event", "--add=--installroot=/"),
        ("plan", "event", "--keep", "../x"),
        ("switch", "event", "--itk", "--yes"),
        ("switch", "event", "--digest", "0" * 32),
        ("switch", "event", "--stored", "--yes", "--ticket", "x" * 101),
        ("switch", "event", "--stored", "--yes", "--not-before", "tomorrow"),
        ("switch", "prefork", "--stored", "--yes", "--not-before", "2026-13-45T00:00:00Z"),
        ("switch", "event", "--stored", "--yes", "--not-before", "0001-01-01T00:00:00+14:00"),
        ("switch", "event", "--stored", "--yes", "--not-before", "9999-12-31T23:59:59Z"),
        ("switch", "event", "--stored", "--yes", "--not-before", "2030-01-01T00:00:00"),
        ("history", "--since", "0001-01-01"),
        ("history", "--since", "yesterday"),
        ("history", "--cursor", "zzz"),
        ("history", "--server", "web99"),
        ("events", "--server", "web99"),
        ("events", "--cursor", "x y"),
        ("rollback", "99"),
        ("show", "x"),
        ("log", "99"),
        ("cancel", "99"),
        ("verify", "--file", "/nowhere/export.json"),
        ("export", "changes", "--since", "yesterday"),
        ("server", "add", "Web_01"),
        ("server", "show", "web99"),
        ("user", "reset-password", "nobody"),
    ],
)
def test_what_the_panel_refuses_ends_with_status_3_and_changes_nothing(
    known_server: Callable[..., Server], arguments: tuple[str, ...]
) -> None:
    known_server()
    status, out, err = mpm(*arguments)
    assert (status, out) == (3, ""), err
    assert err.strip()
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("explode",),
        ("plan",),
        ("plan", "fork"),
        ("plan", "itk"),
        ("plan", ""),
        ("switch", "event", "--x"),
        ("switch", "event", "--yes", "--dry-run"),
        ("history", "--limit", "0"),
        ("history", "--state", "exploded"),
        ("events", "--limit", "-1"),
        ("doctor", "--repair", "format-disk"),
    ],
)
def test_arguments_that_do_not_exist_end_with_status_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        create_parser().parse_args(arguments)
    assert ended.value.code == 2
    assert "usage: manage.py mpm" in capsys.readouterr().err


def test_several_servers_want_a_name(known_server: Callable[..., Server]) -> None:
    known_server("web01")
    known_server("web02")
    status, _, err = mpm("status")
    assert (status, err) == (2, "Choose a server with --server: web01, web02.\n")
    assert answer("status", "--server", "web02")[1]["server"] == "web02"


YES = ("--stored", "--yes")


def test_switch_rollback_show_history_and_cancel(known_server: Callable[..., Server]) -> None:
    known_server()
    status, made = answer("switch", "event", *YES, "--reason", "threads", "--ticket", "T-9")
    number = made["change"]["id"]
    assert (status, made["change"]["state"], made["change"]["origin"]) == (0, "queued", "cli")
    status, _, err = mpm("switch", "worker", *YES)
    assert status == 5
    assert f"Change #{number} on web01 (queued) hasn't finished." in err
    assert Change.objects.count() == 1
    change = Change.objects.get(pk=number)
    Change.objects.filter(pk=change.pk).update(dispatched_at=change.requested_at)
    assert finish(change).state == State.SUCCEEDED

    assert answer("switch", "event", *YES)[1]["change"] is None
    status, back = answer("rollback", str(change.pk), "--reason", "no")
    assert (status, back["rollback_of"]) == (0, change.pk)
    status, listed = answer("history", "--ticket", "T-9")
    assert [item["id"] for item in listed["items"]] == [back["id"], change.pk]
    status, detail = answer("show", f"#{change.pk}")
    assert "threads" in " ".join(detail["story"])
    assert "threads" in mpm("show", str(change.pk))[1]
    assert mpm("cancel", str(back["id"]))[0] == 0
    assert "cancel" in mpm("history")[1].lower()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_changed_before_somebody_confirms(known_server: Callable[..., Server]) -> None:
    known_server()
    status, out, err = mpm("switch", "event", "--stored")
    digest = answer("plan", "event")[1]["digest"]
    assert (status, digest in out, f"--digest {digest}" in err) == (2, True, True)
    status, dry = answer("switch", "event", "--dry-run")
    assert (status, dry["dry_run"], dry["plan"]["digest"]) == (0, True, digest)
    assert not Change.objects.exists()
    assert answer("switch", "event", "--digest", digest)[0] == 0
    assert Change.objects.get().digest == digest


def test_history_is_verified_and_exported(
    known_server: Callable[..., Server], tmp_path: Path
) -> None:
    known_server()
    mpm("switch", "event", *YES)
    status, verdict = answer("verify")
    assert (status, verdict["verified"]) == (0, True)
    export = tmp_path / "events.json"
    export.write_text(mpm("export", "events")[1])
    assert answer("verify", "--file", str(export))[1]["verified"]
    export.write_text(export.read_text().replace('"queued"', '"quiet"').replace("event", "evert"))
    assert mpm("verify", "--file", str(export))[0] in (1, 3)
    sheet = mpm("export", "changes", "--format", "csv")[1]
    assert sheet.startswith("id,uuid,href,server")
    assert "\\x" not in sheet
    assert len(json.loads(mpm("export", "changes")[1])) == 1


def test_servers_and_accounts_are_kept() -> None:
    status, server = answer(
        "server", "add", "web07", "--hostname", "web07.example", "--kind", "lab"
    )
    assert (status, server["kind"]) == (0, "lab")
    assert answer("server", "update", "web07", "--no-active")[1]["active"] is False
    assert [item["name"] for item in answer("server", "list")[1]["items"]] == ["web07"]
    status, user = answer("user", "add", "anna", "--role", "administrator")
    assert (status, len(user["password"])) == (0, 20)
    assert answer("user", "list")[1]["items"][0]["roles"] == ["administrator"]
    assert answer("user", "reset-password", "anna")[1]["password"] != user["password"]
    assert mpm("user", "update", "anna", "--role", "support")[0] == 3
    assert mpm("user", "update", "anna")[0] == 2
    assert mpm("user", "add", "otto", "--role", "support")[1].count("\n") == 1


def test_a_log_that_was_cut_within_a_letter_is_printed_whole(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    change = carried_out(server, Choice.parse("event"))
    begin = LogChunk.objects.filter(change=change).count()
    log = "21:04 packages  Größe: 3 é\n".encode()
    assert begin == 0
    cut = log.index("ö".encode()) + 1
    for offset, data in ((0, log[:cut]), (cut, log[cut:])):
        record_log(server.name, change.uuid, offset, base64.b64encode(data).decode())
    assert mpm("log", str(change.pk))[1] == log.decode()


def test_a_server_that_does_not_answer_is_a_failure_and_no_refusal(
    known_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    known_server()
    monkeypatch.setattr("mpm.cli.commands.reading.SERVER_PATIENCE", 0.2)
    monkeypatch.setattr("mpm.cli.commands.changing.SERVER_PATIENCE", 0.2)
    monkeypatch.setattr("mpm.cli.commands.connection.POLL_SECONDS", 0)
    monkeypatch.setattr("mpm.api.plans.need_the_broker", lambda: None)
    status, out, _ = mpm("switch", "event", "--yes")
    assert (status, "hasn't answered yet" in out) == (1, True)
    assert answer("plan", "event", "--source", "server")[0] == 1
    assert answer("switch", "event", "--itk", "--yes")[0] == 3
    assert Change.objects.count() == 0


def test_the_doctor_knows_a_healthy_server(known_server: Callable[..., Server]) -> None:
    known_server()
    status, body = answer("doctor")
    assert (status, body["server"], body["change"], body["findings"]) == (0, "web01", None, [])
    assert mpm("doctor")[1] == "No problems found on web01.\n"


@pytest.mark.parametrize(("severity", "status"), [("warn", 0), ("note", 0), ("block", 1)])
def test_the_doctor_fails_where_a_problem_needs_attention_and_not_for_a_warning(
    known_server: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    severity: str,
    status: int,
) -> None:
    known_server()
    found = replace(diagnosis_of("code_runs_as_nobody", ""), severity=Severity(severity))
    examination = Examination((found,), None)
    monkeypatch.setattr("mpm.api.doctor.examined", lambda *_: examination)
    assert answer("doctor")[0] == status


def test_a_list_has_all_there_is_however_many_requests_that_takes(
    known_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpm.cli.commands.connection.PAGE", 2)
    names = [f"web0{number}" for number in range(1, 6)]
    for name in names:
        known_server(name)
        assert answer("token", "create", name, "--scope", "read")[0] == 0
        webhooks.make(operator(), name=name, url="https://8.8.8.8/")
    assert [one["name"] for one in answer("server", "list")[1]["items"]] == names
    hook = Webhook.objects.get(name="web05")
    sent = [webhooks.send_test(hook, operator()).uuid for _ in names]
    listed = answer("webhook", "deliveries", hook.uuid, "--limit", "4")[1]["items"]
    assert [one["id"] for one in listed] == sent[:0:-1]
    for what in ("token", "webhook"):
        listed = [one["name"] for one in answer(what, "list")[1]["items"]]
        assert listed == names[::-1], what


@pytest.mark.django_db(transaction=True)
def test_switch_and_wait_follows_a_change_to_its_end(house: House) -> None:
    status, out, err = mpm("switch", "event", "--yes", "--wait", "--timeout", "60")
    assert status == 0, out + err + house.said()
    assert "Succeeded" in out
    status, plan = answer("plan", "worker", "--source", "server")
    assert (status, plan["source"]) == (0, "server")
    with house.simulated.state() as state:
        state["faults"] = {"configtest": 1}
    status, done = answer("switch", "prefork", "--yes", "--wait", "--timeout", "60")
    assert (status, done["state"]) == (1, "restored")
    # Numbers go on from test to test.
    first = Change.objects.earliest("pk").pk
    status, back = answer("rollback", str(first), "--wait", "--timeout", "60")
    assert status == 0, back
    assert (back["state"], back["to"]["mpm"]) == ("succeeded", "prefork")
    status, repaired = answer("doctor", "--repair", "restart-httpd")
    assert (status, repaired["ok"]) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("server", "list", "--server", "web01"),
        ("user", "list", "--server", "web01"),
        ("show", "1", "--server", "web01"),
        ("cancel", "1", "--server", "web01"),
        ("rollback", "1", "--server", "web01"),
        ("accept", "1", "--server", "web01"),
        ("recover", "1", "--server", "web01"),
        ("verify", "--server", "web01"),
        ("verify", "--ticket", "T-1"),
        ("history", "--file", "x"),
        ("history", "--format", "csv"),
        ("export", "changes", "--limit", "5"),
        ("export", "changes", "--cursor", "a1"),
        ("export", "events", "--user", "anna"),
        ("token", "list", "--server", "web01"),
        ("token", "revoke", "x", "--server", "web01"),
        ("webhook", "list", "--server", "web01"),
        ("webhook", "test", "x", "--server", "web01"),
        ("status", "--ser", "web01"),
        ("token", "create", "x", "--scope", "read", "--days", "1", "--expires", "2030-01-01"),
    ],
)
def test_an_option_that_a_command_does_not_use_is_refused_by_it(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        create_parser().parse_args(arguments)
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert "unrecognized arguments" in text or "not allowed with" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "event", "--profile", str(STOCK / "default.json"), "--server", "web01"),
        ("plan", "event", "--profile", str(STOCK / "default.json"), "--source", "server"),
        ("switch", "event", "--stored", "--yes", "--timeout", "5"),
        ("switch", "event", "--stored", "--digest", "0" * 32),
        ("rollback", "1", "--timeout", "5"),
        ("export", "changes", "--format", "csv", "--json"),
        ("webhook", "update", "x"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    known_server: Callable[..., Server], arguments: tuple[str, ...]
) -> None:
    carried_out(known_server(), Choice.parse("event"))
    before = Change.objects.count()
    status, _, err = mpm(*arguments)
    assert (status, bool(err.strip() or "--json" in arguments)) == (2, True)
    assert Change.objects.count() == before


def create_parser() -> Any:
    from mpm.management.commands.mpm import Command

    return Command().create_parser("manage.py", "mpm")


def test_the_version_is_the_projects_own(capsys: pytest.CaptureFixture[str]) -> None:
    import tomllib

    from mpm.cli.remote.main import main

    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    with pytest.raises(SystemExit):
        create_parser().parse_args(["--version"])
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.split("\n")[:2] == [
        f"manage.py mpm {version}",
        f"ea4mpm {version}",
    ]


def as_process(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "mpm", *arguments],
        cwd=PROJECT,
        env={
            **os.environ,
            "SECRET_KEY": "only for this test",
            "VAR_DIR": str(folder),
            "DATABASE_URL": database_url(),
            "REDIS_URL": "redis+socket:///nowhere/redis.sock",
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("arguments", [("status",), ("plan", "event"), ("history", "--json")])
def test_who_reads_no_further_gets_no_traceback(
    known_server: Callable[..., Server], arguments: tuple[str, ...], tmp_path: Path
) -> None:
    carried_out(known_server(), Choice.parse("event"))
    process = as_process(*arguments, folder=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    assert (process.wait(60), errors) == (141, "")


@pytest.mark.django_db(transaction=True)
def test_an_interrupt_says_that_the_change_goes_on_and_how_to_follow_it(
    known_server: Callable[..., Server], tmp_path: Path
) -> None:
    known_server()
    process = as_process("switch", "event", *YES, "--wait", folder=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("#"):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    change = Change.objects.get()
    assert (process.returncode, change.finished) == (130, False)
    assert "Traceback" not in errors
    assert f"Change #{change.pk} continues on the server." in errors
    assert f"manage.py mpm log -f {change.pk}" in errors


def test_the_same_switch_again_follows_the_change_that_has_not_ended(
    known_server: Callable[..., Server],
) -> None:
    known_server()
    first = answer("switch", "event", *YES)[1]["change"]
    status, second = answer("switch", "event", *YES)
    assert (status, second["change"]["id"]) == (0, first["id"])
    status, _, err = mpm("switch", "prefork", *YES)
    assert (status, Change.objects.count()) == (5, 1)
    assert f"Change #{first['id']}" in err


def test_commands_and_panel_agree_on_the_blockers_that_a_server_may_resolve() -> None:
    """The commands import nothing of the panel, so that they can't share the set."""
    assert changing.UP_TO_THE_SERVER == UP_TO_THE_SERVER
