# ruff: noqa: ISC004 -- a long message is one message
from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache.host import repairs
from easyapache.host.doctor import diagnose
from easyapache.host.failures import FAILURES
from easyapache.profile import Observation, Package, Profile
from tests.engine.simulation import Simulation


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("AH00534: httpd: Configuration error: No MPM loaded.", "no-mpm"),
        ("AH00534: httpd: Configuration error: More than one MPM loaded.", "two-mpms"),
        ("mpm-itk cannot use threaded MPMs; please use prefork.", "itk-threaded"),
        (
            "[php:crit] Apache is running a threaded MPM, but your PHP Module is not compiled to "
            "be threadsafe.  You need to recompile PHP.",
            "php-not-threadsafe",
        ),
        ("AH00534: httpd: Configuration error: The MPM cannot be changed during restart.",
         "mpm-changed-in-graceful"),
        ("Syntax error on line 2 of 000_mod_mpm_prefork.conf: Cannot load "
         "modules/mod_mpm_prefork.so into server: cannot open shared object file",
         "module-file-missing"),
        ("AH10034: The mpm module (prefork.c) is not supported by mod_http2", "http2-prefork"),
        ("Error: Failed to download metadata for repo 'EA4'", "repository-gone"),
        ("Package x.rpm is not signed", "signature"),
        ("RPMDB already locked by 4711", "locked"),
        ("At least 44KB more space needed: needs 44KB more space on the / filesystem",
         "disk-full"),
        ("Error in POSTIN scriptlet in rpm package ea-apache24", "scriptlet"),
        ("The operation would result in removing the following protected packages: ea-php74-php",
         "protected"),
        ("missing   c /etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf", "missing-files"),
        ("(28)No space left on device: AH00023: Couldn't create the rewrite-map mutex",
         "semaphores"),
        ("AH03490: scoreboard is full, not at MaxRequestWorkers.", "scoreboard-full"),
        ("AH00161: server reached MaxRequestWorkers setting", "workers-exhausted"),
        ("setuid(1001): Operation not permitted", "itk-uid-range"),
        ("(98)Address already in use: AH00072: make_sock: could not bind", "address-in-use"),
    ],
)  # fmt: skip
def test_a_known_failure_is_recognised_by_what_was_said(said: str, code: str) -> None:
    found = diagnose(f"something before\n{said}\nsomething after")
    assert found, f"nothing recognised in {said!r}"
    assert found[0].code == code
    assert found[0].seen in said
    assert found[0].fix


def test_every_known_failure_explains_itself() -> None:
    codes = [failure.code for failure in FAILURES]
    assert len(set(codes)) == len(codes)
    assert len(codes) >= 25
    for failure in FAILURES:
        assert failure.title
        assert failure.cause.endswith((".", "."))
        assert failure.fix.endswith((".", "."))
        for pattern in failure.patterns:
            re.compile(pattern)
        assert failure.repair in {"", *repairs.REPAIRS}


@given(st.text())
def test_whatever_was_said_diagnosing_it_does_not_fail(said: str) -> None:
    for diagnosis in diagnose(said):
        assert diagnosis.seen


def package(name: str) -> Package:
    return Package(name, "2.4.67", "2", "x86_64")


SOUND = Profile(
    packages=tuple(package(f"ea-apache24{part}") for part in ("", "-mod_mpm_event", "-mod_suexec")),
    configured=Observation(("event",)),
    running=Observation(("event",)),
)


def test_a_sound_server_has_nothing() -> None:
    assert diagnose("", SOUND) == []


def test_what_a_server_shows_is_recognised_without_any_output() -> None:
    two = (*SOUND.packages, package("ea-apache24-mod_mpm_prefork"))
    shown = {
        "two-mpms": replace(SOUND, packages=two),
        "no-mpm": replace(SOUND, packages=(package("ea-apache24"), SOUND.packages[2])),
        "old-mpm-running": replace(SOUND, running=Observation(("prefork",))),
        "httpd-down": replace(SOUND, running=None),
        "missing-files": replace(SOUND, facts={"missing_files": {"ea-x": ["/etc/x"]}}),
        "itk-threaded": replace(
            SOUND, configured=Observation(("event",), True), running=Observation(("event",), True)
        ),
        "unfinished-transaction": replace(SOUND, facts={"unfinished_transaction": "dnf's 3"}),
        "foreign-mpm": replace(SOUND, facts={"foreign_mpm_files": ["/etc/apache2/conf.d/x"]}),
        "pinned": replace(SOUND, facts={"excludes": ["ea-apache24*"]}),
        "code-as-nobody": replace(SOUND, packages=SOUND.packages[:2]),
    }
    for code, profile in shown.items():
        assert [item.code for item in diagnose("", profile)] == [code]


def test_a_torn_server_is_settled_on_the_mpm_that_runs(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    torn = package("ea-apache24-mod_mpm_event").as_json()
    with simulation.server.state() as state:
        state["packages"].append(torn)
    found = diagnose("", simulation.server.inspect())
    assert [item.repair for item in found] == ["settle-mpm"]
    done = repairs.repair("settle-mpm", simulation.server, simulation.spool)
    assert done.ok, done.message
    running = simulation.sound().running
    assert running is not None
    assert running.mpm == "prefork"


def test_an_httpd_that_is_down_is_started(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    with simulation.server.state() as state:
        state["running"] = None
    done = repairs.repair("start-httpd", simulation.server, simulation.spool)
    assert done.ok, done.message
    simulation.sound()


def test_files_of_any_package_are_brought_back(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    with simulation.server.state() as state:
        state["missing_files"] = {"ea-apache24-mod_ssl": ["/usr/lib64/apache2/modules/mod_ssl.so"]}
    found = diagnose("", simulation.server.inspect())
    assert [item.repair for item in found] == ["reinstall-files"]
    done = repairs.repair("reinstall-files", simulation.server, simulation.spool)
    assert done.ok, done.message
    assert "ea-apache24-mod_ssl" in done.log
    assert diagnose("", simulation.sound()) == []


def test_a_transaction_that_broke_off_is_accepted_where_nothing_is_left_of_it(
    tmp_path: Path,
) -> None:
    simulation = Simulation(tmp_path)
    text = "dnf's transaction 3 was begun and never ended"
    with simulation.server.state() as state:
        state["facts"]["unfinished_transaction"] = text
        state["packages"].append(package("ea-apache24-mod_mpm_event").as_json())
    refused = repairs.repair("accept-packages", simulation.server, simulation.spool)
    assert not refused.ok
    assert "mpm_event" in refused.message
    assert simulation.spool.settled == ""
    assert repairs.repair("settle-mpm", simulation.server, simulation.spool).ok
    done = repairs.repair("accept-packages", simulation.server, simulation.spool)
    assert done.ok, done.message
    assert simulation.spool.settled == text


def test_nothing_is_repaired_beside_a_change(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    with simulation.spool.server_lock(wait=False):
        done = repairs.repair("restart-httpd", simulation.server, simulation.spool)
    assert not done.ok
    assert "change" in done.message


def test_a_repair_that_fails_says_why(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, {"configtest": 1})
    done = repairs.repair("restart-httpd", simulation.server, simulation.spool)
    assert not done.ok
    assert "AH00526" in done.log
