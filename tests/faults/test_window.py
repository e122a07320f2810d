"""From the first package until the new httpd serves: watched to its end, measured whoever dies."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest

from easyapache.agent.change.folder import ChangeFolder
from easyapache.ea4.protocol import ChangeRequest
from lab.hooks import HOOKS
from lab.repository import Variant
from tests.faults.field import AS_PLANNED, BEFORE, PROJECT, Ending, Field
from tests.faults.report import RecordEnding
from tests.faults.untimely import reload_httpd
from tests.labs import MakeLab

EVENT = "ea-apache24-mod_mpm_event"

pytestmark = pytest.mark.lab


def interruptions(folder: ChangeFolder) -> list[Mapping[str, Any]]:
    return [report.data for report in folder.reports() if report.kind == "interruption"]


def judged(
    field: Field, fault: str, request: ChangeRequest, untimely: tuple[str, ...] = ()
) -> tuple[Ending, ChangeFolder]:
    before, sites = field.server.inspect(), field.server.sites()
    folder = field.folder(request)
    engine = field.start_engine(folder, untimely=untimely)
    if untimely[:1] == ("death",):
        assert engine.wait() == -signal.SIGKILL
        field.kills += 1
        field.finish(folder)
    else:
        field.finish(folder, engine)
    return field.judge(fault, request, before, sites), folder


def test_an_httpd_that_a_reload_ends_just_before_its_restart_is_started_and_measured(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab().up())
    ending, folder = judged(
        field, "reload just before the restart", field.request("event"), ("reload", "restart")
    )
    assert record_ending(ending).end == AS_PLANNED, ending
    assert "started again" in folder.log_from(0).decode()
    (noticed,) = interruptions(folder)
    assert noticed["method"] == "overlap"
    assert noticed["refused"] > 0
    assert noticed["partial"] is False


def test_an_httpd_started_after_all_packages_is_not_restarted_and_its_gap_is_told(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab().up())
    ending, folder = judged(
        field, "reload after the packages", field.request("event"), ("reload", "configtest")
    )
    assert record_ending(ending).end == AS_PLANNED, ending
    log = folder.log_from(0).decode()
    assert "started again" in log
    assert "restart method" not in log
    (noticed,) = interruptions(folder)
    assert (noticed["method"], noticed["partial"]) == ("start", False)
    assert noticed["refused"] > 0
    assert noticed["window_ms"] > 0
    outcome = folder.outcome
    assert outcome is not None
    assert re.search(r"\b[1-9]\d* refused", outcome.data["sentence"])


def test_an_httpd_started_before_the_hooks_were_done_is_restarted(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """It may have read a configuration that was not rebuilt yet."""
    field = Field(make_lab(hooks=True).up())
    begun = field.lab.folder / "hook-begun"
    hook = field.lab.root / HOOKS / "010-slow"
    hook.write_text(f"#!/bin/sh\n: > {begun}\nsleep 2\n")
    hook.chmod(0o755)
    request = field.request("event")
    before, sites = field.server.inspect(), field.server.sites()
    folder = field.folder(request)
    engine = field.start_engine(folder)
    assert field.until(engine, begun.exists)
    reload_httpd(field.server)
    revived = field.server.httpd_start()
    field.finish(folder, engine)
    ending = record_ending(field.judge("reload within the hooks", request, before, sites))
    assert ending.end == AS_PLANNED, ending
    assert field.server.httpd_start() != revived
    (noticed,) = interruptions(folder)
    assert noticed["method"] == "overlap"
    assert noticed["refused"] > 0


@pytest.mark.parametrize("stock", ["minimal", "event"])
def test_an_httpd_whose_parent_is_killed_before_its_restart_leaves_none_of_its_children(
    make_lab: MakeLab, record_ending: RecordEnding, stock: str
) -> None:
    field = Field(make_lab(stock).up())
    mpm = "event" if stock == "minimal" else "prefork"
    ending, _ = judged(
        field, "httpd's parent killed", field.request(mpm), ("orphans", "configtest")
    )
    assert record_ending(ending).end == AS_PLANNED, ending


@pytest.mark.parametrize("moment", ["configtest", "restart", "restarted"])
def test_what_was_measured_outlives_the_engine_that_measured_it(
    make_lab: MakeLab, record_ending: RecordEnding, moment: str
) -> None:
    field = Field(make_lab().up())
    ending, folder = judged(
        field, f"engine killed at {moment}", field.request("event"), ("death", moment)
    )
    assert record_ending(ending).end == AS_PLANNED, ending
    (noticed,) = interruptions(folder)
    assert noticed["method"] == "overlap"
    assert noticed["probes"] > 50
    assert noticed["partial"] is True
    assert len(list((folder.path / "window-1").glob("probe-*.json"))) == 2
    outcome = folder.outcome
    assert outcome is not None
    assert "while measuring" in outcome.data["sentence"]


def test_both_restarts_of_a_change_that_is_undone_are_told(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab().up())
    drop_in = field.config.server_root / "conf.d/under-event.conf"
    drop_in.write_text("<IfModule mpm_event_module>\nRedirectMatch 503 ^/$\n</IfModule>\n")
    ending, folder = judged(field, "a site differs", field.request("event"))
    assert (record_ending(ending).end, ending.outcome) == (BEFORE, "restored"), ending
    there, back = interruptions(folder)
    assert there["probes"] > 0
    assert back["probes"] > 0
    assert (there["partial"], back["partial"]) == (False, False)


def test_a_window_that_was_never_restarted_does_not_grow_into_the_next_change(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab(variant=Variant(faults=((EVENT, "failpre"),))).up())
    ending, folder = judged(field, "%pre fails", field.request("event"))
    assert (record_ending(ending).end, ending.outcome) == (BEFORE, "restored"), ending
    assert interruptions(folder) == []
    time.sleep(3.0)
    begun = time.monotonic()
    ending, folder = judged(field, "the next change", field.request("worker"))
    took = (time.monotonic() - begun) * 1000
    assert record_ending(ending).end == AS_PLANNED, ending
    (noticed,) = interruptions(folder)
    assert 0 < noticed["window_ms"] < took


# -- cut off in the restart, and then taken back ------------------------------------------


def undo(field: Field, folder: ChangeFolder) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "easyapache.agent", "undo", str(folder.path)],
        env={"HOME": "/root", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("said", "after_ms"),
    [(b"restart method overlap", ms) for ms in (0, 40, 80, 120, 200)] + [(b"serves beside", 0)],
)
def test_a_change_killed_in_its_restart_and_taken_back_leaves_one_httpd(
    make_lab: MakeLab, record_ending: RecordEnding, said: bytes, after_ms: int
) -> None:
    field = Field(make_lab().up())
    request = field.request("event")
    before, sites = field.server.inspect(), field.server.sites()
    folder = field.folder(request)
    engine = field.start_engine(folder)
    assert field.until(engine, lambda: said in folder.log_from(0, 1 << 20))
    time.sleep(after_ms / 1000)
    field.kill(lambda line: "easyapache.agent.change.engine" in line)
    engine.wait()
    if folder.outcome is None:
        assert "restored" in undo(field, folder)
        ending = record_ending(field.judge("killed in the restart, undone", request, before, sites))
        assert ending.end == BEFORE, ending
    else:
        field.kills = 0
    assert not (field.config.spool / "restart.json").exists()
