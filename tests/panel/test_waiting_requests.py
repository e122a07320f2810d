"""Requests that wait stop nobody: a real gunicorn, as the demo and the image run it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bench.waiting import command_of_the_image
from mpm.access.services.actor import Actor
from mpm.access.tokens import issue
from mpm.servers.models import Server
from mpm.web.polling import ANSWERS, LATEST, POLLS, SOONEST, THREADS
from tests.panel.reports import EVENT
from tests.panel_fixtures import PROJECT, RedisServer, database_url, wait_until

ADMIN = Actor(name="anna", role="administrator")


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


@dataclass
class Round:
    """What forty polls and what others met meanwhile. ``waited``: polls that were still waiting
    when the others had been answered; ``others``: the statuses of those."""

    ended: list[httpx.Response]
    waited: list[httpx.Response]
    others: list[int]

    @property
    def turned(self) -> list[httpx.Response]:
        return [answer for answer in self.ended if "Retry-After" in answer.headers]


def forty_polls(
    web: Callable[[], httpx.Client], addresses: list[str], headers: dict[str, str]
) -> Round:
    clients = [web() for _ in range(40)]
    asker = web()

    def poll(number: int) -> tuple[httpx.Response, float]:
        answer = clients[number].get(addresses[number % len(addresses)], headers=headers)
        return answer, time.monotonic()

    with ThreadPoolExecutor(40) as pool:
        polls = [pool.submit(poll, number) for number in range(40)]
        # Until whoever found no place has been answered; a wait ends by itself at the latest.
        wait_until(lambda: sum(one.done() for one in polls) >= 40 - 2 * POLLS.count, 120, "stuck")
        others = [
            asker.get("/login/").status_code,
            asker.get("/api/v1/openapi.json").status_code,
            asker.get("/api/v1/servers", headers=headers).status_code,
        ]
        served = time.monotonic()
        ended = [one.result() for one in polls]
    return Round(
        [answer for answer, _ in ended], [answer for answer, at in ended if at > served], others
    )


def test_the_sign_in_page_answers_while_forty_polls_and_logs_are_followed(
    web: Callable[[], httpx.Client], known_server: Callable[..., Server]
) -> None:
    from mpm.changes.services.request import request_change

    change = request_change(known_server(), EVENT, actor=ADMIN)
    headers = {"Authorization": f"Bearer {issue(ADMIN, name='nosy', scopes=('read',)).text}"}
    addresses = [
        "/api/v1/events?cursor=ffff&wait=30",
        f"/api/v1/changes/{change.pk}?wait=30",
        f"/api/v1/changes/{change.pk}/log?wait=30",
    ]
    # On a machine that has much else to do forty answers may take longer than a poll waits. That
    # says nothing of the panel, and a panel whose pages stand behind its polls fails each round.
    seen = forty_polls(web, addresses, headers)
    for _ in range(3):
        assert seen.others == [200, 200, 200]
        assert {answer.status_code for answer in seen.ended} == {200}
        if len(seen.waited) + len(seen.turned) == 40:
            break
        seen = forty_polls(web, addresses, headers)
    assert seen.waited
    assert all("Retry-After" not in answer.headers for answer in seen.waited)
    assert len(seen.turned) == 40 - len(seen.waited)
    assert all(SOONEST <= int(answer.headers["Retry-After"]) <= LATEST for answer in seen.turned)
