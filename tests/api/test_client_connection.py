"""How ``ea4mpm`` asks: what it repeats, what it never does, and how often."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from io import StringIO
from typing import Any

import httpx
import pytest
from rich.console import Console

from mpm.cli.commands.connection import Connection, Panel
from mpm.cli.commands.definition import parser_of
from mpm.cli.commands.following import follow, picture
from mpm.cli.commands.running import Program, Run
from mpm.cli.commands.statuses import Refused, Unreachable

Answer = httpx.Response | type[httpx.TransportError]
LOG = {"X-Log-Next": "0", "X-Log-Ended": "false"}


class Remote:
    """A panel that gives these answers one after the other, the last one from then on."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.Response):
            return answer
        raise answer("it broke", request=request)

    def connect(self) -> Connection:
        panel = Panel("http://panel.example", "ea4mpm_x")
        return Connection(panel, transport=httpx.MockTransport(self))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, without making them."""
    made: list[float] = []
    monkeypatch.setattr("time.sleep", made.append)
    return made


def ok(body: Any = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(200, json=body if body is not None else {}, headers=named)


ONCE: list[Callable[[Connection], Any]] = [
    lambda panel: panel.post("tokens", {"name": "x"}),
    lambda panel: panel.post("tokens/abc/rotate", {}),
    lambda panel: panel.plan_of_server("web03", {}, 1),
]
AGAIN: list[Callable[[Connection], Any]] = [
    lambda panel: panel.get("servers"),
    lambda panel: panel.plan("web03", {"mpm": "event"}),
    lambda panel: panel.switch("web03", {"mpm": "event"}),
    lambda panel: panel.roll_back("7", {}),
    lambda panel: panel.cancel("7"),
    lambda panel: panel.request("DELETE", "tokens/abc"),
]
BROKEN: list[Answer] = [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError]


@pytest.mark.parametrize("error", BROKEN)
@pytest.mark.parametrize("ask", ONCE)
def test_what_would_be_done_twice_is_never_repeated_into_the_dark(
    pauses: list[float], ask: Callable[[Connection], Any], error: Answer
) -> None:
    remote = Remote(error)
    with remote.connect() as panel, pytest.raises(Unreachable, match="may have been carried out"):
        ask(panel)
    assert (len(remote.asked), pauses) == (1, [])
    gateway = Remote(httpx.Response(504, text="<html>"))
    with gateway.connect() as panel, pytest.raises(Unreachable):
        ask(panel)
    assert len(gateway.asked) == 1


@pytest.mark.parametrize("ask", ONCE)
def test_what_the_panel_cannot_have_received_is_asked_again(
    pauses: list[float], ask: Callable[[Connection], Any]
) -> None:
    busy = httpx.Response(503, json={"code": "unavailable"}, headers={"Retry-After": "2"})
    remote = Remote(httpx.ConnectError, httpx.ConnectTimeout, busy, ok({"digest": "x"}))
    with remote.connect() as panel:
        ask(panel)
    assert len(remote.asked) == 4
    assert pauses[-1] == 2.0


@pytest.mark.parametrize("ask", AGAIN)
def test_what_is_done_once_however_often_it_is_asked_is_asked_again(
    pauses: list[float], ask: Callable[[Connection], Any]
) -> None:
    remote = Remote(httpx.ReadTimeout, httpx.Response(502, text="<html>"), ok())
    with remote.connect() as panel:
        ask(panel)
    assert len(remote.asked) == 3
    assert len(pauses) == 2
    keys = {request.headers.get("Idempotency-Key") for request in remote.asked}
    assert len(keys) == 1
    with Remote(httpx.ReadTimeout).connect() as panel, pytest.raises(Unreachable):
        ask(panel)


def test_a_refusal_is_not_repeated_and_a_throttle_only_a_few_times(pauses: list[float]) -> None:
    no = Remote(httpx.Response(422, json={"code": "blocked", "detail": "No."}))
    with no.connect() as panel, pytest.raises(Refused, match=r"No\."):
        panel.get("servers")
    assert (len(no.asked), pauses) == (1, [])
    slow = Remote(httpx.Response(429, json={"code": "throttled"}, headers={"Retry-After": "9999"}))
    with slow.connect() as panel, pytest.raises(Refused):
        panel.get("servers")
    assert (len(slow.asked), max(pauses)) == (5, 60.0)


def test_a_long_poll_that_does_not_wait_is_followed_by_a_pause(pauses: list[float]) -> None:
    piece = httpx.Response(200, content=b"one\n", headers={**LOG, "X-Log-Next": "4"})
    end = httpx.Response(200, content=b"", headers={"X-Log-Next": "4", "X-Log-Ended": "true"})
    nothing = httpx.Response(200, content=b"", headers=LOG)
    remote = Remote(nothing, nothing, piece, nothing, end)
    with remote.connect() as panel:
        assert list(panel.log("7", follow=True)) == [b"one\n"]
    assert pauses == [1.0, 1.0, 1.0]
    assert [request.url.params["offset"] for request in remote.asked] == ["0", "0", "0", "4", "0"]
    pending = ok({"href": "/api/v1/servers/web03/plans/abc", "state": "pending"})
    waiting = Remote(pending, pending, pending, ok({"digest": "x"}))
    pauses.clear()
    with waiting.connect() as panel:
        assert panel.plan_of_server("web03", {}, 30) == {"digest": "x"}
    assert [request.url.path for request in waiting.asked[1:]] == [
        "/api/v1/servers/web03/plans/abc"
    ] * 3
    assert pauses == [1.0, 1.0, 1.0]


def test_a_log_that_is_none_and_names_that_lead_elsewhere(pauses: list[float]) -> None:
    with Remote(ok()).connect() as panel, pytest.raises(Unreachable, match="X-Log-Next"):
        list(panel.log("7", follow=True))
    remote = Remote(ok())
    with remote.connect() as panel:
        panel.switch("../tokens", {})
        panel.cancel("7/../../x?y#z")
    assert [request.url.raw_path for request in remote.asked] == [
        b"/api/v1/servers/..%2Ftokens/mpm",
        b"/api/v1/changes/7%2F..%2F..%2Fx%3Fy%23z/cancel",
    ]
    assert pauses == []


def test_a_page_of_a_proxy_is_named_and_not_printed(pauses: list[float]) -> None:
    page = httpx.Response(404, text="<!doctype html><p>x", headers={"Content-Type": "text/html"})
    with Remote(page).connect() as panel, pytest.raises(Unreachable) as refused:
        panel.get("servers")
    assert "(404 Not Found). Check its URL." in str(refused.value)
    moved = httpx.Response(302, headers={"Location": "https://panel.test/login/"})
    with Remote(moved).connect() as panel, pytest.raises(Unreachable, match="302 https://panel"):
        panel.get("servers")


def test_what_tls_refuses_is_said_at_once_and_in_words(pauses: list[float]) -> None:
    unsigned = ssl.SSLCertVerificationError(1, "certificate verify failed")
    unsigned.verify_message = "self-signed certificate"
    plain = ssl.SSLError(1, "wrong version number")
    plain.reason = "WRONG_VERSION_NUMBER"
    for cause, said in (
        (unsigned, "self-signed certificate. Set EA4MPM_CA to the certificate of its CA."),
        (plain, "it doesn't speak TLS. Check whether its URL begins with http://."),
    ):

        def refuse(_request: httpx.Request, cause: ssl.SSLError = cause) -> httpx.Response:
            raise httpx.ConnectError("[SSL]") from cause

        transport = httpx.MockTransport(refuse)
        with (
            Connection(Panel("https://panel.test", "x"), transport) as panel,
            pytest.raises(Unreachable) as refused,
        ):
            panel.get("servers")
        assert str(refused.value) == f"https://panel.test/api/v1/ can't be trusted: {said}"
    assert pauses == []


# -- the live display -----------------------------------------------------------------------


def step(name: str, status: str, detail: str = "") -> dict[str, str]:
    return {"step": name, "status": status, "detail": detail, "at": "2026-03-03T21:04:05Z"}


def moment(*steps: dict[str, str], state: str = "running") -> dict[str, Any]:
    return {
        "id": 7,
        "server": "web03",
        "state": state,
        "step": steps[-1]["step"] if steps else "",
        "finished": state != "running",
        "from": {"mpm": "prefork", "itk": True},
        "to": {"mpm": "event", "itk": False},
        "silent_since": None,
        "steps": list(steps),
    }


def drawn(body: dict[str, Any]) -> list[str]:
    console = Console(file=StringIO(), width=80, record=True)
    console.print(picture(body))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_the_picture_has_a_line_for_each_step_and_its_latest_state() -> None:
    assert drawn(moment())[0] == "#7 web03: prefork + ITK → event: Running"
    assert drawn(moment())[1].endswith(" Running")
    lines = drawn(
        moment(
            step("preflight", "started"),
            step("preflight", "done"),
            step("rehearsal", "skipped", "not asked for"),
            step("packages", "started", "2 of 4"),
        )
    )
    assert lines[1:3] == ["✓ preflight", "– rehearsal not asked for"]
    assert lines[3].endswith(" packages 2 of 4")
    assert lines[3][0] not in "✓✗–·"
    ended = drawn(moment(step("packages", "failed", "no room"), step("x", "odd"), state="failed"))
    assert ended[1:] == ["✗ packages no room", "· x"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_change_is_followed_live_and_in_lines(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    moments = [
        moment(),
        moment(step("preflight", "done")),
        moment(step("preflight", "done"), step("packages", "started")),
        moment(
            step("preflight", "done"),
            step("packages", "started"),
            step("packages", "done"),
            state="succeeded",
        ),
    ]
    remote = Remote(*(ok(body) for body in moments))
    out = StringIO()
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    options = parser_of("ea4mpm", remote=True).parse_args(["rollback", "6", "--wait"])
    run = Run(Program("ea4mpm", lambda _options: remote.connect()), options, out, StringIO())
    with run.panel:
        assert follow(run, "7") == moments[-1]
    assert len(pauses) == 3
    shown = out.getvalue()
    if terminal:
        assert "✓ packages" in shown
        assert "\x1b[" in shown
    else:
        assert shown.splitlines() == [
            "#7 web03: prefork + ITK → event: Running",
            "2026-03-03 21:04:05 UTC  preflight done",
            "2026-03-03 21:04:05 UTC  packages started",
            "2026-03-03 21:04:05 UTC  packages done",
        ]
