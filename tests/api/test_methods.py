"""What every address of the API does with a method, a body and a path it was not made for."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import Client

from mpm.models import Change
from mpm.servers.models import Server
from mpm.web.middleware import RequestIdFilter
from tests.api.conftest import AddServer, AddToken, Call

PATH = "servers/web03/mpm"


def test_head_answers_as_get_does_without_a_body(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    for path in ("servers", "servers/web03", PATH, "servers/web03/profile", "changes", "token"):
        whole, head = call("GET", path, token=token), call("HEAD", path, token=token)
        assert (head.status, head.content) == (200, b""), path
        assert head.headers["Content-Length"] == str(len(whole.content)), path
        for name in ("Content-Type", "ETag", "RateLimit-Policy"):
            assert head.headers.get(name) == whole.headers.get(name), path
    assert call("HEAD", PATH).status == 401
    assert call("HEAD", "servers/nowhere", token=token).status == 404
    assert call("HEAD", "openapi.json").status == 200
    assert Change.objects.count() == 0


def test_another_method_is_refused_with_the_ones_there_are(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("admin")
    for method, path, allowed in (
        ("PATCH", PATH, "GET, HEAD, PUT"),
        ("DELETE", "servers", "GET, HEAD"),
        ("HEAD", "servers/web03/plans", "POST"),
    ):
        refused = call(method, path, token=token)
        assert (refused.status, refused.headers["Allow"]) == (405, allowed)
        assert refused.type == "application/problem+json"
    asked = call("OPTIONS", PATH)
    assert (asked.status, asked.headers["Allow"]) == (204, "GET, HEAD, PUT, OPTIONS")
    assert "Content-Type" not in asked.headers, "there is no body that could be of a type"


@pytest.mark.parametrize(
    ("path", "slash"),
    [
        ("/api/v1/servers/", True),
        ("/api/v1/changes/1/log/", True),
        ("/api/v1/openapi.json/", True),
        ("/api/v1", False),
        ("/api/v1/", False),
        ("/api/v1/docs/", False),
        ("/api/v1/changes/one/nothing/", False),
        ("/api/v2/servers", False),
        ("/api/", False),
        ("/api/nothing/", False),
    ],
)
def test_nothing_below_the_api_is_ever_answered_by_a_page(
    client: Client, path: str, slash: bool
) -> None:
    """And whoever is told to remove a slash finds something there without it."""
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    said = answer.json()["detail"]
    assert ("slash" in said) == slash
    assert client.get(path.rstrip("/")).status_code != 404 or not slash
    assert client.get("/api/docs/").headers["Location"] == "/api/docs"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/xml"}, 415),
        ({"content_type": "application/json", "HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ({"content_type": "application/json", "HTTP_TRANSFER_ENCODING": "chunked"}, 411),
        ({"content_type": "application/json; charset=utf-8"}, 200),
        ({"content_type": "application/merge-patch+json"}, 200),
    ],
)
def test_a_body_is_json_and_nothing_else(
    client: Client, server: Server, add_token: AddToken, headers: dict[str, Any], status: int
) -> None:
    answer = client.generic(
        "PUT",
        f"/api/v1/{PATH}",
        '{"mpm": "event", "dry_run": true}',
        HTTP_AUTHORIZATION=f"Bearer {add_token('change').text}",
        **headers,
    )
    assert answer.status_code == status, answer.content


def test_each_wrong_value_is_named_by_a_pointer_a_parameter_or_a_header(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("admin")

    def errors(method: str, path: str, body: Any = None, **headers: str) -> list[Any]:
        refused = call(method, path, body, token=token, **headers)
        assert (refused.status, refused.body["code"]) == (422, "invalid"), refused.body
        assert "body.body" not in str(refused.body)
        assert "Value error" not in str(refused.body)
        return list(refused.body["errors"])

    [wrong] = errors("PUT", PATH, {"mpm": "itk"})
    assert wrong["pointer"] == "#/mpm"
    [unknown] = errors("PUT", PATH, {"mpm": "event", "a/b~c": 1})
    assert unknown["pointer"] == "#/a~1b~0c"
    [third] = errors("PUT", PATH, {"mpm": "event", "add": ["ea-a", "ea-b", "no"]})
    assert third["pointer"] == "#/add/2"
    assert errors("PUT", PATH) == [{"detail": "A body is required.", "pointer": "#"}]
    [moment] = errors("GET", "changes?since=2026-03-03T21:00:00+01:00")
    assert moment["parameter"] == "since"
    assert "write + as %2B" in moment["detail"]
    [bare] = errors("GET", "changes?since=2026-03-03T21:00:00")
    assert bare["detail"] == "must be a time with its zone, as 2026-03-03T21:00:00Z"
    assert call("GET", "changes?since=2026-03-03T21:00:00%2B01:00", token=token).status == 200
    [key] = errors("PUT", PATH, {"mpm": "event"}, Idempotency_Key="k" * 256)
    assert key["header"] == "Idempotency-Key"
    [cursor] = errors("GET", "changes?cursor=nonsense")
    assert cursor == {
        "detail": "isn't a cursor of this list: send `next` of the last answer",
        "parameter": "cursor",
    }


def test_what_a_token_cannot_be_given_is_named_as_anything_else_that_is_wrong(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server("web03")
    admin, narrow = add_token("admin"), add_token("admin", servers=["web03"])
    wish = {"name": "x", "scopes": ["read"]}
    for token, wrong, code in (
        (admin, {"servers": ["nowhere"]}, "unknown_server"),
        (narrow, {"servers": ["nowhere"]}, "unknown_server"),
        (admin, {"networks": ["nowhere"]}, "invalid"),
        (admin, {"expires_at": "2020-01-01T00:00:00Z"}, "invalid"),
    ):
        refused = call("POST", "tokens", {**wish, **wrong}, token=token)
        assert (refused.status, refused.body["code"]) == (422, code)
        assert refused.body["errors"][0]["pointer"] == f"#/{next(iter(wrong))}"


def test_a_value_that_a_service_refuses_is_pointed_at_as_well(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("admin")
    hook = {"name": "x", "url": "https://8.8.8.8/"}
    now, late = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
    for method, path, body, code, field in (
        ("PUT", PATH, {"mpm": "event", "not_after": now}, "empty_window", "not_after"),
        ("PUT", PATH, {"mpm": "event", "not_before": late}, "far_window", "not_before"),
        ("PUT", PATH, {"mpm": "event", "not_before": now}, "past_window", "not_before"),
        ("PUT", PATH, {"mpm": "event", "reason": "\u202e"}, "reason_control_characters", "reason"),
        ("POST", "webhooks", {**hook, "url": "http://127.0.0.1/"}, "bad_destination", "url"),
        ("POST", "webhooks", {**hook, "kinds": ["bogus"]}, "unknown_kind", "kinds"),
        ("POST", "webhooks", {**hook, "servers": ["nosuch"]}, "unknown_server", "servers"),
        ("POST", "webhooks", {**hook, "name": " "}, "invalid", "name"),
    ):
        refused = call(method, path, body, token=token)
        assert (refused.status, refused.body["code"]) == (422, code), refused.body
        [error] = refused.body["errors"]
        assert (error["pointer"], bool(error["detail"])) == (f"#/{field}", True)


def test_an_address_cannot_be_taken_from_a_webhook_by_null(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin = add_token("admin")
    made = call("POST", "webhooks", {"name": "x", "url": "https://8.8.8.8/"}, token=admin).body
    path = f"webhooks/{made['id']}"
    refused = call("PATCH", path, {"url": None}, token=admin)
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "#/url")
    moved = call("PATCH", path, {"url": "https://8.8.4.4/hook"}, token=admin)
    assert (moved.status, moved.body["url"]) == (200, "https://8.8.4.4/hook")
    assert moved.body["name"] == "x"
    assert call("PATCH", path, {}, token=admin).body == moved.body


def test_the_id_of_a_request_is_in_the_log(
    server: Server, add_token: AddToken, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """Django writes the line after the request has left the middleware that gave it the id."""
    caplog.handler.addFilter(RequestIdFilter())
    with caplog.at_level(logging.WARNING, "django.request"):
        call("GET", "servers/nowhere", token=add_token("read"), X_Request_Id="find-me-42")
    assert {record.request_id for record in caplog.records} == {"find-me-42"}  # type: ignore[attr-defined]


def test_what_never_reaches_a_view_is_a_problem_too(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = client.get("/api/v1/servers", headers={"Host": "elsewhere.example.com"})
    assert (strange.status_code, strange.headers["Content-Type"]) == (
        400,
        "application/problem+json",
    )
    assert "ALLOWED_HOSTS" in strange.json()["detail"]

    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    client.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr("django.middleware.security.SecurityMiddleware.process_request", breaks)
        broken = client.get("/api/v1/servers")
        page = client.get("/login/")
    assert (broken.status_code, broken.json()["code"]) == (500, "internal")
    assert (page.status_code, page.headers["Content-Type"][:9]) == (500, "text/html")
