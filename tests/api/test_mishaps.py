"""What a program reads when the panel itself is in trouble: never a page."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client

from mpm.models import Change
from mpm.servers.models import Server
from mpm.web.middleware import RequestIdFilter
from tests.api.conftest import AddToken, Call, Whm, refused

Query = Callable[..., Any]
AWAY = [
    OperationalError("server closed the connection: host=db.internal password=x"),
    InterfaceError("connection already closed"),
]


def failing(error: Exception, where: str = "") -> Query:
    """Every query that mentions ``where`` fails, as it does when a database goes away."""

    def run(execute: Query, sql: str, *rest: Any) -> Any:
        if where in sql:
            raise error
        return execute(sql, *rest)

    return run


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.body
    assert (answer.status, answer.type) == (status, "application/problem+json")
    assert (body["status"], body["code"], body["request_id"]) == (
        status,
        code,
        answer.headers["X-Request-Id"],
    )
    return body


@pytest.mark.parametrize("error", AWAY, ids=["operational", "interface"])
def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(
    server: Server, add_token: AddToken, call: Call, error: Exception
) -> None:
    token = add_token("change")
    for where in ("", "mpm_change"):
        with connection.execute_wrapper(failing(error, where)):
            answers = [
                call("GET", "servers", token=token),
                call(
                    "PUT", "servers/web03/mpm", {"mpm": "event"}, token=token, Idempotency_Key="k"
                ),
                call("GET", "changes", token=token),
            ]
        for answer in answers:
            body = problem(answer, 503, "unavailable")
            assert answer.headers["Retry-After"] == "2"
            assert "db.internal" not in json.dumps(body)
    assert not Change.objects.exists()
    again = call("PUT", "servers/web03/mpm", {"mpm": "event"}, token=token, Idempotency_Key="k")
    assert again.status == 202


def test_an_error_that_nobody_foresaw_is_told_to_the_log_and_not_to_the_caller(
    server: Server, add_token: AddToken, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    token = add_token("read")
    with connection.execute_wrapper(failing(ZeroDivisionError("only for the log"))):
        answer = call("GET", "servers", token=token)
    assert "only for the log" not in json.dumps(problem(answer, 500, "internal"))
    assert "only for the log" in caplog.text
    assert "Traceback" in caplog.text


def test_a_request_that_is_too_large_is_a_413(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("admin")
    large = {"mpm": "event", "reason": "x" * (3 * 1024 * 1024)}
    for method, path in (
        ("PUT", "servers/web03/mpm"),
        ("POST", "servers/web03/plans"),
        ("POST", "tokens"),
        ("POST", "webhooks"),
    ):
        assert (
            "2 MiB" in problem(call(method, path, large, token=token), 413, "too_large")["detail"]
        )
    assert not Change.objects.exists()


@pytest.mark.parametrize("error", AWAY, ids=["operational", "interface"])
def test_a_whm_client_reads_of_a_database_that_is_away_in_its_envelope(
    server: Server, whm: Whm, error: Exception
) -> None:
    with connection.execute_wrapper(failing(error, "mpm_token")):
        at_the_door = whm("servicestatus", service="httpd")
    with connection.execute_wrapper(failing(error, "easyapache_installedprofile")):
        within = whm("ea4_get_currently_installed_packages")
    for answer in (at_the_door, within):
        assert "didn't answer in time" in refused(answer)
        assert "db.internal" not in json.dumps(answer)


def test_a_whm_client_reads_of_an_error_in_its_envelope(
    server: Server, whm: Whm, client: Client, add_token: AddToken, caplog: pytest.LogCaptureFixture
) -> None:
    broken = failing(ZeroDivisionError("only for the log"), "easyapache_installedprofile")
    with connection.execute_wrapper(broken):
        answer = whm("ea4_get_currently_installed_packages")
        bridged = client.get(
            "/json-api/cpanel?cpanel_jsonapi_func=ea4_get_currently_installed_packages",
            headers={"Authorization": f"whm root:{add_token('read').text}"},
        ).json()
    assert "only for the log" not in refused(answer)
    assert "log" in bridged["cpanelresult"]["error"]
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR] * 2


def test_a_whm_request_that_is_too_large_is_refused(server: Server, whm: Whm) -> None:
    large = {"method": "POST", "install": "x" * (3 * 1024 * 1024)}
    assert "too large" in refused(whm("package_manager_submit_actions", **large))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("servers?bogus=1", "bogus"),
        ("servers/web03/mpm?wait=1", "wait"),
        ("changes?limit=1&reslut=failed", "reslut"),
        ("events?kinds=change.failed", "kinds"),
    ],
)
def test_a_query_parameter_that_does_not_exist_is_refused(
    server: Server, add_token: AddToken, call: Call, path: str, name: str
) -> None:
    body = problem(call("GET", path, token=add_token("read")), 422, "invalid")
    assert body["errors"][0]["parameter"] == name
    assert call("GET", path).status == 401


def test_changes_are_filtered_by_state(server: Server, add_token: AddToken, call: Call) -> None:
    token = add_token("change")
    call("PUT", "servers/web03/mpm", {"mpm": "event"}, token=token)
    found = [
        len(call("GET", f"changes?state={value}", token=token).body["items"])
        for value in ("active", "queued", "failed")
    ]
    assert found == [1, 1, 0]
    body = problem(call("GET", "changes?result=queued", token=token), 422, "invalid")
    assert body["errors"][0]["parameter"] == "result"
    assert "state" in body["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("text/plain", {}),
        ("application/xml", {}),
        ("application/x-www-form-urlencoded", {}),
        ("application/json", {"Content-Encoding": "gzip"}),
    ],
)
def test_a_body_that_is_not_json_is_a_415(
    server: Server, add_token: AddToken, client: Client, kind: str, more: dict[str, str]
) -> None:
    answer = client.put(
        "/api/v1/servers/web03/mpm",
        '{"mpm": "event"}',
        content_type=kind,
        headers={"Authorization": f"Bearer {add_token('change').text}", **more},
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert not Change.objects.exists()


def test_the_log_of_a_refused_request_carries_its_id(client: Client) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(str(record.__dict__["request_id"]))  # type: ignore[method-assign]
    handler.addFilter(RequestIdFilter())
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    try:
        client.get("/api/v1/servers", headers={"X-Request-Id": "find-me-4711"})
    finally:
        logger.removeHandler(handler)
    assert lines == ["find-me-4711"]
