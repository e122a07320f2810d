"""The whole panel with its agents: the client, WHM's calls and a fuzzer against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from easyapache.agent.simulated.server import SimulatedServer
from tests.stack import Panel

APACHE = "ea-apache24"
ROOT = Path(__file__).resolve().parents[2]


def token_for(panel: Panel, *scopes: str, **options: str) -> str:
    arguments = [part for scope in scopes for part in ("--scope", scope)]
    arguments += [part for name, value in options.items() for part in (f"--{name}", value)]
    arguments += ["--per-minute", "100000"]
    printed = panel.manage("mpm", "token", "create", "tests", *arguments, "--json").stdout
    return str(json.loads(printed)["token"])


def simulated_name(panel: Panel) -> str:
    return next(
        str(item["name"])
        for item in json.loads(panel.manage("mpm", "server", "list", "--json").stdout)["items"]
        if item["kind"] == "simulated"
    )


class Shell:
    """Runs ``ea4mpm`` as a person would."""

    def __init__(self, panel: Panel, token: str, folder: Path) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "EA4MPM_URL": panel.address,
            "EA4MPM_TOKEN": token,
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "160",
        }

    def run(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mpm.cli.remote.main", *arguments],
            env=self.environment,
            cwd=self.environment["HOME"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status))


def settled(panel: Panel, token: str, server: str) -> None:
    """Wait until the server has been seen and nothing is under way on it."""
    end = time.monotonic() + 60
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as client:
        while time.monotonic() < end:
            answer = client.get(f"{panel.address}api/v1/servers/{server}").json()
            if answer.get("digest") and answer.get("active_change") is None:
                return
            time.sleep(0.2)
    raise AssertionError(f"{server} did not settle")


@pytest.fixture
def server(simulated_panel: Panel) -> str:
    return simulated_name(simulated_panel)


@pytest.fixture
def shell(simulated_panel: Panel, server: str, tmp_path: Path) -> Iterator[Shell]:
    token = token_for(simulated_panel, "admin")
    settled(simulated_panel, token, server)
    yield Shell(simulated_panel, token, tmp_path)
    settled(simulated_panel, token, server)


def test_the_client_switches_there_and_back(shell: Shell, server: str) -> None:
    assert server in shell.run("server", "list")
    before = shell.json("status", "--server", server)
    target = "worker" if before["mpm"] == "event" else "event"
    planned = shell.json("plan", target, "--server", server)
    assert f"{APACHE}-mod_mpm_{target}" in [item["name"] for item in planned["install"]]
    text = shell.run(
        *("switch", target, "--server", server, "--digest", planned["digest"]),
        *("--reason", "a test", "--wait"),
    )
    assert "Succeeded" in text
    assert shell.json("status", "--server", server)["mpm"] == target
    latest = shell.json("history", "--server", server, "--limit", "1")["items"][0]
    assert (latest["reason"], latest["origin"]) == ("a test", "rest")
    assert "packages" in shell.run("log", "-f", str(latest["id"]))
    assert latest["server"] in shell.run("show", str(latest["id"]))
    assert (
        shell.run("switch", target, "--server", server, "--yes")
        .strip()
        .endswith("required packages.")
    )
    shell.run("switch", "prefork", "--server", server, "--digest", "0" * 32, status=3)
    back = shell.json("rollback", str(latest["id"]), "--wait")
    assert back["state"] == "succeeded"
    assert shell.json("status", "--server", server)["mpm"] == before["mpm"]


def test_the_client_manages_tokens_and_says_no_by_its_exit_status(
    shell: Shell, server: str
) -> None:
    made = shell.json("token", "create", "ci", "--scope", "read", "--server", server)
    assert made["token"].startswith("ea4mpm_")
    assert "ci" in shell.run("token", "list")
    shell.environment["EA4MPM_TOKEN"] = made["token"]
    assert shell.json("token", "show")["scopes"] == ["read"]
    shell.run("switch", "event", "--server", server, "--dry-run", status=3)
    shell.run("status", "--server", "nowhere", status=3)
    shell.environment["EA4MPM_URL"] = ""
    shell.run("server", "list", status=2)


def other_than(shell: Shell, server: str) -> str:
    return "worker" if shell.json("status", "--server", server)["mpm"] == "event" else "event"


def test_the_client_asks_the_server_itself(shell: Shell, server: str) -> None:
    planned = shell.json(
        *("plan", other_than(shell, server), "--server", server, "--source", "server")
    )
    assert planned["source"] == "server"
    assert planned["install"]


def test_a_log_is_followed_while_the_change_runs_and_another_one_finds_the_server_busy(
    simulated_panel: Panel, shell: Shell, server: str
) -> None:
    now, target = shell.json("status", "--server", server)["mpm"], other_than(shell, server)
    third = ({"event", "worker", "prefork"} - {now, target}).pop()
    with simulated(simulated_panel, server).state() as state:
        before, state["pace"] = state["pace"], 1.5
    try:
        number = str(shell.json("switch", target, "--server", server, "--yes")["change"]["id"])
        problem = shell.json("switch", third, "--server", server, "--yes", status=5)
        assert (problem["code"], str(problem["change"]["id"])) == ("busy", number)
        assert shell.json("show", number)["finished"] is False
        text = shell.run("log", "-f", number)
    finally:
        with simulated(simulated_panel, server).state() as state:
            state["pace"] = before
    assert shell.json("show", number)["state"] == "succeeded"
    assert text == shell.run("log", number)
    assert "Complete!" in text


def test_a_change_that_is_taken_back_ends_with_status_1(
    simulated_panel: Panel, shell: Shell, server: str
) -> None:
    before = shell.json("status", "--server", server)["mpm"]
    with simulated(simulated_panel, server).state() as state:
        state["faults"]["restart"] = 1
    ended = shell.json(
        *("switch", other_than(shell, server), "--server", server, "--yes", "--wait"), status=1
    )
    assert ended["state"] == "restored"
    shell.run("log", "-f", str(ended["id"]), status=1)
    settled(simulated_panel, shell.environment["EA4MPM_TOKEN"], server)
    assert shell.json("status", "--server", server)["mpm"] == before


def simulated(panel: Panel, server: str) -> SimulatedServer:
    """What an agent of the panel takes for its server."""
    config = tomllib.loads((panel.folder / f"agents/{server}.toml").read_text())
    return SimulatedServer(Path(config["simulated_state"]))


def whm_answer(panel: Panel, token: str, function: str, **values: Any) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(
        f"{panel.address}json-api/{function}",
        data={"api.version": "1", **values},
        headers={"Authorization": f"whm root:{token}"},
        timeout=60,
    ).json()
    return answer


def whm(panel: Panel, token: str, function: str, **values: Any) -> dict[str, Any]:
    answer = whm_answer(panel, token, function, **values)
    assert answer["metadata"]["result"] == 1, answer
    return dict(answer["data"])


def test_a_whm_script_is_told_that_httpd_did_not_come_up(
    simulated_panel: Panel, shell: Shell, server: str
) -> None:
    token = shell.environment["EA4MPM_TOKEN"]
    with simulated(simulated_panel, server).state() as state:
        state["faults"]["undo_restart" if state.get("undone") else "restart"] = 1
    answer = whm_answer(simulated_panel, token, "restartservice", service="httpd", server=server)
    assert set(answer) == {"metadata"}
    assert "Apache didn't start" in answer["metadata"]["reason"]
    done = whm(simulated_panel, token, "restartservice", service="httpd", server=server)
    assert "Apache runs" in done["output"]


def test_a_whm_script_restarts_httpd_and_refreshes_the_cache(
    simulated_panel: Panel, shell: Shell, server: str
) -> None:
    token = shell.environment["EA4MPM_TOKEN"]
    done = whm(simulated_panel, token, "restartservice", service="httpd", server=server)
    assert done["service"] == "httpd"
    assert "Apache runs" in done["output"]
    assert whm(simulated_panel, token, "package_manager_fixcache", server=server) == {
        "cache_seems_ok_now": 1
    }


def test_a_whm_script_switches_there_and_back(
    simulated_panel: Panel, shell: Shell, server: str
) -> None:
    token = shell.environment["EA4MPM_TOKEN"]

    def call(function: str, **values: Any) -> dict[str, Any]:
        return whm(simulated_panel, token, function, server=server, **values)

    first = shell.json("status", "--server", server)["mpm"]
    for target in ("worker" if first == "event" else "event", first):
        moves = call("package_manager_resolve_actions", package=f"{APACHE}-mod_mpm_{target}")
        build = call(
            "package_manager_submit_actions",
            install=moves["install"],
            uninstall=moves["uninstall"],
        )["build"]
        offset, running, lines = 0, 1, []
        while running:
            log = call("package_manager_get_build_log", build=build, offset=offset)
            lines += log["content"]
            offset, running = log["offset"], log["still_running"]
            time.sleep(0.1)
        assert lines
        assert call("package_manager_is_performing_actions", build=build) == {"active": 0}
        installed = call("ea4_get_currently_installed_packages")["packages"]
        assert f"{APACHE}-mod_mpm_{target}" in installed


CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "ignored_auth",
)


def test_a_fuzzer_finds_no_server_error_and_no_mismatch(
    simulated_panel: Panel, shell: Shell, server: str, tmp_path: Path
) -> None:
    """Every operation, by a change-scoped token, on the simulated server. Long polls are asked
    not to wait, or the fuzzer would do little else."""
    token = token_for(simulated_panel, "change", "rollback")
    (tmp_path / "schemathesis.toml").write_text(
        f'[parameters]\n"query.wait" = 0\n"path.server" = "{server}"\n"path.change" = "1"\n'
    )
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run"),
            f"{simulated_panel.address}api/v1/openapi.json",
            *("--url", simulated_panel.address.rstrip("/")),
            *("--header", f"Authorization: Bearer {token}"),
            *("--checks", ",".join(CHECKS)),
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-examples", "4"),
            *("--seed", "1"),
            # One: threads that parse at once break the parser of Python 3.11 (all share one count
            # of its recursion), which the fuzzer reports as an error of its own.
            *("--workers", "1"),
            *("--generation-database", "none"),
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
