"""Servers for the tests of the drivers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from easyapache.agent.config import HostConfig
from easyapache.agent.simulated.server import SimulatedServer
from easyapache.agent.simulated.state import create_state
from lab.server import Lab
from tests.host.managed import Managed, manage
from tests.host.standin import StandIn
from tests.labs import MakeLab

Manage = Callable[..., Managed]


@pytest.fixture
def make_managed(make_lab: MakeLab) -> Manage:
    """A running lab behind the real drivers; arguments as for ``make_lab``."""

    def make(stock: str = "minimal", **how: Any) -> Managed:
        return manage(make_lab(stock, **how).up())

    return make


@pytest.fixture
def managed(lab: Lab) -> Managed:
    return manage(lab)


@pytest.fixture(params=["lab", "simulated"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Managed:
    """The same server behind either driver: EasyApache 4's default profile."""
    if request.param == "lab":
        make_lab: MakeLab = request.getfixturevalue("make_lab")
        return manage(make_lab("default").up())
    state = tmp_path / "server.json"
    create_state(state)
    config = HostConfig(
        server="sim", spool=tmp_path / "spool", driver="simulated", simulated_state=state
    )
    config.spool.mkdir()
    return Managed(SimulatedServer(state), config)


@pytest.fixture
def systemd(managed: Managed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """httpd as a service: of a systemctl that counts and refuses as systemd's does."""
    stand_in = StandIn(tmp_path / "systemd", managed)
    environment = managed.real.runner.environment
    monkeypatch.setitem(environment, "PATH", f"{stand_in.tools}:{environment['PATH']}")
    monkeypatch.setattr("easyapache.agent.httpd.httpd.Httpd._by_unit", lambda _: True)
    yield stand_in
    managed.real.runner.capture(["systemctl", "stop", "httpd.service"])
    stand_in.sweep()
