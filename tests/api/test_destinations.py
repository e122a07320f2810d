"""Where a webhook never goes: into the panel's own network, in whatever disguise."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from mpm.access.services.actor import BadRequest
from mpm.models import Delivery, Webhook
from mpm.notify import webhooks
from mpm.notify.ssrf import BadDestination, allowed, destination
from mpm.servers.models import Server
from tests.api.conftest import ADMIN, AddToken, Call
from tests.api.receiver import listening
from tests.api.test_webhooks import LOOPBACK, hook

INSIDE = (
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0/",
    "http://0.0.0.0/",
    "http://localhost/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a00:1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[ff02::1]/",
    "http://[fec0::1]/",
    "http://[3fff::1]/",
    "http://[5f00::1]/",
    "http://[100::1]/",
    "http://[::8.8.8.8]/",
    "http://[64:ff9b:1::808:808]/",
    "http://[2001:db8::1]/",
    "http://[2001:20::1]/",
    "http://192.0.0.9/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
)
UNREADABLE = (
    "ftp://example.net/",
    "file:///etc/passwd",
    "//example.net/",
    "https://",
    "https://user:secret@example.net/",
    "https://example.net:0/",
    "https://example.net:99999/",
    "https://example.net/#part",
    "https://example.net/ two",
    "https://exämple.net/",
    "https://example.net/" + "a" * 500,
)


@pytest.mark.parametrize("url", [*INSIDE, *UNREADABLE])
def test_an_address_inside_or_unreadable_is_refused(db: None, url: str) -> None:
    with pytest.raises(BadRequest) as refused:
        hook(url)
    assert refused.value.code == "bad_destination"
    assert not Webhook.objects.exists()


def test_it_is_refused_by_rest_too_and_when_altered(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin = add_token("admin")
    bad = {"name": "x", "url": "http://169.254.169.254/"}
    assert call("POST", "webhooks", bad, token=admin).body["code"] == "bad_destination"
    made = call("POST", "webhooks", {"name": "x", "url": "https://8.8.8.8/"}, token=admin)
    assert made.status == 201
    path = f"webhooks/{made.body['id']}"
    assert call("PATCH", path, {"url": bad["url"]}, token=admin).status == 422
    assert call("GET", path, token=admin).body["url"] == "https://8.8.8.8/"


def test_one_bad_address_of_a_name_is_enough_to_refuse_it() -> None:
    def both(_host: str, _port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(BadDestination):
        destination("https://both.example/", [], both)
    assert destination("https://both.example/", ["10.0.0.0/8"], both).address == "93.184.216.34"


def test_a_name_is_resolved_once_and_the_judged_address_is_connected_to() -> None:
    """Rebinding: the second answer of the name is never asked for."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    to = destination("https://rebind.example/x?y=1", [], lambda _host, _port: next(answers))
    assert to.url == "https://93.184.216.34:443/x?y=1"
    assert (to.host, to.host_header) == ("rebind.example", "rebind.example")


def test_an_address_that_moved_inside_after_it_was_added_is_refused_when_sending(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as receiver:
        where = ["93.184.216.34"]

        def names(_host: str, port: int, **_options: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (where[0], port))]

        monkeypatch.setattr(socket, "getaddrinfo", names)
        delivery = webhooks.send_test(hook(f"http://rebind.example:{receiver.port}/"), ADMIN)
        where[0] = "127.0.0.1"
        webhooks.deliver_due(timezone.now())
    delivery.refresh_from_db()
    assert receiver.received == []
    assert "private or reserved" in delivery.log[-1]["error"]


@LOOPBACK
def test_the_proxy_of_the_environment_is_not_used(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with listening() as receiver:
        delivery = webhooks.send_test(hook(receiver.url), ADMIN)
        webhooks.deliver_due(timezone.now())
    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.DELIVERED


@given(st.ip_addresses(v=6))
def test_only_the_part_of_ipv6_that_is_given_out_is_public(address: Any) -> None:
    if allowed(str(address), []):
        assert str(address)[0] in "23"
        assert address.is_global


def test_public_addresses_are_allowed() -> None:
    for address in ("8.8.8.8", "93.184.216.34", "2606:4700::1", "2a00:1450:4001::8a"):
        assert allowed(address, []), address


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_in_every_disguise(address: Any) -> None:
    plain = allowed(str(address), [])
    for disguise in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert not allowed(disguise, []) or plain
    if plain:
        assert address.is_global
    assert allowed(f"::ffff:{address}", [f"{address}/32"])


def test_no_address_is_told_by_the_refusal() -> None:
    with pytest.raises(BadDestination) as refused:
        destination("https://inner.example/", [], lambda _host, _port: ["10.9.8.7"])
    assert "10.9.8.7" not in str(refused.value)
