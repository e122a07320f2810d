"""What httpd costs and how busy it is, read from the real one."""

from __future__ import annotations

import time
from pathlib import Path

from easyapache.agent.httpd.apache_config import read_config
from easyapache.agent.httpd.httpd import Httpd
from easyapache.agent.httpd.load import directives, measure
from easyapache.agent.runner import Runner
from lab.server import Lab
from tests.labs import MakeLab


def _measured(lab: Lab, spool: Path) -> dict[str, object]:
    config = lab.host_config(spool)
    httpd = Httpd(config, Runner(config.environment))
    return measure(httpd, httpd.read())


def test_prefork_is_measured_by_the_process(lab: Lab, tmp_path: Path) -> None:
    load = _measured(lab, tmp_path)
    assert load["mpm"] == "prefork"
    assert load["processes"] == load["threads"] == 5
    assert load["thread_bytes"] == 0
    assert 200_000 < int(str(load["process_bytes"])) < 100_000_000


def test_a_threaded_mpm_is_measured_by_process_and_thread_and_without_the_cgi_daemon(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    lab = make_lab("worker").up()
    deadline = time.monotonic() + 10
    # httpd starts its threads while it already serves.
    while (load := _measured(lab, tmp_path))["idle"] != 5 * 25 - 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert load["mpm"] == "worker"
    # 25 workers, one listener and the main thread in each of StartServers 5.
    assert (load["processes"], load["threads"]) == (5, 5 * 27)
    assert 0 < int(str(load["thread_bytes"])) < 1_000_000


def test_nothing_is_measured_while_httpd_is_down(make_lab: MakeLab, tmp_path: Path) -> None:
    assert _measured(make_lab(), tmp_path) == {}


def test_a_limit_holds_under_the_mpm_whose_section_it_stands_in(tmp_path: Path) -> None:
    main = tmp_path / "httpd.conf"
    main.write_text(
        "LoadModule ssl_module modules/mod_ssl.so\nMaxRequestWorkers 150\n"
        "<IfModule mpm_event_module>\nMaxRequestWorkers 400\n</IfModule>\n"
        "<IfModule !prefork.c>\nThreadsPerChild 50\n</IfModule>\n"
        "<IfModule mod_ssl.c>\nServerLimit 300\n</IfModule>\n"
    )
    assert directives(read_config(tmp_path, main)) == {
        "event": {"MaxRequestWorkers": 400, "ThreadsPerChild": 50, "ServerLimit": 300},
        "worker": {"MaxRequestWorkers": 150, "ThreadsPerChild": 50, "ServerLimit": 300},
        "prefork": {"MaxRequestWorkers": 150, "ServerLimit": 300},
    }
