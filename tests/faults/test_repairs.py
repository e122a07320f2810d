"""Repairs of a real server, cut off at any moment."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
import uuid
from dataclasses import replace

import pytest

from easyapache.agent.change.folder import now
from easyapache.agent.drivers import remember
from easyapache.agent.real import RealServer
from easyapache.agent.repair.folder import RepairFolder
from easyapache.ea4.conditions.diagnosis import diagnose
from easyapache.ea4.conditions.evidence import mpm_packages
from lab.repository import Variant
from tests.faults.field import PATIENCE, PROJECT, Field, touched
from tests.faults.test_matrix import EVENT, unplug
from tests.labs import MakeLab

pytestmark = pytest.mark.lab

ROUNDS = 5


def requested_repair(field: Field, action: str) -> RepairFolder:
    folder = field.spool.repair(uuid.uuid4().hex)
    folder.create(action, now().isoformat())
    return folder


def begin(folder: RepairFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", folder.program, str(folder.path)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def finish(folder: RepairFolder) -> None:
    assert begin(folder).wait(timeout=PATIENCE) == 0


def seconds_of_a_repair(field: Field) -> float:
    """From the first look at the server to the result, with nothing in between."""
    folder = requested_repair(field, "restart-httpd")
    process = begin(folder)
    assert until_begun(folder, process)
    begun = time.monotonic()
    assert process.wait(timeout=PATIENCE) == 0
    return time.monotonic() - begun


def until_begun(folder: RepairFolder, process: subprocess.Popen[bytes]) -> bool:
    while folder.before is None:
        if process.poll() is not None:
            return False
        time.sleep(0.003)
    return True


def test_a_change_that_ended_half_way_is_taken_back_without_a_repository(
    make_lab: MakeLab,
) -> None:
    """The old MPM is gone, the new one never came, and the kit was out of reach: nothing serves."""
    field = Field(make_lab(variant=Variant(faults=((EVENT, "failpre"),))).up())
    before, sites = field.server.inspect(), field.server.sites()
    change = field.folder(field.request("event"))
    engine = field.start_engine(change)
    old = field.lab.root / "etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf"
    assert field.until(engine, lambda: touched(change) and not old.exists())
    away = change.kit.parents[2] / "away"  # in no kit, and no repository to fetch it again from
    (change.kit / "rpms").rename(away)
    repository = field.lab.place.repo_file
    repository.write_text(
        re.sub("(?m)^baseurl=.*", "baseurl=file:///nowhere", repository.read_text())
    )
    assert field.finish(change, engine) == "failed"
    away.rename(change.kit / "rpms")
    field.lab.down()
    unplug(field.lab)
    torn = field.server.inspect()
    assert torn.running is None
    assert not mpm_packages(torn)
    folder = requested_repair(field, "take-back")
    finish(folder)
    result = folder.result
    assert result is not None
    assert result["ok"] is True, result
    today = field.server.inspect()
    assert today.packages == before.packages
    assert today.running == before.running
    assert field.server.sites() == sites
    assert diagnose("", today) == diagnose("", before)


@pytest.mark.parametrize("method", ["overlap", "graceful-stop"])
def test_a_restart_that_is_cut_off_anywhere_ends_with_one_httpd_that_answers(
    make_lab: MakeLab, method: str
) -> None:
    field = Field(make_lab().up())
    field.config = replace(field.config, restart_method=method)
    field.server = RealServer(field.config)
    remember(field.config)
    random.seed(method)
    takes, sites = seconds_of_a_repair(field), field.server.sites()
    for number in range(ROUNDS):
        began = field.server.inspect().facts["httpd_started"]
        folder = requested_repair(field, "restart-httpd")
        process = begin(folder)
        assert until_begun(folder, process)
        time.sleep(takes * (number + random.random()) / ROUNDS)
        process.kill()
        process.wait()
        finish(folder)
        result = folder.result
        assert result is not None
        assert result["ok"] is True, result
        today = field.server.inspect()
        assert today.running == today.configured
        assert today.facts["httpd_started"] != began
        assert len(field.server.httpd.parents()) == 1
        assert not (field.spool.root / "restart.json").exists()
        assert field.server.sites() == sites
