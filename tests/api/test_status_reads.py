"""What a read of a server's MPM costs, and that nothing is saved at the expense of its checks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from mpm.access.tokens import revoke
from mpm.models import Token
from mpm.servers.models import Server
from tests.api.conftest import ADMIN, AddServer, AddToken, Call

PATH = "servers/web03/mpm"
Queries = Callable[[int], Any]


def test_a_status_read_takes_one_query_with_its_token_check(
    server: Server, add_token: AddToken, call: Call, django_assert_num_queries: Queries
) -> None:
    token = add_token("read")
    first = call("GET", PATH, token=token)
    with django_assert_num_queries(1):
        again = call("GET", PATH, token=token)
    assert (again.status, again.content) == (200, first.content)
    with django_assert_num_queries(1):
        unchanged = call("GET", PATH, token=token, If_None_Match=first.headers["ETag"])
    assert unchanged.status == 304


def test_a_token_that_was_revoked_or_has_expired_reads_no_further_status(
    server: Server, add_token: AddToken, call: Call
) -> None:
    revoked, expired = add_token("read"), add_token("read")
    assert [call("GET", PATH, token=one).status for one in (revoked, expired)] == [200, 200]
    revoke(revoked.token, ADMIN)
    Token.objects.filter(pk=expired.token.pk).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    answers = [call("GET", PATH, token=one) for one in (revoked, expired)]
    assert [answer.status for answer in answers] == [401, 401]
    assert [answer.body["detail"].rpartition(" ")[2] for answer in answers] == [
        "revoked.",
        "expired.",
    ]


def test_a_status_out_of_reach_looks_like_that_of_no_server(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server("web03")
    token = add_token("read", servers=["web03"])
    add_server("web04")
    hidden, absent = (call("GET", f"servers/{name}/mpm", token=token) for name in ("web04", "web9"))
    assert (hidden.status, absent.status) == (404, 404)
    assert hidden.body["detail"].replace("web04", "web9") == absent.body["detail"]
    for odd in ("we%00b", "web%2F04", "%ED%A0%80", "w" * 200):
        assert call("GET", f"servers/{odd}/mpm", token=token).status == 404, odd


def test_a_program_gets_neither_a_cookie_nor_the_language_of_a_reader(
    server: Server, add_token: AddToken, client: Client, call: Call
) -> None:
    """A request in another language came before on the same thread."""
    plain = call("GET", PATH, token=add_token("read"))
    client.get("/login/", headers={"Accept-Language": "de"})
    token = add_token("read")
    german = call("GET", PATH, token=token, Accept_Language="de", Cookie="sessionid=x")
    assert german.content == plain.content
    for answer in (plain, german):
        assert {"Set-Cookie", "Content-Language"}.isdisjoint(answer.headers)
        assert "Cookie" not in answer.headers["Vary"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Content-Length"] == str(len(answer.content))
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_status_read_that_is_out_of_the_ordinary_is_answered_as_any_other_operation(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token, weak = add_token("read"), add_token("rollback")
    long = call("GET", PATH, token=token, If_None_Match='"' + "x" * 1000 + '"')
    assert (long.status, long.body["errors"][0]["header"]) == (422, "If-None-Match")
    assert call("GET", f"{PATH}?x=1", token=token).body["detail"] == "x: Unknown. It takes none."
    refused = call("GET", PATH)
    assert (refused.status, refused.body["code"]) == (401, "unauthorized")
    assert "WWW-Authenticate" in refused.headers
    head, whole = call("HEAD", PATH, token=token), call("GET", PATH, token=token)
    assert (head.status, head.headers["ETag"]) == (200, whole.headers["ETag"])
    assert call("POST", PATH, {}, token=token).headers["Allow"] == "GET, HEAD, PUT"
    assert call("PUT", PATH, {"mpm": "event"}, token=token).status == 403
    assert call("GET", PATH, token=weak).status == 200  # who may change may also look


@pytest.mark.parametrize("function", ["version", "ea4_get_currently_installed_packages", "nosuch"])
def test_a_call_with_and_without_a_session_in_its_address_has_one_answer(
    server: Server, add_token: AddToken, client: Client, function: str
) -> None:
    """The second goes past the middleware of pages, the first does not."""
    headers = {"Authorization": f"whm root:{add_token('read').text}"}
    address = f"json-api/{function}?api.version=1&server=web03"
    through, past = (
        client.get(f"{start}{address}", headers=headers) for start in ("/cpsess123/", "/")
    )
    assert (through.status_code, through.json()) == (past.status_code, past.json())
