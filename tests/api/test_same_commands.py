"""Every command through both ways: in process and over REST, on the same data."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command

from mpm.cli.commands.completion import subcommands
from mpm.cli.commands.definition import parser_of
from mpm.cli.remote.main import main
from mpm.models import Change, Event, Webhook
from mpm.servers.models import Server
from tests.api.conftest import AddServer, AddToken
from tests.api.receiver import listening
from tests.api.test_changes import finish, write_log
from tests.api.test_webhooks import LOOPBACK

pytestmark = pytest.mark.django_db(transaction=True)
Answer = tuple[int, str, str]
"""Exit status, standard output, standard error."""


class Ways:
    """Runs a command both ways. What differs by its nature is taken out before the comparison: the
    program's name, who asked, and the request's number."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def in_process(self, *arguments: str) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        status = 0
        self._capture.readouterr()
        try:
            call_command("mpm", *arguments, stdout=out, stderr=err)
        except SystemExit as end:
            status = int(end.code or 0)
        printed = self._capture.readouterr()
        return status, out.getvalue() + printed.out, err.getvalue() + printed.err

    def over_rest(self, *arguments: str) -> Answer:
        self._capture.readouterr()
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(str(end.code or 0))
        printed = self._capture.readouterr()
        return status, printed.out, printed.err

    def same(self, *arguments: str) -> Answer:
        """The answer, which is the same both ways."""
        here, there = self.in_process(*arguments), self.over_rest(*arguments)
        assert plain(here) == plain(there)
        return there


def plain(answer: Answer) -> Answer:
    status, out, err = answer
    return status, _plain(out), _plain(err)


def _plain(text: str) -> str:
    text = text.replace("manage.py mpm", "ea4mpm")
    return re.sub(r'"request_id": "[0-9a-f-]*"', '"request_id": ""', text)


@pytest.fixture
def ways(
    live_server: Any,
    add_token: AddToken,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ways:
    for name, value in {
        "EA4MPM_URL": str(live_server.url),
        "EA4MPM_TOKEN": add_token("admin", name="boss").text,
        "XDG_CONFIG_HOME": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    return Ways(capsys)


@pytest.fixture
def change(add_server: AddServer, ways: Ways) -> Change:
    """One that succeeded, on the only server there is."""
    add_server("web03")
    ways.over_rest("switch", "event", "--stored", "--yes", "--reason", "HTTP/2", "--ticket", "T-1")
    made = Change.objects.get()
    write_log(made, "eins ☃\n")
    finish(made)
    return made


READS = [
    ["server", "list"],
    ["server", "show", "web03"],
    ["server", "show", "nowhere"],
    ["status"],
    ["status", "--server", "web03"],
    ["status", "--server", "nowhere"],
    ["profile"],
    ["doctor"],
    ["plan", "worker"],
    ["plan", "prefork", "--itk"],
    ["plan", "event", "--itk"],
    ["plan", "event", "--add", "../x"],
    ["switch", "worker", "--dry-run"],
    ["switch", "worker", "--stored"],
    ["switch", "worker", "--digest", "0" * 32],
    ["switch", "worker", "--stored", "--yes", "--not-before", "yesterday"],
    ["switch", "worker", "--timeout", "3"],
    ["history"],
    ["history", "--ticket", "T-1", "--to", "event", "--until", "2999-01-01"],
    ["history", "--ticket", "none"],
    ["history", "--since", "soon"],
    ["history", "--server", "nowhere"],
    ["history", "--cursor", "zzz"],
    ["show", "CHANGE"],
    ["show", "99999"],
    ["log", "CHANGE"],
    ["log", "-f", "CHANGE"],
    ["cancel", "CHANGE"],
    ["rollback", "99999"],
    ["events", "--server", "nowhere"],
    ["events", "--cursor", "x"],
    ["token", "show", "nobody"],
    ["token", "revoke", "nobody"],
    ["token", "create", "x", "--scope", "read", "--server", "nowhere"],
    ["webhook", "list"],
    ["webhook", "show", "nobody"],
    ["webhook", "create", "x", "http://127.0.0.1/"],
    ["webhook", "update", "nobody"],
    ["webhook", "deliveries", "nobody"],
    ["completion", "bash"],
]


@pytest.mark.parametrize("arguments", READS, ids=" ".join)
def test_a_command_answers_the_same_both_ways(
    ways: Ways, change: Change, arguments: list[str]
) -> None:
    given = [word.replace("CHANGE", str(change.pk)) for word in arguments]
    before = Change.objects.count(), Webhook.objects.count(), Event.objects.count()
    _, out, err = ways.same(*given)
    assert out or err
    status, out, _ = ways.same(*given, "--json")
    if arguments[0] != "completion":
        answer = json.loads(out)
        assert ("code" in answer) == (status > 1 and "blocked" not in answer), answer
    assert (Change.objects.count(), Webhook.objects.count(), Event.objects.count()) == before


def test_a_change_is_requested_canceled_and_rolled_back_the_same_both_ways(
    ways: Ways, add_server: AddServer
) -> None:
    add_server("alpha")
    add_server("gamma")
    steps: list[Callable[[str, str], list[str]]] = [
        lambda name, _number: ["switch", "event", "--server", name, "--stored", "--yes"],
        lambda name, _number: ["switch", "event", "--server", name, "--stored", "--yes"],
        lambda name, _number: ["switch", "worker", "--server", name, "--stored", "--yes"],
        lambda _name, number: ["rollback", number],
        lambda _name, number: ["cancel", number],
        lambda _name, number: ["show", number],
        lambda _name, number: ["log", number],
    ]
    for step in steps:
        for extra in ([], ["--json"]):
            answers = []
            for name, run in (("alpha", ways.in_process), ("gamma", ways.over_rest)):
                latest = Change.objects.filter(server_name=name).first()
                number = str(latest.pk) if latest else ""
                status, out, err = run(*step(name, number), *extra)
                answers.append((status, same_words(out), same_words(err)))
            assert answers[0] == answers[1]
    assert [Change.objects.filter(server_name=name).count() for name in ("alpha", "gamma")] == [
        1,
        1,
    ]


def same_words(text: str) -> str:
    """Without what two changes of two servers cannot have in common."""
    text = _plain(text).replace("gamma", "alpha")
    text = re.sub(r"\b[0-9a-f]{32}\b|\d{4}-\d\d-\d\d[T ][\d:.]+(Z|\+00:00| UTC)", "…", text)
    text = re.sub(
        r"#\d+|(?<=-f )\d+|(?<=changes/)\d+|(?<=\"id\": )\d+|(?<=\"change\": )\d+", "#", text
    )
    text = re.sub(
        r"[A-Z][a-z]{2} \d\d?, \d{4}, [\d:]+\s?[AP]M \w+|\d\d? \w+ \d{4} \w+ [\d:]+", "…", text
    )
    who = r'"(origin|requested_by|token|role|address)": "[^"]*"'
    text = re.sub(who, r'"\1": ""', text)
    return re.sub(r"\b(root|boss)\b|\((Command line|REST API)\)", "who", text)


@LOOPBACK
def test_tokens_and_webhooks_are_kept_the_same_both_ways(ways: Ways, add_server: AddServer) -> None:
    add_server("web03")
    with listening() as receiver:
        kept: dict[str, list[Any]] = {}
        for name, run in (("here", ways.in_process), ("there", ways.over_rest)):

            def value(*arguments: str, run: Any = run, name: str = name) -> Any:
                status, out, _ = run(*arguments, "--json")
                answer = json.loads(out)
                kept.setdefault(name, []).append((status, shape(answer)))
                return answer

            token = value("token", "create", "ci", "--scope", "read", "--server", "web03")
            value("token", "update", token["id"], "--implied-removals", "--purpose", "CI")
            value("token", "rotate", token["id"])
            value("token", "revoke", token["id"])
            hook = value("webhook", "create", "chat", receiver.url, "--kind", "change.failed")
            value("webhook", "update", hook["id"], "--no-active", "--name", "ops")
            value("webhook", "rotate", hook["id"])
            sent = value("webhook", "test", hook["id"])
            value("webhook", "deliveries", hook["id"])
            value("webhook", "redeliver", hook["id"], sent["id"])
            value("webhook", "delete", hook["id"])
        assert kept["here"] == kept["there"]


def shape(value: Any) -> Any:
    """The names and kinds of everything in a value."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def leaves(parser: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    below = subcommands(parser)
    if not below:
        return {prefix: parser}
    found: dict[tuple[str, ...], Any] = {}
    for name, one in below.items():
        found |= leaves(one, (*prefix, name))
    return found


def test_both_programs_have_the_same_commands_arguments_and_options() -> None:
    here = leaves(parser_of("manage.py mpm", remote=False))
    there = leaves(parser_of("ea4mpm", remote=True))
    assert list(here) == list(there)
    connection = {"--panel", "-p", "--url", "--key"}
    for command, parser in here.items():
        options = set(parser._option_string_actions)
        assert options == set(there[command]._option_string_actions) - connection, command


@pytest.mark.parametrize("remote", [False, True])
def test_every_option_and_argument_of_every_command_has_a_line_of_help(remote: bool) -> None:
    bare = [
        (*command, action.dest)
        for command, parser in leaves(parser_of("ea4mpm", remote=remote)).items()
        for action in parser._actions
        if not action.help and action.choices is None
    ]
    assert bare == []


def test_what_only_the_panels_machine_can_do_is_marked_and_refused_elsewhere(ways: Ways) -> None:
    there = leaves(parser_of("ea4mpm", remote=True))
    only = [command for command, parser in there.items() if parser.get_default("panel_only")]
    assert ("recover",) in only
    assert ("user", "add") in only
    for arguments in (
        ["recover", "7"],
        ["verify"],
        ["user", "list"],
        ["export", "events"],
        ["server", "add", "web09"],
        ["plan", "event", "--profile", "x.json"],
    ):
        status, out, err = ways.over_rest(*arguments)
        assert (status, out, "on the panel's machine only" in err) == (2, "", True), err
        status, out, _ = ways.over_rest(*arguments, "--json")
        assert (status, json.loads(out)["code"]) == (2, "panel_only")
    assert not Server.objects.exists()
    assert "*" in parser_of("ea4mpm", remote=True).format_help()
    assert "*" not in parser_of("manage.py mpm", remote=False).format_help()
