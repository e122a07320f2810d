"""``ea4mpm`` at a panel: what it prints, its JSON, and every exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from easyapache.ea4.profile import Observation
from easyapache.ea4.protocol import Report
from mpm.changes.services.record import record_reports
from mpm.cli.commands import reading, statuses
from mpm.cli.remote.main import main
from mpm.models import Change, Token
from mpm.servers.models import Server
from tests.api.conftest import AddServer, AddToken, profile_with
from tests.api.receiver import listening
from tests.api.test_changes import finish, write_log

pytestmark = pytest.mark.django_db(transaction=True)


class Terminal:
    """Runs ``ea4mpm`` in this process, as a shell without a person at it."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self._capture = patch, capture

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """(exit status, standard output, standard error)"""
        self._capture.readouterr()
        status = main(arguments)
        out, err = self._capture.readouterr()
        return status, out, err

    def json(self, *arguments: str) -> tuple[int, Any]:
        """Standard output is one JSON value and nothing else."""
        status, out, _ = self.run(*arguments, "--json")
        return status, json.loads(out)


@pytest.fixture
def terminal(
    live_server: Any,
    add_token: AddToken,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    for name, value in {
        "EA4MPM_URL": str(live_server.url),
        "EA4MPM_TOKEN": add_token("admin", name="boss").text,
        "XDG_CONFIG_HOME": "/nonexistent",
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    return Terminal(monkeypatch, capsys)


@pytest.fixture
def drifted(add_server: AddServer) -> Server:
    """Its packages are those of prefork, and worker still runs."""
    seen = Observation(("worker",))
    return add_server("drifted", replace(profile_with(), configured=seen, running=seen))


@pytest.fixture
def change(add_server: AddServer, terminal: Terminal) -> Change:
    """One that was asked for, and no agent has heard of."""
    add_server("busy01")
    _, made = terminal.json("switch", "event", "--server", "busy01", "--yes", "--stored")
    return Change.objects.get(pk=made["change"]["id"])


def fail(change: Change) -> None:
    """What the agent reports of a change that did not go well."""
    outcome = {"outcome": "failed", "decided_by": "preflight", "sentence": "The disk is full."}
    report = Report(1, timezone.now().isoformat(), "outcome", outcome)
    record_reports(change.server_name, change.uuid, [report])


REFUSALS = [
    (["status", "--server", "nowhere"], statuses.REFUSED, "unknown_server"),
    (["status", "--server", "../../changes"], statuses.REFUSED, "not_found"),
    (["status"], statuses.USAGE, "which_server"),
    (["history", "--server", "nowhere"], statuses.REFUSED, "unknown_server"),
    (["events", "--server", "nowhere"], statuses.REFUSED, "unknown_server"),
    (["plan", "event", "--server", "new01"], statuses.REFUSED, "no_profile"),
    (["switch", "event", "--server", "off01", "--yes"], statuses.REFUSED, "inactive"),
    (["switch", "event", "--server", "web03", "--itk", "--yes"], statuses.REFUSED, "blocked"),
    (
        ["switch", "event", "--server", "web03", "--digest", "0" * 32],
        statuses.REFUSED,
        "stale",
    ),
    (["switch", "event", "--server", "web03", "--stored"], statuses.USAGE, "not_confirmed"),
    (["switch", "worker", "--server", "busy01", "--yes"], statuses.BUSY, "busy"),
    (["log", "999999"], statuses.REFUSED, "unknown_change"),
    (["log", "999999", "-f"], statuses.REFUSED, "unknown_change"),
    (["show", "999999"], statuses.REFUSED, "unknown_change"),
    (["cancel", "999999"], statuses.REFUSED, "unknown_change"),
    (["rollback", "999999"], statuses.REFUSED, "unknown_change"),
    (["history", "--since", "yesterday"], statuses.REFUSED, "invalid"),
    (["token", "revoke", "nobody"], statuses.REFUSED, "not_found"),
    (["token", "rotate", "nobody"], statuses.REFUSED, "not_found"),
    (
        ["token", "create", "x", "--scope", "read", "--network", "x"],
        statuses.REFUSED,
        "invalid",
    ),
]


@pytest.mark.parametrize(("arguments", "status", "code"), REFUSALS)
def test_every_refusal_has_its_status_its_code_and_words(
    terminal: Terminal,
    add_server: AddServer,
    change: Change,
    arguments: list[str],
    status: int,
    code: str,
) -> None:
    add_server("web03")
    add_server("off01", active=False)
    Server.objects.create(name="new01", kind="simulated", created_at=timezone.now())
    before = Change.objects.count(), Token.objects.count()
    told, problem = terminal.json(*arguments)
    assert (told, problem["code"]) == (status, code)
    assert problem["detail"]
    told, _, words = terminal.run(*arguments)
    assert told == status
    assert " ".join(problem["detail"].split()) in " ".join(words.split())
    assert (Change.objects.count(), Token.objects.count()) == before


def _unset_token(terminal: Terminal, _folder: str) -> None:
    terminal.patch.delenv("EA4MPM_TOKEN")


def _nonsense_token(terminal: Terminal, _folder: str) -> None:
    terminal.patch.setenv("EA4MPM_TOKEN", "a tökén")


def _no_address(terminal: Terminal, _folder: str) -> None:
    terminal.patch.setenv("EA4MPM_URL", "http://panel.example:port")


def _missing_ca(terminal: Terminal, folder: str) -> None:
    terminal.patch.setenv("EA4MPM_CA", f"{folder}/none.pem")


def _broken_ca(terminal: Terminal, folder: str) -> None:
    with open(f"{folder}/ca.pem", "w") as file:  # noqa: PTH123
        file.write("no certificate")
    terminal.patch.setenv("EA4MPM_CA", f"{folder}/ca.pem")


def _wrong_token(terminal: Terminal, _folder: str) -> None:
    terminal.patch.setenv("EA4MPM_TOKEN", "ea4mpm_" + "Z" * 12 + "_" + "Z" * 43)


def _nobody_there(terminal: Terminal, _folder: str) -> None:
    terminal.patch.setattr("time.sleep", lambda _seconds: None)
    terminal.patch.setenv("EA4MPM_URL", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("prepare", "status", "code"),
    [
        (_unset_token, statuses.USAGE, "configuration"),
        (_nonsense_token, statuses.USAGE, "configuration"),
        (_no_address, statuses.USAGE, "configuration"),
        (_missing_ca, statuses.USAGE, "configuration"),
        (_broken_ca, statuses.USAGE, "configuration"),
        (_wrong_token, statuses.REFUSED, "unauthorized"),
        (_nobody_there, statuses.UNAVAILABLE, "unreachable"),
    ],
)
def test_no_way_to_a_panel_is_said_and_never_a_traceback(
    terminal: Terminal,
    tmp_path: Any,
    prepare: Callable[[Terminal, str], None],
    status: int,
    code: str,
) -> None:
    prepare(terminal, str(tmp_path))
    told, problem = terminal.json("server", "list")
    assert (told, problem["code"]) == (status, code)
    told, out, words = terminal.run("server", "list")
    assert (told, out) == (status, "")
    assert words.strip()


@pytest.mark.parametrize(
    ("status", "content"),
    [(200, b"<html>Welcome</html>"), (200, b"[]"), (404, b"<html>"), (302, b"")],
)
def test_what_answers_as_no_panel_does_is_none(
    terminal: Terminal, status: int, content: bytes
) -> None:
    with listening(status, body=content, Location="https://elsewhere.example/") as receiver:
        terminal.patch.setenv("EA4MPM_URL", f"http://127.0.0.1:{receiver.port}")
        told, problem = terminal.json("token", "create", "x", "--scope", "read")
    assert (told, problem["code"]) == (statuses.UNAVAILABLE, "unreachable")
    assert "Check its URL" in problem["detail"]


# -- asking before anything happens ---------------------------------------------------------


def test_a_restart_alone_is_asked_about_as_well(terminal: Terminal, drifted: Server) -> None:
    status, planned = terminal.json("plan", "prefork", "--server", "drifted")
    assert (status, planned["nothing_to_do"], planned["satisfied"]) == (0, True, False)
    status, out, err = terminal.run("switch", "prefork", "--server", "drifted", "--stored")
    assert (status, "restarts Apache" in out, "--yes" in err) == (statuses.USAGE, True, True)
    assert not Change.objects.exists()
    status, made = terminal.json("switch", "prefork", "--server", "drifted", "--stored", "--yes")
    assert (status, made["changed"], Change.objects.count()) == (0, True, 1)


def test_nobody_is_asked_where_nothing_would_happen(
    terminal: Terminal, add_server: AddServer
) -> None:
    add_server("web03")
    status, planned = terminal.json("plan", "prefork", "--server", "web03")
    assert (status, planned["nothing_to_do"], planned["satisfied"]) == (0, True, True)
    status, answer = terminal.json("switch", "prefork", "--server", "web03")
    assert (status, answer["changed"], answer["change"]) == (0, False, None)
    assert not Change.objects.exists()


class Person:
    """Somebody at the keyboard."""

    def __init__(self, words: str) -> None:
        self.words = words

    def isatty(self) -> bool:
        return True

    def readline(self, _size: int = -1) -> str:
        return f"{self.words}\n"


@pytest.mark.parametrize(("words", "status"), [("y", statuses.DONE), ("no", statuses.USAGE)])
def test_a_person_is_asked_beside_the_answer(
    terminal: Terminal, add_server: AddServer, words: str, status: int
) -> None:
    add_server("web03")
    terminal.patch.setattr("sys.stdin", Person(words))
    told, out, err = terminal.run("switch", "event", "--server", "web03", "--stored", "--json")
    assert told == status
    assert "Make this change?" in err
    assert "ea-apache24-mod_mpm_event" in err
    assert json.loads(out)["code" if status else "changed"] in (True, "not_confirmed")
    assert Change.objects.exists() is not bool(status)


# -- changes ----------------------------------------------------------------------------------


def test_the_status_of_a_followed_log_is_that_of_the_change(
    terminal: Terminal, change: Change
) -> None:
    write_log(change, "eins ☃\n")
    number = str(change.pk)
    assert terminal.run("log", number)[:2] == (0, "eins ☃\n")
    assert terminal.json("log", number) == (
        0,
        {"change": change.pk, "state": "queued", "log": "eins ☃\n"},
    )
    fail(change)
    assert terminal.run("log", number)[0] == statuses.DONE
    status, out, err = terminal.run("log", "-f", number)
    assert (status, out) == (statuses.FAILED, "eins ☃\n")
    assert "The disk is full." in err
    status, said = terminal.json("log", "-f", number)
    assert (status, said["state"], said["log"]) == (statuses.FAILED, "not_started", "eins ☃\n")


def test_a_change_that_went_well_ends_with_status_0(terminal: Terminal, change: Change) -> None:
    finish(change)
    number = str(change.pk)
    assert terminal.run("log", "-f", number)[0] == statuses.DONE
    assert terminal.json("log", "-f", number)[1]["state"] == "succeeded"
    assert "Succeeded" in terminal.run("history")[1]
    assert terminal.json("show", number)[1]["state"] == "succeeded"


def test_servers_that_disagree_with_themselves_end_status_with_1(
    terminal: Terminal, drifted: Server, add_server: AddServer
) -> None:
    add_server("web03")
    assert terminal.run("status", "--server", "web03")[0] == statuses.DONE
    status, out, _ = terminal.run("status", "--server", "drifted")
    assert (status, "Out of sync" in out) == (statuses.FAILED, True)
    assert terminal.json("status", "--server", "drifted")[0] == statuses.FAILED


def test_a_change_is_canceled_and_asking_twice_is_asking_once(
    terminal: Terminal, add_server: AddServer
) -> None:
    add_server("web03")
    tomorrow = timezone.now() + timedelta(days=1)
    _, made = terminal.json(
        *("switch", "event", "--server", "web03", "--stored", "--yes"),
        *("--not-before", tomorrow.isoformat()),
    )
    number = str(made["change"]["id"])
    status, answer = terminal.json("cancel", number)
    assert (status, answer["state"]) == (0, "canceled")
    assert Change.objects.get().state == "canceled"
    assert terminal.run("log", "-f", number)[0] == statuses.FAILED
    status, answer = terminal.json("cancel", number)
    assert (status, answer["state"]) == (0, "canceled")


def test_a_server_that_does_not_answer_leaves_the_address_of_its_plan(
    terminal: Terminal, add_server: AddServer
) -> None:
    add_server("web03")
    terminal.patch.setattr(reading, "SERVER_PATIENCE", 0.0)
    terminal.patch.setattr("mpm.cli.commands.connection.POLL_SECONDS", 0)
    status, pending = terminal.json("plan", "event", "--server", "web03", "--source", "server")
    assert (status, pending["state"]) == (statuses.FAILED, "pending")
    assert pending["href"].startswith("/api/v1/servers/web03/plans/")
    status, out, _ = terminal.run("plan", "event", "--server", "web03", "--source", "server")
    assert (status, "hasn't answered yet" in out) == (statuses.FAILED, True)


# -- tokens -------------------------------------------------------------------------------------


@pytest.fixture
def other(add_token: AddToken) -> Token:
    return add_token("read", name="other").token


def test_a_token_is_rotated_and_its_secret_stands_alone_on_standard_output(
    terminal: Terminal, other: Token
) -> None:
    status, out, _ = terminal.run("token", "rotate", other.key_id, "--overlap-hours", "1")
    assert (status, out.count("\n")) == (0, 1)
    terminal.patch.setenv("EA4MPM_TOKEN", out.strip())
    _, own = terminal.json("token", "show")
    assert (own["name"], own["replaces"]) == ("other", other.key_id)


def test_a_token_is_revoked_and_that_is_said(terminal: Terminal, other: Token) -> None:
    status, answer = terminal.json("token", "revoke", other.key_id)
    assert (status, answer["id"], answer["state"]) == (0, other.key_id, "revoked")
    status, out, _ = terminal.run("token", "revoke", other.key_id)
    assert (status, other.key_id in out, "revoked" in out) == (0, True, True)
