"""What a real httpd writes into its error log, and what the doctor makes of it."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

from easyapache.agent.httpd.http_probe import fetch
from easyapache.ea4.conditions.diagnosis import diagnose
from lab.system import distribution
from tests.host.managed import PREFIX, Managed


def configure(managed: Managed, text: str) -> None:
    (managed.config.server_root / "conf.d/zz-test.conf").write_text(text)


def assert_found(managed: Managed, code: str, words: str, seconds: float = 10.0) -> None:
    """A failure is recognised by a line with these words, within some seconds."""
    end = time.monotonic() + seconds
    while True:
        seen = {item.code: item.seen for item in diagnose("", managed.server.inspect())}
        if words in seen.get(code, ""):
            return
        assert time.monotonic() < end, seen
        time.sleep(0.2)


def test_a_sound_httpd_says_nothing(managed: Managed) -> None:
    assert "httpd_said" not in managed.server.inspect().facts


def test_all_workers_busy_is_seen_while_httpd_runs_and_gone_with_the_next_start(
    managed: Managed,
) -> None:
    assert managed.lab is not None
    configure(managed, "MaxRequestWorkers 2\nServerLimit 2\nStartServers 2\n")
    managed.server.restart("auto", managed.log)
    slow = f"{managed.lab.address}/cgi-bin/slow.cgi"
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(fetch, slow, host="cgi.lab.test") for _ in range(3)]
        answers = [answer.result() for answer in asked]
    assert {answer.status for answer in answers} == {200}
    assert_found(managed, "workers_exhausted", "AH00161")
    before = managed.server.inspect().digest
    configure(managed, "")  # with two workers the next one would soon say the same of itself
    managed.server.restart("auto", managed.log)
    now = managed.server.inspect()
    assert "httpd_said" not in now.facts
    assert now.digest == before


def test_limits_that_do_not_fit_are_seen_before_and_after_a_reload(managed: Managed) -> None:
    assert managed.lab is not None
    configure(managed, "MaxRequestWorkers 300\nServerLimit 256\n")
    assert_found(managed, "limits_lowered", "AH00180")
    managed.lab.httpd("-k", "graceful")
    assert_found(managed, "limits_lowered", "AH00181")


def test_an_httpd_that_a_reload_ended_says_why(managed: Managed) -> None:
    assert managed.lab is not None
    managed.lab.dnf("-y", "install", f"{PREFIX}mpm_event", "--allowerasing")
    managed.lab.httpd("-k", "graceful", check=False)
    assert_found(managed, "mpm_changed_in_reload", "cannot be changed during restart")
    assert_found(managed, "httpd_down", "not running")
    managed.server.restart("auto", managed.log)
    assert "httpd_said" not in managed.server.inspect().facts


def test_an_httpd_that_does_not_start_says_why(managed: Managed) -> None:
    assert managed.lab is not None
    module = distribution().module("mpm_itk")
    assert module is not None
    managed.switch("event")
    managed.lab.down()
    shutil.copy(module, managed.config.root / "usr/lib64/apache2/modules/mpm_itk.so")
    configure(managed, "LoadModule mpm_itk_module modules/mpm_itk.so\n")
    managed.lab.httpd("-k", "start", check=False)
    assert "please use prefork" in managed.server.inspect().facts["httpd_said"]["itk_needs_prefork"]
    codes = [item.code for item in diagnose("", managed.server.inspect())]
    assert "module_setup_failed" not in codes
