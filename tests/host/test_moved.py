"""The hook that tells of packages that others have moved, with real dnf, and what the agent makes
of it."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from easyapache.agent.packages import moved
from easyapache.agent.packages.moved import Moved
from easyapache.installed import universal_hooks
from easyapache.installed.layout import Layout
from lab.server import Lab
from tests.host.managed import Managed
from tests.lab.test_faults import _to_event
from tests.labs import MakeLab

EVENT = "ea-apache24-mod_mpm_event"


def layout_of(lab: Lab) -> Layout:
    layout = Layout(lab.root)
    layout.spool.mkdir(parents=True)
    return layout


def test_both_sides_mean_the_same_file_and_the_same_script() -> None:
    assert (moved.MARKER, moved.HOOK) == (universal_hooks.MARKER, universal_hooks.NAME)


@pytest.mark.lab
def test_a_change_made_by_hand_is_told_at_once_and_ours_is_not(
    make_managed: Callable[..., Managed],
) -> None:
    managed = make_managed("minimal", hooks=True)
    assert managed.lab is not None
    layout = layout_of(managed.lab)
    universal_hooks.install(layout)
    seen = Moved(layout.spool)
    managed.switch("event")
    assert not seen.news(), "what the panel does itself is no news"
    said = managed.lab.dnf(
        "-y", "install", "--allowerasing", "ea-apache24-mod_mpm_worker", "ea-apache24-mod_cgid"
    )
    assert "Complete!" in said
    assert seen.news()
    assert not seen.news(), "once"


@pytest.mark.lab
def test_the_hook_never_fails_a_transaction(make_lab: MakeLab) -> None:
    lab = make_lab("minimal", hooks=True).up()
    layout = layout_of(lab)
    universal_hooks.install(layout)
    layout.spool.rmdir()
    assert "Complete!" in _to_event(lab)
    assert not layout.spool.exists()
    (script,) = universal_hooks._places(layout)
    layout.spool.write_text("not a folder")
    assert subprocess.run([script, "--pkg_list=/nowhere"], check=False).returncode == 0


def test_the_hook_is_written_where_hooks_are_and_leaves_no_trace(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "it's a root")
    universal_hooks.install(layout)
    assert not layout.root.exists(), "no hooks, no hook"
    dnf = layout.root / "etc/dnf/universal-hooks/multi_pkgs/transaction/ea-__WILDCARD__"
    apt = layout.root / "etc/apt/universal-hooks"
    dnf.mkdir(parents=True)
    apt.mkdir(parents=True)
    (dnf / "500-restartsrv_httpd").touch()
    before = sorted(layout.root.rglob("*"))
    assert len(universal_hooks.missing(layout)) == 2
    universal_hooks.install(layout)
    assert universal_hooks.missing(layout) == []
    script = dnf / universal_hooks.NAME
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    layout.spool.mkdir(parents=True)
    assert subprocess.run([script], check=False).returncode == 0
    assert (layout.spool / universal_hooks.MARKER).exists()
    assert shlex.quote(str(layout.spool)) in script.read_text()
    script.write_text("#!/bin/sh\nexit 1\n")
    assert universal_hooks.missing(layout) == [str(script)]
    universal_hooks.install(layout)
    universal_hooks.install(layout)
    universal_hooks.remove(layout)
    universal_hooks.remove(layout)
    kept = {path for path in layout.root.rglob("*") if "var" not in path.parts}
    assert kept - set(before) == {apt / "multi_pkgs", apt / "multi_pkgs/Post-Invoke"}


def test_a_touch_is_news_once_and_two_within_a_second_are_told_apart(tmp_path: Path) -> None:
    now = [0.0]
    (tmp_path / moved.MARKER).touch()
    seen = Moved(tmp_path, clock=lambda: now[0])
    assert not seen.news(), "an agent that starts is asked for a look anyway"

    def touch(number: int) -> None:
        os.utime(tmp_path / moved.MARKER, ns=(number, number))

    touch(1)
    assert seen.news()
    assert not seen.news()
    touch(2)
    assert not seen.news(), "less than a second later: a moment's patience"
    now[0] += moved.GAP
    assert seen.news(), "but never forgotten"
    (tmp_path / moved.MARKER).unlink()
    assert not seen.news()
    assert moved.LOOK + 0.1 < 1


def test_nothing_is_news_where_there_is_no_hook(tmp_path: Path) -> None:
    assert not Moved(tmp_path / "missing").news()
