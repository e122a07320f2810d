"""A change on a server with cPanel whose engine is killed while chkservd is suspended."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.faults.field import Field
from tests.labs import MakeLab

pytestmark = pytest.mark.lab


def test_an_engine_that_is_killed_in_its_restart_leaves_no_service_unwatched(
    make_lab: MakeLab,
) -> None:
    field = Field(make_lab().up())
    root = field.config.root
    for name in ("usr/local/cpanel", "run", "var/cpanel/taskqueue"):
        (root / name).mkdir(parents=True, exist_ok=True)
    queue = root / "var/cpanel/taskqueue/servers_queue.json"
    due = {"waiting_queue": [{"_command": "apache_restart"}]}
    queue.write_text(json.dumps(["TaskQueue", 3, due]))
    suspend = root / "run/chkservd.suspend"
    folder = field.folder(field.request("event"))
    killed = waited = False
    engine = field.start_engine(folder)
    end = time.monotonic() + 180
    while engine.poll() is None:
        assert time.monotonic() < end
        if (
            not waited
            and folder.log_path.exists()
            and b"cPanel is about to restart" in folder.log_path.read_bytes()
        ):
            queue.write_text(json.dumps(["TaskQueue", 3, {}]))
            waited = True
        if suspend.exists():
            os.kill(engine.pid, signal.SIGKILL)
            engine.wait()
            killed = True
    assert waited
    assert killed
    assert suspend.exists(), "nobody was there to let chkservd go on"
    assert field.finish(folder) == "succeeded"
    assert not suspend.exists()
    log = folder.log_path.read_text()
    assert "cPanel has restarted httpd" in log
    assert log.count("chkservd checks services again") >= 1
