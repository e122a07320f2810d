"""What visitors notice of each way to restart: whoever comes, whoever waits, whoever stays."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import pytest

from easyapache.agent.httpd.processes import children_of
from easyapache.agent.server import Interruption
from tests.host.conftest import Manage
from tests.host.hammer import hammering
from tests.host.managed import Managed
from tests.host.visitors import InFlight, Staying, assert_put_back, port_of


@pytest.mark.parametrize(
    ("stock", "mpm"), [("minimal", "event"), ("event", "prefork"), ("event", "worker")]
)
def test_an_overlap_refuses_nobody_and_finishes_requests_in_flight(
    make_managed: Manage, stock: str, mpm: str
) -> None:
    managed = make_managed(stock)
    goal, transaction = managed.plan(mpm)
    managed.kit(transaction)
    managed.packages(goal, transaction)
    with hammering(port_of(managed)) as hammer:
        slow = InFlight(managed)
        interruption = managed.server.restart("overlap", managed.log)
        slow.join()
    assert hammer.failed == 0, hammer.counts
    assert hammer.total > 30
    assert "finished" in slow.body
    assert (interruption.refused, interruption.reset) == (0, 0)
    assert_put_back()
    running = managed.server.inspect().running
    assert running is not None
    assert running.mpm == mpm


def scripts_behind_tls(managed: Managed) -> None:
    """The TLS site has no scripts of its own; an alias of the server is everybody's."""
    assert managed.lab is not None
    root = managed.lab.root
    drop_in = root / "etc/apache2/conf.d/scripts.conf"
    drop_in.write_text(f'ScriptAlias /cgi-bin/ "{root}/var/www/cgi-bin/"\n')
    managed.lab.down()
    managed.lab.up()


@pytest.mark.parametrize("stock", ["default", "event"])
def test_an_overlap_refuses_nobody_and_finishes_requests_in_flight_over_tls(
    make_managed: Manage, stock: str
) -> None:
    managed = make_managed(stock)
    scripts_behind_tls(managed)
    with hammering(port_of(managed, tls=True), tls=True, rate=80) as hammer:
        slow = InFlight(managed, tls=True)
        managed.server.restart("overlap", managed.log)
        slow.join()
    assert hammer.failed == 0, hammer.counts
    assert "finished" in slow.body


def test_scripts_answer_through_an_overlap_of_two_threaded_servers(make_managed: Manage) -> None:
    """Both have a mod_cgid daemon with a socket of its own."""
    managed = make_managed("event")
    slow = InFlight(managed)
    managed.server.restart("overlap", managed.log)
    again = InFlight(managed)
    slow.join()
    again.join()
    assert "finished" in slow.body
    assert "finished" in again.body


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("stock", ["default", "event", "worker"])
def test_connections_that_are_kept_open_are_never_cut(
    make_managed: Manage, stock: str, tls: bool
) -> None:
    """The old server answers what is on its way and says that it was the last answer; an idle
    connection it answers once more, or closes in good order before anything was asked. (Its
    processes go one after the other: whoever comes back at once may meet the next of them.)"""
    managed = make_managed(stock)
    old = children_of(int(managed.config.pid_file.read_text()))
    port = port_of(managed, tls=tls)
    visitors = [Staying(port, tls=tls, pause=pause) for pause in (0, 0, 0.02, 0.02, 0.6, 0.6)]
    time.sleep(0.7)
    managed.server.restart("overlap", managed.log)
    time.sleep(1.3)
    seen: Counter[str] = Counter()
    for visitor in visitors:
        seen += visitor.leave()
    assert seen["cut"] == seen["reset"] == seen["turned away"] == 0, seen
    assert seen["closed"] <= len(visitors) * len(old), seen
    assert seen["answered"] > 100
    assert seen["told"] + seen["closed"] >= len(visitors), seen


def test_a_graceful_stop_and_start_finishes_requests_in_flight(managed: Managed) -> None:
    slow = InFlight(managed)
    interruption = managed.server.restart("graceful-stop", managed.log)
    slow.join()
    assert "finished" in slow.body
    assert interruption.method == "graceful-stop"
    assert interruption.probes > interruption.refused + interruption.reset
    assert managed.server.inspect().running is not None


@pytest.mark.parametrize("stock", ["minimal", "event"])
def test_a_graceful_stop_and_start_leaves_a_short_gap(make_managed: Manage, stock: str) -> None:
    """5 to 10 ms on an idle machine, 80 on one with a load of nine for each processor. A second is
    what the usual stop, sleep and start takes."""
    managed = make_managed(stock)
    interruption = managed.server.restart("graceful-stop", managed.log)
    assert longest_gap(interruption) < 500, interruption.strip


def longest_gap(interruption: Interruption) -> float:
    """Milliseconds between the first probe that got no answer and the next one that did."""
    longest, since = 0.0, None
    for at, _, what in _in_order(interruption.strip):
        if what in ("refused", "reset"):
            since = at if since is None else since
        elif since is not None:
            longest, since = max(longest, at - since), None
    assert since is None, "nobody was answered any more"
    return longest


def _in_order(strip: Iterable[tuple[int, float, str]]) -> list[tuple[int, float, str]]:
    return sorted(strip)
