"""Packages that somebody installs by hand are known to the panel at once, by the hook of setup."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from easyapache.installed import universal_hooks
from easyapache.installed.layout import Layout
from lab.server import Lab
from tests.stack import MakePanel, Panel

PATIENCE = 60.0


def history(panel: Panel) -> list[dict[str, Any]]:
    done = panel.manage("mpm", "history", "--server", "lab", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return found


@pytest.mark.lab
def test_a_change_by_hand_is_in_the_history_long_before_the_next_round_of_looks(
    make_panel: MakePanel,
) -> None:
    panel = make_panel(RESCAN_SECONDS="3600")
    lab = Lab.open(next(panel.folder.glob("**/lab.json")).parent)
    layout = Layout(lab.root)
    (layout.root / "etc/dnf/universal-hooks").mkdir(parents=True, exist_ok=True)
    layout.spool.parent.mkdir(parents=True)
    layout.spool.symlink_to(next(panel.folder.glob("**/spool/lab")))
    universal_hooks.install(layout)
    end = time.monotonic() + PATIENCE
    while panel.manage("mpm", "status", "--server", "lab").returncode != 0:
        assert time.monotonic() < end, "the first look"
        time.sleep(0.2)
    assert history(panel) == []
    lab.dnf("-y", "install", "--allowerasing", "ea-apache24-mod_mpm_worker")
    (script,) = universal_hooks._places(layout)
    subprocess.run([script], check=True)  # as cPanel's plugin of dnf does
    end = time.monotonic() + PATIENCE
    while not (found := history(panel)):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert [one["origin"] for one in found] == ["outside"]
