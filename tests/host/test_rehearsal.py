"""The dress rehearsal finds what ``httpd -t`` does not, and touches nothing."""

from __future__ import annotations

import os
import re
import socket
from typing import Any

import pytest

from easyapache.agent.httpd.listeners import ways_in
from easyapache.agent.httpd.processes import children_of
from easyapache.agent.httpd.verification import listener_checks
from easyapache.agent.server import HostError
from easyapache.ea4.profile import Transaction
from lab.apache import processes_of
from tests.host.conftest import Manage
from tests.host.managed import Managed
from tests.host.visitors import port_of


def rehearse(managed: Managed, mpm: str, transaction: Transaction, *, itk: bool = False) -> None:
    kit = managed.kit(transaction)
    managed.server.rehearse(transaction, mpm, itk, kit.folder.parent / "rehearsal", managed.log)


@pytest.mark.parametrize("mpm", ["event", "worker"])
def test_a_sound_change_starts_and_answers(managed: Managed, mpm: str) -> None:
    _, transaction = managed.plan(mpm)
    before = managed.server.inspect()
    rehearse(managed, mpm, transaction)
    assert f"it started as {mpm} and answered" in managed.text
    assert managed.server.inspect().digest == before.digest


@pytest.mark.parametrize("written", ["::", "0:0:0:0:0:0:0:0", "::1"])
def test_a_listener_on_ipv6_addresses_is_asked_at_one_of_them(
    managed: Managed, written: str
) -> None:
    """Beside ``Listen 0.0.0.0:80``, as cPanel writes it where IPv6 is on."""
    port, main = port_of(managed), managed.real.httpd.main_config
    both = f"Listen 0.0.0.0:{port}\nListen [{written}]:{port}\n"
    main.write_text(main.read_text().replace(f"Listen 127.0.0.1:{port}\n", both))
    _, transaction = managed.plan("event")
    rehearse(managed, "event", transaction)
    assert f"::1:{port}" in managed.text.partition("answered on")[2]


def test_a_listener_on_all_ipv6_addresses_alone_is_verified_at_one_of_them(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built with --disable-v4-mapped, httpd refuses IPv4 there."""
    port, main = port_of(managed), managed.real.httpd.main_config
    main.write_text(main.read_text().replace(f"127.0.0.1:{port}", f"[::]:{port}"))
    managed.server.restart("graceful-stop", managed.log)
    asked: list[tuple[str, int]] = []
    connect = socket.create_connection

    def noted(place: tuple[str, int], *rest: Any, **more: Any) -> socket.socket:
        asked.append(place)
        return connect(place, *rest, **more)

    monkeypatch.setattr(socket, "create_connection", noted)
    before = managed.real.httpd.held()
    checks = listener_checks(managed.real.httpd, before)
    assert [check.seen for check in checks if not check.ok] == []
    assert ("::1", port) in asked
    assert ("127.0.0.1", port) not in asked


def test_tls_that_is_spoken_at_one_address_of_a_port_is_not_expected_at_another(
    managed: Managed,
) -> None:
    """A virtual host with SSLEngine is for its own addresses; elsewhere the port is plain."""
    port = port_of(managed, tls=True)
    extra = managed.config.server_root / "conf.d/six.conf"
    extra.write_text(f"Listen [::1]:{port}\n")
    managed.server.restart("graceful-stop", managed.log)
    ways = ways_in(managed.real.httpd.read(), managed.real.httpd.listeners())
    assert ("127.0.0.1", port, True) in ways
    assert ("::1", port, False) in ways
    _, transaction = managed.plan("event")
    rehearse(managed, "event", transaction)
    assert f"::1:{port}" in managed.text.partition("answered on")[2]


def test_itk_is_rehearsed_with_itk(managed: Managed) -> None:
    _, transaction = managed.plan("prefork", itk=True)
    rehearse(managed, "prefork", transaction, itk=True)
    assert "prefork with ITK" in managed.text


def test_itk_under_a_threaded_mpm_passes_the_test_and_not_the_rehearsal(
    make_managed: Manage,
) -> None:
    managed = make_managed("mpm_itk")
    prefork = {"ea-apache24-mod_mpm_prefork", "ea-apache24-mod_cgi"}
    _, transaction = managed.plan("event")
    keeping = Transaction(
        transaction.install, tuple(p for p in transaction.remove if p.name in prefork)
    )
    with pytest.raises(HostError) as refused:
        rehearse(managed, "event", keeping)
    assert "cannot use threaded MPMs" in refused.value.message


def test_dso_php_under_event_is_found(make_managed: Manage) -> None:
    managed = make_managed("minimal", extra=("ea-php74-php",))
    _, transaction = managed.plan("event")
    keeping = Transaction(
        transaction.install, tuple(p for p in transaction.remove if "php" not in p.name)
    )
    with pytest.raises(HostError) as refused:
        rehearse(managed, "event", keeping)
    assert "not compiled to be threadsafe" in refused.value.message


def test_a_directive_that_only_prefork_knows_is_found(managed: Managed) -> None:
    (managed.config.server_root / "conf.d/tuning.conf").write_text("MinSpareServers 7\n")
    _, transaction = managed.plan("event")
    with pytest.raises(HostError) as refused:
        rehearse(managed, "event", transaction)
    assert "MinSpareServers" in refused.value.message


def test_a_module_that_is_missing_is_found(managed: Managed) -> None:
    _, transaction = managed.plan("event")
    without = Transaction(
        tuple(p for p in transaction.install if "mpm" not in p.name), transaction.remove
    )
    with pytest.raises(HostError) as refused:
        rehearse(managed, "event", without)
    assert "No MPM loaded" in refused.value.message


def test_what_is_no_plain_file_in_the_server_root_is_no_obstacle(managed: Managed) -> None:
    """A pipe, a socket, links that lead nowhere or in a circle, and a dump of gigabytes."""
    conf = managed.config.server_root / "conf"
    os.mkfifo(conf / "pipe")
    (conf / "nowhere").symlink_to("none")
    (conf / "one").symlink_to("two")
    (conf / "two").symlink_to("one")
    (conf / "circle").symlink_to(".")
    (conf / "core.1").open("wb").truncate(8 << 40)
    _, transaction = managed.plan("event")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(conf / "socket"))
        rehearse(managed, "event", transaction)
    assert "it started as event" in managed.text


@pytest.mark.parametrize("absolute", [False, True])
def test_modules_in_a_folder_elsewhere_are_exchanged_in_the_copy_only(
    managed: Managed, absolute: bool
) -> None:
    folder, elsewhere = managed.config.server_root / "conf.modules.d", managed.config.root / "srv/m"
    elsewhere.parent.mkdir(exist_ok=True)
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere if absolute else os.path.relpath(elsewhere, folder.parent))
    before = {path.name: path.read_bytes() for path in elsewhere.iterdir()}
    _, transaction = managed.plan("event")
    rehearse(managed, "event", transaction)
    assert "it started as event" in managed.text
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == before
    assert "foreign_mpm_files" not in managed.server.inspect().facts


def test_a_file_that_is_included_by_a_link_is_read_in_the_copy(managed: Managed) -> None:
    """Relative to its own folder, or by another name of the ServerRoot, as /usr/local/apache."""
    root = managed.config.root
    (root / "srv").mkdir(exist_ok=True)
    (root / "srv/own.conf").write_text("<IfModule prefork.c>\nMinSpareServers 3\n</IfModule>\n")
    (managed.config.server_root / "conf.d/own.conf").symlink_to("../../../srv/own.conf")
    (root / "srv/apache").symlink_to("../etc/apache2")
    main = managed.real.httpd.main_config
    text, count = re.subn(
        r"(?m)^(Include(?:Optional)? \"?)\S*?conf\.modules\.d",
        rf"\1{root}/srv/apache/conf.modules.d",
        main.read_text(),
    )
    assert count == 1
    main.write_text(text)
    _, transaction = managed.plan("event")
    rehearse(managed, "event", transaction)
    assert "it started as event" in managed.text


def test_a_refusal_names_the_file_itself_and_not_its_copy(managed: Managed) -> None:
    (managed.config.server_root / "conf.d/z.conf").write_text(
        "<IfModule mpm_event_module>\nAsyncRequestWorkerFactor 0\n</IfModule>\n"
    )
    _, transaction = managed.plan("event")
    with pytest.raises(HostError) as refused:
        rehearse(managed, "event", transaction)
    assert "line 2 of /etc/apache2/conf.d/z.conf" in refused.value.message
    assert "rehearsal" not in refused.value.output


def test_nothing_is_left_behind(managed: Managed) -> None:
    assert managed.lab is not None
    _, transaction = managed.plan("event")
    before = set(processes_of(managed.lab.root))
    rehearse(managed, "event", transaction)
    parent = managed.real.httpd.parent()
    assert parent is not None
    assert set(processes_of(managed.lab.root)) <= before | set(children_of(parent.pid))
    assert not list(managed.config.spool.rglob("rehearsal/*"))


def test_without_the_rights_for_a_namespace_it_starts_on_other_ports(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easyapache.agent.httpd.rehearsal._UNSHARE", ("/bin/false",))
    _, transaction = managed.plan("event")
    rehearse(managed, "event", transaction)
    assert "loopback ports" in managed.text
    assert "it started as event" in managed.text
