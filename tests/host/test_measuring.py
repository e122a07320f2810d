"""What is known of a window: as much as was measured in it, and no more."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from easyapache.agent.change.outage_window import Window
from easyapache.agent.httpd.processes import children_of, command_of
from tests.host.managed import Managed
from tests.host.test_runner import wait_until


def window_of(managed: Managed, name: str = "window-1") -> Window:
    return Window(managed.config.spool / name, managed.real.runner, managed.real.httpd)


def test_what_is_measured_to_its_end_is_told_whole(managed: Managed) -> None:
    window = window_of(managed)
    window.open()
    window.note("overlap", "because")
    with window.measuring():
        time.sleep(0.3)
    noticed = window.noticed()
    assert (noticed.method, noticed.reason, noticed.partial) == ("overlap", "because", False)
    assert noticed.probes > 20
    assert noticed.refused == noticed.reset == 0
    assert noticed.window_ms >= 300
    assert len(noticed.strip) == noticed.probes


def test_two_measurements_of_a_window_are_told_as_one_with_a_gap(managed: Managed) -> None:
    assert managed.lab is not None
    window = window_of(managed)
    with window.measuring():
        time.sleep(0.2)
    first = window.noticed()
    managed.lab.down()
    again = window_of(managed)
    with again.measuring():
        time.sleep(0.2)
    both = again.noticed()
    assert first.refused == 0
    assert both.refused > 10
    assert both.probes == first.probes + both.refused
    assert both.partial
    assert both.strip[: len(first.strip)] == first.strip
    assert [at for at, _, _ in both.strip] == sorted(at for at, _, _ in both.strip)


def test_a_prober_that_is_killed_leaves_a_gap(managed: Managed) -> None:
    window = window_of(managed)
    with window.measuring():
        (prober,) = [pid for pid in children_of(os.getpid()) if "prober.py" in command_of(pid)]
        time.sleep(0.4)
        os.kill(prober, signal.SIGKILL)
        wait_until(lambda: "prober.py" not in command_of(prober))
    assert window.noticed().probes > 0
    assert window.noticed().partial


def test_where_nothing_can_be_written_nothing_is_measured_and_nothing_fails(
    managed: Managed, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    window = Window(tmp_path / "file" / "window", managed.real.runner, managed.real.httpd)
    window.open()
    window.note("overlap", "because")
    with window.measuring():
        time.sleep(0.05)
    noticed = window.noticed()
    assert noticed.probes == 0
    assert "not measured" in noticed.reason
    told = noticed.as_json()
    assert told["refused"] is told["reset"] is told["longest_wait_ms"] is None
    assert told["partial"] is False


def test_a_window_counts_from_its_first_opening_whoever_opens_it_again(managed: Managed) -> None:
    window_of(managed).open()
    time.sleep(0.2)
    window_of(managed).open()
    assert window_of(managed).noticed().window_ms >= 200
    assert window_of(managed, "window-2").noticed().window_ms == 0
