"""``manage.py demo`` as a stranger meets it: starting, starting again, dying, ending."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import redis

from demo.folder import PROJECT
from demo.panel import DidNotStart, Panel
from tests.stack import MakePanel, processes_of

UNPRIVILEGED = ("web", "worker", "beat", "redis")


def environment_of(pid: int) -> dict[str, str]:
    raw = (Path("/proc") / str(pid) / "environ").read_bytes().decode()
    return dict(item.split("=", 1) for item in raw.split("\0") if "=" in item)


def status_of(pid: int) -> dict[str, str]:
    text = (Path("/proc") / str(pid) / "status").read_text()
    return {
        name: value.strip() for name, value in (line.split(":", 1) for line in text.splitlines())
    }


def login_page(panel: Panel) -> httpx.Response:
    return httpx.get(f"{panel.address}login/", timeout=10)


def test_a_second_start_keeps_accounts_and_data_and_says_where_they_are(
    make_panel: MakePanel,
) -> None:
    first = make_panel("--simulated")
    name, password = first.accounts["administrator"]
    assert password in first.output
    assert (first.folder / "first-accounts").stat().st_mode & 0o077 == 0
    database = first.folder / "panel" / "panel.sqlite3"
    assert password.encode() not in database.read_bytes()
    first.stop()
    assert processes_of(first.folder) == []
    before, started = len(first.output), time.monotonic()
    second = Panel.start(first.folder, "--simulated")
    try:
        assert time.monotonic() - started < 30
        said_again = second.output[before:]
        assert password not in said_again
        assert str(second.folder / "first-accounts") in said_again
        with httpx.Client(base_url=second.address, timeout=10) as client:
            client.get("login/")
            form = {"username": name, "password": password}
            form["csrfmiddlewaretoken"] = client.cookies["csrftoken"]
            assert client.post("login/", data=form).headers["location"] == "/"
    finally:
        second.stop()


def test_only_agents_have_rights_and_only_the_panel_has_secrets(simulated_panel: Panel) -> None:
    for part in UNPRIVILEGED:
        status = status_of(simulated_panel.pid(part))
        assert status["Umask"] == "0077", part
        if os.geteuid() == 0:
            assert set(status["Uid"].split()) != {"0"}, part
            assert int(status["CapEff"], 16) == 0, part
            assert int(status["CapBnd"], 16) == 0, part
            assert status["NoNewPrivs"] == "1", part
    agent = environment_of(simulated_panel.pid("agent-sandbox"))
    assert not {name for name in agent if "SECRET" in name or "DATABASE" in name}
    assert agent["EA4_AGENT_CONFIG"].endswith("sandbox.toml")


def test_the_broker_is_no_way_to_the_files_of_the_panel(simulated_panel: Panel) -> None:
    """Every agent knows its password: that is not to be the account of the database."""
    panel, broker = (status_of(simulated_panel.pid(part)) for part in ("web", "redis"))
    if os.geteuid() == 0:
        assert broker["Uid"] != panel["Uid"]
    address = environment_of(simulated_panel.pid("agent-sandbox"))["REDIS_URL"]
    with redis.Redis.from_url(address) as client:
        assert client.ping()
        for command in (
            *("CONFIG GET dir", "SAVE", "BGSAVE", "MODULE LIST", "DEBUG SLEEP 0", "FLUSHALL"),
            *("REPLICAOF NO ONE", "SHUTDOWN NOSAVE", "KEYS *", "MONITOR", "ACL LIST"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())
        # What Celery ends its lock with, and what counts requests.
        with client.lock("ours", timeout=5):
            assert client.exists("ours")
        assert client.info("persistence")["aof_enabled"] == 0
    assert list((simulated_panel.folder / "redis").glob("*.aof")) == []


def test_whatever_is_killed_comes_back(simulated_panel: Panel) -> None:
    for part in ("web", "redis", "worker"):
        killed = simulated_panel.pid(part)
        os.kill(killed, signal.SIGKILL)
        end = time.monotonic() + 30
        while simulated_panel.running["processes"].get(part) in (killed, None):
            assert time.monotonic() < end, simulated_panel.output
            time.sleep(0.05)
        assert f"{part}: ended with SIGKILL" in simulated_panel.output
    assert login_page(simulated_panel).status_code == 200


def test_a_page_waits_while_the_web_part_is_started_again(simulated_panel: Panel) -> None:
    """The supervisor holds the listening socket, so nobody is refused meanwhile."""
    os.kill(simulated_panel.pid("web"), signal.SIGKILL)
    end = time.monotonic() + 60
    answer = None
    while answer is None:
        try:
            answer = httpx.get(f"{simulated_panel.address}login/", timeout=60)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            # Taken by a worker of the killed one in its last moment. A refusal to connect is
            # another error, and fails.
            assert time.monotonic() < end
    assert answer.status_code == 200


def test_the_simulated_server_is_looked_at_at_once(simulated_panel: Panel) -> None:
    end = time.monotonic() + 30
    status = ("mpm", "status", "--server", "sandbox")
    while simulated_panel.manage(*status, "--json").returncode != 0:
        assert time.monotonic() < end, simulated_panel.manage(*status).stderr
        time.sleep(0.5)


def test_two_panels_cannot_share_one_folder(simulated_panel: Panel) -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "demo", "--simulated"],
        env={**simulated_panel.environment, "PORT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"is already running at {simulated_panel.address}" in done.stderr
    assert login_page(simulated_panel).status_code == 200


def test_a_port_that_is_taken_is_said_and_another_one_is_proposed(make_panel: MakePanel) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DidNotStart, match=f"PORT={port + 1} make demo"):
            make_panel("--simulated", PORT=str(port))


@pytest.mark.parametrize("port", ["http", "-1", "70000"])
def test_what_is_no_port_is_refused(make_panel: MakePanel, port: str) -> None:
    with pytest.raises(DidNotStart, match="is no port"):
        make_panel("--simulated", PORT=port)


WITHOUT_DNF = (
    *("unshare", *(() if os.geteuid() == 0 else ("-r",)), "--mount", "sh", "-c"),
    'mount --bind /dev/null /usr/bin/dnf && exec "$@"',
    "sh",
)
"""A machine on which this one's dnf cannot be had, for what is started by it."""


def test_where_dnf_cannot_be_had_the_simulated_server_is_used_and_every_page_says_so(
    make_panel: MakePanel,
) -> None:
    panel = make_panel(within=WITHOUT_DNF)
    sentence = "This panel runs on a simulated server only: this machine lacks the program dnf"
    assert sentence in panel.output
    assert panel.running["servers"] == ["sandbox"]
    name, password = panel.accounts["administrator"]
    with httpx.Client(base_url=panel.address, timeout=30, follow_redirects=True) as client:
        assert sentence in client.get("login/").text
        form = {"username": name, "password": password}
        form["csrfmiddlewaretoken"] = client.cookies["csrftoken"]
        client.post("login/", data=form)
        ea4 = "software/easyapache4/"
        for path in ("", ea4, f"{ea4}mpm/", f"{ea4}history/", "servers/", "api/docs", "nowhere/"):
            assert sentence in client.get(path).text, path


def test_a_panel_of_ones_own_is_never_mistaken_for_the_demos(simulated_panel: Panel) -> None:
    """Settings in the environment say which panel a shell means; the folder only fills in."""
    own = {**simulated_panel.environment, "SECRET_KEY": "mine", "VAR_DIR": "/nonexistent/var"}
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "mpm", "status"],
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
