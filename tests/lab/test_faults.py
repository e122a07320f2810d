"""What goes wrong on servers can be made to go wrong on the lab, with the real words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lab.hooks import NO_RESTART_FLAG
from lab.process import run
from lab.repository import Variant
from lab.server import Lab
from tests.labs import MakeLab

pytestmark = pytest.mark.lab

EVENT = "ea-apache24-mod_mpm_event"
PREFORK = "ea-apache24-mod_mpm_prefork"


def _to_event(lab: Lab, *options: str) -> str:
    return lab.dnf("-y", *options, "install", EVENT, "--allowerasing", check=False)


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        (Variant(unsigned=(EVENT,)), "is not signed"),
        (Variant(tampered=(EVENT,)), "GPG check FAILED"),
        (Variant(corrupt=(EVENT,)), "checksum"),
        (Variant(bad_metadata=True), "GPG signature verification error"),
    ],
)
def test_what_is_not_rightly_signed_is_refused_and_nothing_changes(
    variant: Variant, words: str, make_lab: MakeLab
) -> None:
    lab = make_lab("minimal")
    before = lab.packages()
    lab.use_repository(variant)
    assert words in _to_event(lab)
    assert lab.packages() == before
    assert lab.rpm("-Va") == ""


def test_a_failing_installation_script_leaves_apache_without_an_mpm(make_lab: MakeLab) -> None:
    lab = make_lab("minimal").use_repository(Variant(faults=((EVENT, "failpre"),)))
    assert "Transaction failed" in _to_event(lab)
    assert lab.status().installed == ()
    assert "No MPM loaded" in lab.httpd("-t", check=False)


def test_a_failing_removal_script_leaves_two_mpms(make_lab: MakeLab) -> None:
    lab = make_lab("minimal", variant=Variant(faults=((PREFORK, "failpreun"),)))
    _to_event(lab)
    assert lab.status().installed == ("event", "prefork")
    assert "More than one MPM loaded" in lab.httpd("-t", check=False)


def test_a_script_after_installation_that_fails_does_no_harm(make_lab: MakeLab) -> None:
    lab = make_lab("minimal").use_repository(Variant(faults=((EVENT, "failpost"),)))
    assert "Error in POSTIN scriptlet" in _to_event(lab)
    assert lab.up().status().running == "event"


def test_a_package_can_be_made_slow(make_lab: MakeLab) -> None:
    lab = make_lab("minimal").use_repository(Variant(faults=((EVENT, "slow=1"),)))
    begun = time.monotonic()
    assert "Complete!" in _to_event(lab)
    assert time.monotonic() - begun > 1


def test_with_cpanels_hooks_a_transaction_restarts_httpd_by_itself(make_lab: MakeLab) -> None:
    lab = make_lab("minimal", hooks=True).up()
    description = _to_event(lab)
    assert "Complete!" in description
    assert lab.status().running == "event"


@pytest.mark.parametrize("way", ["option", "flag"])
def test_the_hooks_can_be_switched_off(way: str, make_lab: MakeLab) -> None:
    lab = make_lab("minimal", hooks=True).up()
    if way == "flag":
        (lab.root / NO_RESTART_FLAG).touch()
    pid = lab.pid
    _to_event(lab, *(["--disableplugin=universal-hooks"] if way == "option" else []))
    assert lab.status().installed == ("event",)
    assert (lab.pid, lab.status().running) == (pid, "prefork")


def test_the_hooks_stop_httpd_also_after_a_failed_transaction(make_lab: MakeLab) -> None:
    """As on a cPanel server: broken packages on disk, and then Apache is stopped."""
    lab = make_lab("minimal", hooks=True).up()
    lab.use_repository(Variant(faults=((EVENT, "failpre"),)))
    assert "Transaction failed" in _to_event(lab)
    assert lab.pid is None


def test_rebuilding_the_configuration_drops_edits_and_refuses_a_broken_one(lab: Lab) -> None:
    conf = lab.root / "etc/apache2/conf/httpd.conf"
    sound = conf.read_text()
    script = lab.root / "usr/local/cpanel/scripts/rebuildhttpdconf"
    conf.write_text(sound + "# edited by hand\n")
    _run(script)
    assert conf.read_text() == sound
    (lab.root / "etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf").rename(lab.root / "away")
    assert "No MPM loaded" in _run(script, expected=1)
    assert conf.read_text() == sound


def _run(script: Path, expected: int = 0) -> str:
    done = run([script], check=False)
    assert done.returncode == expected
    return done.stdout + done.stderr
