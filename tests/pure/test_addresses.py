"""Addresses are compared as what they are, however they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from easyapache.agent.httpd.addresses import canonical, everywhere, own_addresses, reachable_at
from easyapache.agent.httpd.apache_config import VirtualHost, read_config
from easyapache.agent.httpd.sites import reachable


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("*", ""),
        ("_default_", ""),
        ("_DEFAULT_", ""),
        ("0.0.0.0", ""),  # noqa: S104 -- written, not bound
        ("::", "::"),
        ("[::]", "::"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("0::0", "::"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("web.example.com", "web.example.com"),
    ],
)
def test_every_spelling_of_an_address_is_the_same_address(written: str, meant: str) -> None:
    assert canonical(written) == meant
    assert everywhere(written) is (meant in ("", "::"))


def test_a_listener_on_all_addresses_is_asked_at_the_loopback_address_of_its_kind() -> None:
    assert [reachable_at(item) for item in ("", "*", "_default_")] == ["127.0.0.1"] * 3
    assert [reachable_at(item) for item in ("::", "0:0:0:0:0:0:0:0")] == ["::1"] * 2
    assert reachable_at("192.0.2.7") == "192.0.2.7"


def test_the_rehearsal_gives_its_loopback_device_the_servers_own_addresses_alone() -> None:
    listeners = ["", "::", "0:0:0:0:0:0:0:0", "127.0.0.1", "0::1", "192.0.2.7", "2001:DB8::1"]
    assert own_addresses([*listeners, "localhost"]) == ["192.0.2.7", "2001:db8::1"]
    assert own_addresses(["no such name"]) == []


def test_the_listen_lines_of_both_kinds_are_two_listeners(tmp_path: Path) -> None:
    main = tmp_path / "httpd.conf"
    main.write_text("Listen 0.0.0.0:80\nListen [::]:80\nListen [0:0:0:0:0:0:0:0]:80\n")
    assert read_config(tmp_path, main).listeners() == [("", 80), ("::", 80)]


def test_a_virtual_host_on_every_ipv6_address_is_reached_through_the_loopback_device() -> None:
    host = VirtualHost(("[::]:80",), "a.example", "", tls=False, index=(), proxied=False)
    assert reachable(host, [("::", 80)]) == [("::1", 80)]
    named = VirtualHost(("[2001:DB8::1]:80",), "a.example", "", tls=False, index=(), proxied=False)
    assert reachable(named, [("::", 80)]) == [("2001:db8::1", 80)]
