"""Requests that wait stop nobody: a real gunicorn, as the demo and the image run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from mpm.access.services.actor import Actor
from mpm.access.tokens import issue
from mpm.servers.models import Server
from mpm.web.polling import ANSWERS, POLLS, THREADS
from tests.panel.told import EVENT
from tests.panel_fixtures import PROJECT, RedisServer, database_url, wait_until

ADMIN = Actor(name="anna", role="administrator")


def command_of_the_image() -> list[str]:
    """What the image runs, without where it listens and what it logs."""
    text = (PROJECT / "Dockerfile").read_text()
    found = re.search(r"^CMD \[(\"gunicorn\".*?)\]$", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    words = re.findall(r'"([^"]+)"', found[1])
    for option in ("--bind", "--worker-tmp-dir", "--access-logfile"):
        at = words.index(option)
        del words[at : at + 2]
    return words


def test_the_demo_runs_it_with_as_many_threads_as_the_image() -> None:
    demo = (PROJECT / "demo/parts.py").read_text()
    words = command_of_the_image()
    assert words[words.index("--threads") + 1] == str(THREADS)
    assert f'"--threads", "{THREADS}"' in demo
    assert POLLS.count + ANSWERS.count <= THREADS - 2


@pytest.fixture
def web(
    transactional_db: None, redis_server: RedisServer, tmp_path: Path
) -> Iterator[Callable[[], httpx.Client]]:
    """Clients of a panel behind a socket in a folder."""
    folder = Path(tempfile.mkdtemp(prefix="ea4w-"))
    socket = folder / "web.sock"
    environment = {
        **{key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ},
        "PYTHONPATH": str(PROJECT),
        "DJANGO_SETTINGS_MODULE": "easyapache.settings",
        "SECRET_KEY": "only for tests",
        "DATABASE_URL": database_url(),
        "REDIS_URL": redis_server.url.replace("redis+socket", "unix").replace(
            "?virtual_host=0", "?db=0"
        ),
        "VAR_DIR": str(tmp_path / "var"),
        "DEBUG": "true",  # static files need no collecting
    }
    with (tmp_path / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", *command_of_the_image()),
                *("--bind", f"unix:{socket}", "--worker-tmp-dir", str(tmp_path)),
            ],
            cwd=PROJECT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    clients: list[httpx.Client] = []

    def client() -> httpx.Client:
        made = httpx.Client(
            # A socket has no certificates: reading the authorities' for each of forty clients takes
            # longer than all that is asked here.
            transport=httpx.HTTPTransport(uds=str(socket), verify=False),
            base_url="http://localhost",
            timeout=60,
            trust_env=False,
        )
        clients.append(made)
        return made

    def answers() -> bool:
        try:
            return client().get("/login/").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, 60, "gunicorn did not answer")
        yield client
    except AssertionError:
        sys.stderr.write((tmp_path / "web.log").read_text())
        raise
    finally:
        for one in clients:
            one.close()
        process.terminate()
        process.wait(30)
        socket.unlink(missing_ok=True)
        folder.rmdir()


def test_the_sign_in_page_answers_while_forty_polls_and_logs_are_followed(
    web: Callable[[], httpx.Client], known_server: Callable[..., Server]
) -> None:
    from mpm.changes.services.request import request_change

    change = request_change(known_server(), EVENT, actor=ADMIN)
    headers = {"Authorization": f"Bearer {issue(ADMIN, name='nosy', scopes=('read',)).text}"}
    addresses = [
        "/api/v1/events?after=ffff&wait=25",
        f"/api/v1/changes/{change.pk}?wait=25",
        f"/api/v1/changes/{change.pk}/log?wait=25",
    ]

    clients = [web() for _ in range(40)]

    def poll(number: int) -> tuple[httpx.Response, float]:
        answer = clients[number].get(addresses[number % 3], headers=headers)
        return answer, time.monotonic()

    with ThreadPoolExecutor(40) as pool:
        polls = [pool.submit(poll, number) for number in range(40)]
        # Whoever found no place has been answered by now; the others wait.
        wait_until(lambda: sum(one.done() for one in polls) >= 40 - 2 * POLLS.count, 20, "stuck")
        for path in ("/login/", "/api/v1/openapi.json"):
            assert web().get(path).status_code == 200
        assert web().get("/api/v1/servers", headers=headers).status_code == 200
        served = time.monotonic()
        ended = [one.result() for one in polls]
    waited = [answer for answer, at in ended if at > served]
    assert waited
    assert all("Retry-After" not in answer.headers for answer in waited)
    turned = [answer for answer, _ in ended if "Retry-After" in answer.headers]
    assert len(turned) == 40 - len(waited)
    assert {answer.status_code for answer, _ in ended} == {200}
