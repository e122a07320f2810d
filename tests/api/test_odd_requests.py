"""Requests as no documentation has them: each is told in one sentence what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from mpm.models import Change
from mpm.servers.models import Server
from tests.api.conftest import AddToken, Answered, Call

HERE = "http://testserver"
"""Before a path of two slashes, which would be a host otherwise."""
MPM = "/api/v1/servers/web03/mpm"
Send = Callable[..., Answered]


@pytest.fixture
def send(client: Client, server: Server, add_token: AddToken) -> Send:
    """``send(body, content_type)``: a PUT of the MPM, its body as it is."""
    token = add_token("change").text

    def do(body: bytes, kind: str = "application/json", **headers: str) -> Answered:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Authorization"] = f"Bearer {token}"
        return Answered(client.generic("PUT", MPM, body, content_type=kind, headers=sent))

    return do


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"mpm": "event", "mpm": "worker"}', "The body has the member 'mpm' twice."),
        (b'{"mpm": NaN}', "The body is not JSON: NaN is not a number there."),
        (b'{"mpm": -Infinity}', "The body is not JSON: -Infinity is not a number there."),
        (b'{"mpm": "event",\n "itk"}', "The body is not JSON: see line 2, column 7."),
        (b'{"mpm": "event"} x', "The body is not JSON: see line 1, column 18."),
        (b'{"reason": "\xe9"}', "The body is not UTF-8: see byte 13."),
        ('{"mpm": "event"}'.encode("utf-16"), "The body is not UTF-8: see byte 1."),
        (b'{"mpm": ' + b"9" * 5000 + b"}", "The body has a number that is too long."),
        (b"[" * 100_000, "The body is nested too deeply."),
    ],
    ids=["twice", "nan", "infinity", "broken", "more", "latin", "utf-16", "digits", "deep"],
)
def test_a_body_that_is_not_json_is_told_where_and_why(
    send: Send, body: bytes, detail: str
) -> None:
    answer = send(body)
    assert (answer.status, answer.body["code"]) == (400, "bad_json")
    assert answer.body["detail"] == detail
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("wish", "detail"),
    [
        ([], "The body must be a JSON object."),
        ("event", "The body must be a JSON object."),
        ({"mpm": "evnt"}, "mpm: must be 'event', 'worker' or 'prefork'"),
        ({}, "mpm: is required"),
        ({"mpm": "event", "raeson": "x"}, "raeson: is unknown"),
        ({"mpm": "event", "dry_run": 1}, "dry_run: must be true or false"),
        ({"mpm": "event", "reason": 5}, "reason: must be text"),
        ({"mpm": "event", "reason": "x" * 501}, "reason: must have at most 500 characters"),
        ({"mpm": "event", "add": {}}, "add: must be a list"),
        (
            {"mpm": "event", "add": ["ea-../x"]},
            "add/0: must be the name of a package of EasyApache 4, as ea-apache24-mod_ssl",
        ),
        (
            {"mpm": "event", "ticket": "a\0b"},
            "ticket: must be one line of text, without control characters",
        ),
        (
            {"mpm": "event", "digest": "x"},
            "digest: must be a digest: 32 digits from 0 to 9 and a to f",
        ),
        ({"mpm": "event", "reason": "\ud800"}, "reason: has characters that aren't text"),
        (
            {"mpm": "event", "not_before": "2027-13-01T00:00:00Z"},
            (
                "not_before: must be a time with its zone, as 2026-03-03T21:00:00Z: month value is "
                "outside expected range of 1-12"
            ),
        ),
    ],
)
def test_a_wrong_value_is_told_what_it_must_be_in_words_of_no_library(
    send: Send, wish: Any, detail: str
) -> None:
    answer = send(json.dumps(wish).encode())
    assert (answer.status, answer.body["code"], answer.body["detail"]) == (422, "invalid", detail)


@pytest.mark.parametrize(
    "charset", ["utf-16", "iso-8859-1", "klingon", '"latin1"'], ids=["16", "1", "k", "quoted"]
)
def test_a_body_in_another_encoding_is_refused_by_its_type(send: Send, charset: str) -> None:
    answer = send(b'{"mpm": "event"}', f"application/json; charset={charset}")
    assert (answer.status, answer.body["detail"]) == (415, "Send the body in UTF-8.")
    for same in ("utf-8", "UTF-8", '"utf-8"'):
        fine = send(b'{"mpm": "event", "dry_run": true}', f"application/json; charset={same}")
        assert fine.status == 200, same


@pytest.mark.parametrize("header", ["If_Match", "Idempotency_Key"])
def test_a_header_that_makes_a_request_safe_is_not_ignored_where_it_is_empty(
    send: Send, header: str
) -> None:
    for empty in ("", " "):
        answer = send(b'{"mpm": "event"}', **{header: empty})
        name = header.replace("_", "-")
        said = "is empty: send its value, or leave the header out"
        assert (answer.status, answer.body["detail"]) == (422, f"{name}: {said}")
        assert answer.body["errors"] == [{"detail": said, "header": name}]
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    "query",
    ["limit=1&limit=2", "cursor=1&cursor=2", "server=web03&server=web04", "to=event&to=worker"],
)
def test_a_filter_that_is_sent_twice_is_refused_rather_than_half_ignored(
    server: Server, add_token: AddToken, call: Call, query: str
) -> None:
    answer = call("GET", f"changes?{query}", token=add_token("read"))
    name = query.partition("=")[0]
    assert (answer.status, answer.body["detail"]) == (422, f"{name}: Send it once.")
    assert answer.body["errors"] == [{"detail": "Send it once.", "parameter": name}]


@pytest.mark.parametrize("query", ["server=", "text=", "ticket=", "requested_by=", "state="])
def test_a_filter_whose_variable_was_not_set_does_not_answer_with_everything(
    server: Server, add_token: AddToken, call: Call, query: str
) -> None:
    answer = call("GET", f"changes?{query}", token=add_token("read"))
    name = query.partition("=")[0]
    assert (answer.status, answer.body["errors"][0]["parameter"]) == (422, name)
    assert call("GET", "changes?cursor=", token=add_token("read")).status == 200


def test_a_parameter_that_may_be_repeated_still_may(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("read")
    assert call("GET", "changes?state=failed&state=running,queued", token=token).status == 200


def test_a_doubled_slash_is_answered_in_the_format_of_the_client(
    client: Client, server: Server, add_token: AddToken
) -> None:
    token = add_token("read").text
    for path in ("//api/v1/servers", "/api//v1/servers", "/api/v1//servers", "//api"):
        answer = client.get(HERE + path, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (
            404,
            "application/problem+json",
        )
    assert "Replace the double slash" in client.get("/api/v1//servers").json()["detail"]
    for path in ("//json-api/version", "/json-api//version", "/cpsess9/json-api/version"):
        answer = client.get(HERE + path, headers={"Authorization": f"whm root:{token}"})
        assert (answer.status_code, list(answer.json())) == (200, ["version"]), path
    answer = client.get(f"{HERE}//xml-api/version", headers={"Host": "elsewhere.example.com"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "text/xml; charset=utf-8")


def test_a_fault_outside_of_a_view_has_the_format_of_whm_for_its_clients(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    client.raise_request_exception = False
    monkeypatch.setattr("django.middleware.security.SecurityMiddleware.process_request", breaks)
    new = client.get("/json-api/version?api.version=1")
    assert (new.status_code, new.json()["metadata"]["result"]) == (500, 0)
    old = client.get("/xml-api/version")
    assert (old.status_code, old.headers["Content-Type"]) == (500, "text/xml; charset=utf-8")


def test_a_json_body_of_whm_may_repeat_a_name_as_a_form_may(
    client: Client, server: Server, add_token: AddToken
) -> None:
    headers = {"Authorization": f"whm root:{add_token('change').text}"}
    event, cgid = "ea-apache24-mod_mpm_event", "ea-apache24-mod_cgid"
    body = f'{{"api.version": 1, "install": "{event}", "install": "{cgid}"}}'
    address = "/json-api/package_manager_submit_actions"
    answer = client.post(address, body, content_type="application/json", headers=headers)
    assert answer.json()["metadata"]["result"] == 1, answer.content
    assert Change.objects.get().to_mpm == "event"
    nan = client.post(address, '{"a": NaN}', content_type="application/json", headers=headers)
    assert "not JSON" in nan.json()["statusmsg"]


@pytest.mark.parametrize("path", ["/healthz", "/login/", "/api/docs", "/api/v1/openapi.json"])
def test_an_answer_to_head_has_the_length_of_the_body_and_no_body(
    client: Client, db: None, path: str
) -> None:
    """The server would send none, and write a warning for each."""
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert int(head.headers["Content-Length"]) > 0
