"""What systemd hears of a process, and where nobody listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from easyapache import sd_notify
from tests.places import short_folder


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with (
        short_folder() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        listening.bind(str(folder / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        yield listening


def test_systemd_hears_that_a_process_is_ready_and_why(systemd: socket.socket) -> None:
    assert sd_notify.ready("Takes messages.")
    assert systemd.recv(200) == b"READY=1\nSTATUS=Takes messages."


def test_systemd_hears_that_a_process_works(systemd: socket.socket) -> None:
    assert sd_notify.watched()
    assert sd_notify.at_work()
    assert systemd.recv(200) == b"WATCHDOG=1"


def test_an_abstract_address_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # the kernel chooses an abstract name
        name = listening.getsockname()
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name[1:].decode()}")
        assert sd_notify.notify("READY=1")
        assert listening.recv(50) == b"READY=1"


@pytest.mark.parametrize("address", ["", "nonsense", "/nowhere/at/all"])
def test_where_nobody_listens_a_process_goes_on(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert sd_notify.ready() is False
