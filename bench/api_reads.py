"""Status reads over REST, token check and rate limit included, next to a bare view.

Both are served by one process of the panel's own web server, one after the other in turns:
``GET /api/v1/servers/web/mpm`` with a token, and a view of the same framework that returns a
constant of the same size: behind all of the panel's middleware, and behind that of the API only. A
request is one on a kept-alive connection.
"""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.report import Section, Table, ratio, spread

NAME = "api"
TITLE = "Status reads over REST"

ROUNDS = 7
SECONDS = 2.0
CLIENTS = 2
AIM = 0.75
PROJECT = Path(__file__).resolve().parent.parent


def measure(report: Callable[[str], None]) -> Section:
    with tempfile.TemporaryDirectory(prefix="ea4-bench-") as folder, serving(Path(folder)) as site:
        address, token = site
        paths = {
            "bare view": "/bare/mpm",
            "bare view, behind the API's middleware": "/api/v1/bare/mpm",
            "status read": "/api/v1/servers/web/mpm",
        }
        for path in paths.values():
            load(address, path, token, 0.5)
        rates: dict[str, list[float]] = {name: [] for name in paths}
        waits: dict[str, list[float]] = {name: [] for name in paths}
        for number in range(ROUNDS):
            for name, path in paths.items():
                seen = load(address, path, token, SECONDS)
                rates[name].append(len(seen) / SECONDS)
                waits[name] += seen
            report(f"round {number + 1} of {ROUNDS}: {rates['status read'][-1]:.0f} reads a second")
    bare, alike, read = (statistics.median(rates[name]) for name in paths)
    share = read / bare
    rows = tuple(
        (
            name,
            spread(rates[name], 0),
            ratio(statistics.median(rates[name]), bare),
            f"{statistics.median(waits[name]):.2f}",
            f"{percentile(waits[name], 0.99):.2f}",
        )
        for name in paths
    )
    return Section(
        findings=(
            (
                f"A status read with its token check makes {share:.2f} of the rate of a bare view "
                f"(aim: at least {AIM}), and {read / alike:.2f} of one behind the same middleware."
            ),
        ),
        tables=(
            Table(
                "Requests answered, all with status 200:",
                ("", "per second", "of the bare view", "median ms", "99 of 100 within ms"),
                rows,
            ),
        ),
        method=(
            "One gunicorn process with threads, SQLite, no Redis: limits are counted in memory.",
            (
                f"{CLIENTS} clients on kept-alive connections, {ROUNDS} rounds of {SECONDS:.0f} s "
                "in turns; the figures are of rounds."
            ),
            (
                "The bare view is of django-ninja and returns a constant of the same size. Once it "
                "is behind all of the panel's middleware, once behind the API's, which has nothing "
                "for sessions, languages and forms."
            ),
        ),
    )


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def load(address: tuple[str, int], path: str, token: str, seconds: float) -> list[float]:
    """Send requests on several connections at once; returns the milliseconds of every request.

    Raises RuntimeError for a status other than 200.
    """
    end = time.monotonic() + seconds

    def read_all() -> list[float]:
        seen, connection = [], http.client.HTTPConnection(*address, timeout=10)
        headers = {"Authorization": f"Bearer {token}", "Connection": "keep-alive"}
        while time.monotonic() < end:
            began = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            seen.append((time.perf_counter() - began) * 1000)
            if answer.status != 200:
                raise RuntimeError(f"{path} answered {answer.status}: {body[:200]!r}")
        connection.close()
        return seen

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [one for found in pool.map(lambda _: read_all(), range(CLIENTS)) for one in found]


@contextmanager
def serving(folder: Path) -> Iterator[tuple[tuple[str, int], str]]:
    """A panel with one server that is known by its profile, and a token for it."""
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "only for this measurement",
        "VAR_DIR": str(folder),
        "REDIS_URL": "memory://",
        "LOG_LEVEL": "ERROR",
        "API_PER_MINUTE": "10000000",
        "DJANGO_SETTINGS_MODULE": "bench.api_site",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    run("manage.py", "migrate", "--verbosity", "0")
    token = run("-m", "bench.api_site").strip()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        web = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gunicorn",
                "easyapache.wsgi:application",
                "--bind",
                f"fd://{listener.fileno()}",
                "--worker-class",
                "easyapache.web_worker.WholeRequests",
                "--threads",
                "4",
                "--keep-alive",
                "30",
                "--log-level",
                "error",
            ],
            cwd=PROJECT,
            env=environment,
            pass_fds=(listener.fileno(),),
        )
        try:
            yield listener.getsockname(), token
        finally:
            web.terminate()
            web.wait(timeout=20)
