"""The sign-in page while no, a hundred and a thousand clients wait for something."""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.report import Section, Table, spread, whole
from demo.folder import PROJECT
from demo.parts import free_port, redis_server

NAME = "waiting"
TITLE = "Waiting: the sign-in page beside a thousand clients that wait"

CROWDS = ((0, "nobody"), (100, "100, each with a token"), (1000, "1 000, each with a token"))
ONE_TOKEN = (1000, "1 000, all with one token")
SECONDS = 20.0
PACE = 0.025
AIM_MS = 100.0


def command_of_the_image() -> list[str]:
    """The image's command, without its options for listening and logging."""
    text = (PROJECT / "Dockerfile").read_text()
    found = re.search(r"^CMD \[.*?(\"gunicorn\".*?)\]$", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    arguments = re.findall(r'"([^"]+)"', found[1])
    for option in ("--bind", "--worker-tmp-dir", "--access-logfile"):
        at = arguments.index(option)
        del arguments[at : at + 2]
    return arguments


@dataclass
class Seen:
    """One crowd. Milliseconds of the sign-in page while it ``arrived`` and while it ``waited``."""

    title: str
    arrived: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    memory: int = 0
    arrival: Mapping[str, Any] = field(default_factory=dict)
    tally: Mapping[str, Any] = field(default_factory=dict)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Site:
    """A panel as the image runs it, behind a socket, with a Redis of its own."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.socket = str(folder / "web.sock")
        self._folder = folder
        self._port = free_port()
        self._redis: subprocess.Popen[bytes] | None = None
        self.environment = {
            "PATH": os.environ["PATH"],
            "SECRET_KEY": secrets.token_urlsafe(48),
            "VAR_DIR": str(folder / "var"),
            "REDIS_URL": f"redis://127.0.0.1:{self._port}/0",
            "LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "easyapache.settings",
            "PYTHONPATH": str(PROJECT),
        }
        self._command = [
            *(sys.executable, "-m", *command, "--bind", f"unix:{self.socket}"),
            *("--worker-tmp-dir", str(folder), "--log-level", "error"),
        ]
        self._web: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> str:
        """Raises RuntimeError with the output."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    def start_redis(self) -> None:
        self._redis = subprocess.Popen(
            [
                str(redis_server()),
                *("--port", str(self._port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", str(self._folder)),
            ],
            stdout=subprocess.DEVNULL,
        )

    def stop_redis(self) -> None:
        if self._redis is not None:
            self._redis.terminate()
            self._redis.wait(10)

    def up(self) -> None:
        self._web = subprocess.Popen(self._command, cwd=PROJECT, env=self.environment)
        end = time.monotonic() + 60
        while not self._is_up():
            if time.monotonic() > end:
                raise RuntimeError("the web part did not answer")
            time.sleep(0.1)
        for _ in range(40):  # each thread of each process has its templates and its connection
            self.sign_in_page()

    def down(self) -> None:
        if self._web is not None:
            self._web.terminate()
            self._web.wait(30)
            self._web = None

    def _is_up(self) -> bool:
        try:
            return self.sign_in_page() > 0
        except OSError:
            return False

    def sign_in_page(self) -> float:
        """Milliseconds from the connection to the last byte. Raises RuntimeError for no page."""
        began = time.perf_counter()
        connection = UnixConnection(self.socket)
        try:
            connection.request("GET", "/login/")
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the sign-in page answered {answer.status}")
        finally:
            connection.close()
        return (time.perf_counter() - began) * 1000

    def memory(self) -> int:
        """Bytes of all processes of the web part, shared pages divided among them (PSS)."""
        assert self._web is not None
        first = self._web.pid
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return sum(_pss(pid) for pid in (str(first), *children))


def _pss(pid: str) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    line = next(one for one in text.splitlines() if one.startswith("Pss:"))
    return int(line.split()[1]) * 1024


@contextmanager
def standing(command: list[str]) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="ea4b") as name:
        site = Site(Path(name), command)
        site.start_redis()
        try:
            site.run("manage.py", "prepare")
            yield site
        finally:
            site.down()
            site.stop_redis()


def watched(site: Site, count: int, title: str, tokens: int, report: Callable[[str], None]) -> Seen:
    """Restart the web part, let ``count`` clients wait, and request the page meanwhile."""
    seen = Seen(title)
    made = json.loads(site.run("-m", "bench.waiting_site", "prepare", str(max(1, tokens))))
    site.up()
    before = site.memory()
    number = made["change"]
    paths = [
        f"/api/v1/events?cursor={made['cursor']}&wait=25",
        f"/api/v1/changes/{number}?wait=25",
        f"/api/v1/changes/{number}/log?wait=25",
    ]
    crowd = subprocess.Popen(
        [sys.executable, "-m", "bench.waiters"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert crowd.stdin is not None
    assert crowd.stdout is not None
    wish = {"socket": site.socket, "paths": paths, "tokens": made["tokens"], "count": count}
    crowd.stdin.write(f"{json.dumps(wish)}\n")
    crowd.stdin.flush()
    began = time.monotonic()
    _time_page(site, seen.arrived, began + 5)
    seen.arrival = json.loads(crowd.stdout.readline())
    began = time.monotonic()
    _time_page(site, seen.waited, began + SECONDS)
    seen.memory = site.memory() - before
    site.run("-m", "bench.waiting_site", "end", str(number))
    crowd.stdin.write("ended\n")
    crowd.stdin.flush()
    seen.tally = json.loads(crowd.stdout.readline())
    crowd.wait(30)
    site.down()
    report(f"{title}: {statistics.median(seen.waited):.1f} ms")
    return seen


def _time_page(site: Site, into: list[float], until: float) -> None:
    while time.monotonic() < until:
        into.append(site.sign_in_page())
        time.sleep(PACE)


def measure(report: Callable[[str], None]) -> Section:
    found = []
    for count, title in CROWDS:
        with standing(command_of_the_image()) as site:
            found.append((count, watched(site, count, title, count, report)))
    count, title = ONE_TOKEN
    with standing(command_of_the_image()) as site:
        found.append((count, watched(site, count, title, 1, report)))
    return section(found)


def section(found: list[tuple[int, Seen]]) -> Section:
    rows, crowds = [], []
    for count, seen in found:
        rows.append(
            (
                seen.title,
                spread(seen.waited, 1),
                f"{_within(seen.waited):.1f}",
                spread(seen.arrived, 1),
                f"{seen.memory / 1024 / count:.1f}" if count else "–",
            )
        )
        answers = seen.tally["answers"]
        learned = seen.tally["learned"]
        crowds.append(
            (
                seen.title,
                f"{seen.arrival['seconds']:.1f}" if count else "–",
                whole(seen.tally["held"]),
                whole(seen.tally["turned"] - answers.get("429", 0)),
                whole(answers.get("429", 0)),
                whole(
                    seen.tally["broken"]
                    + sum(n for status, n in answers.items() if status not in ("200", "429"))
                ),
                spread(learned, 1) if learned else "–",
            )
        )
    worst = max(statistics.median(seen.waited) for _, seen in found)
    verdict = "Reached" if worst <= AIM_MS else "Missed"
    return Section(
        findings=(
            (
                f"{verdict}. Beside a thousand clients that wait the sign-in page takes "
                f"{worst:.1f} ms at most (median; aim: under {AIM_MS:.0f}), beside nobody "
                f"{statistics.median(found[0][1].waited):.1f} ms."
            ),
        ),
        tables=(
            Table(
                "The sign-in page, in milliseconds on a new connection each, and what the web part "
                "grew by.",
                (
                    "clients that wait",
                    "median",
                    "95 of 100 within",
                    "while all arrive at once",
                    "KiB per client",
                ),
                tuple(rows),
            ),
            Table(
                "What the clients met. The last column is from the end of the change they follow "
                "until they know of it.",
                (
                    "clients that wait",
                    "s until each was answered once or waits",
                    "answers that waited",
                    "with Retry-After",
                    "429 (limit of the token)",
                    "broken or other",
                    "s until they know",
                ),
                tuple(crowds),
            ),
        ),
        method=(
            (
                "gunicorn as the image runs it (two processes with eight threads), SQLite, Redis, "
                "all on this machine; the crowd is one other process."
            ),
            (
                "A third of the clients polls events, a third a change, a third follows its log, "
                "each with wait=25. They ask again at once after a wait, and after as many seconds "
                "as Retry-After says otherwise."
            ),
            (
                f"{SECONDS:.0f} s of one sign-in page after the other, {PACE * 1000:.0f} ms "
                "between them, after the crowd has settled."
            ),
        ),
    )


def _within(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 95 // 100)]
