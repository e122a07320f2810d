"""How soon the chooser answers a click: the findings of a choice, from a whole running panel."""

from __future__ import annotations

import http.client
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from bench.report import Section, Table, spread
from demo.panel import Panel

NAME = "chooser"
TITLE = "The chooser: findings as one clicks"
AIM_MS = 150.0
TIMES = 60
MPM = "/software/easyapache4/mpm/"
PAGES = {
    "findings of event": f"{MPM}plan/?mpm=event",
    "findings of worker with mod_http2": f"{MPM}plan/?mpm=worker&add=ea-apache24-mod_http2",
    "findings of prefork with ITK": f"{MPM}plan/?mpm=prefork&itk=on",
    "the whole page": f"{MPM}?mpm=event",
}

METHOD = (
    f"Each was asked {TIMES} times in turns, over one connection, of a panel with its worker, its "
    "beat and the agent of a simulated server on the same machine."
)


class Reader:
    """A person who is signed in, with one connection that is kept open, as a browser's is."""

    def __init__(self, panel: Panel) -> None:
        self._to = http.client.HTTPConnection(urlsplit(panel.address).netloc, timeout=60)
        self._cookies: dict[str, str] = {}
        form = self.get("/login/")[0].decode()
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        if found is None:
            raise RuntimeError("The sign-in form has no token.")
        name, password = panel.accounts["administrator"]
        login = {"csrfmiddlewaretoken": found[1], "username": name, "password": password}
        self._request("POST", "/login/", urlencode(login))
        if "sessionid" not in self._cookies:
            raise RuntimeError("The panel did not let the reader in.")

    def get(self, path: str) -> tuple[bytes, float]:
        """The response body, and the milliseconds to its last byte."""
        begun = time.perf_counter()
        body = self._request("GET", path)
        return body, (time.perf_counter() - begun) * 1000

    def _request(self, method: str, path: str, body: str | None = None) -> bytes:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {"Cookie": cookies, "Accept-Encoding": "gzip"} if method == "GET" else {}
        if path == "/login/":
            headers = {"Cookie": cookies}
        if path.startswith(f"{MPM}plan/"):
            headers["HX-Request"] = "true"
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._to.request(method, path, body, headers)
        answer = self._to.getresponse()
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.split(";")[0].partition("=")
            self._cookies[name] = value
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{path}: status {answer.status}")
        return text


def measure(report: Callable[[str], None]) -> Section:
    with tempfile.TemporaryDirectory(prefix="ea4bench") as name:
        panel = Panel.start(Path(name) / "p", "--simulated")
        try:
            while panel.manage("mpm", "status", "--json").returncode:
                time.sleep(0.5)
            readings, sizes = _read(Reader(panel), report)
        finally:
            panel.stop()
    late = {title: sorted(times)[len(times) * 95 // 100] for title, times in readings.items()}
    worst = max(took for title, took in late.items() if title.startswith("findings"))
    rows = tuple(
        (title, spread(times, 1), f"{late[title]:.1f}", str(sizes[title]))
        for title, times in readings.items()
    )
    verdict = "within" if worst <= AIM_MS else "above"
    return Section(
        findings=(
            f"19 of 20 findings came within {worst:.0f} ms, {verdict} the aim of {AIM_MS:.0f} ms.",
        ),
        tables=(
            Table(
                "Milliseconds from the request to the last byte of the answer",
                ("what", "median", "95 of 100 within", "bytes, compressed"),
                rows,
            ),
        ),
        method=(METHOD,),
    )


def _read(
    reader: Reader, report: Callable[[str], None]
) -> tuple[dict[str, list[float]], dict[str, int]]:
    readings: dict[str, list[float]] = {title: [] for title in PAGES}
    sizes = {}
    for path in PAGES.values():
        reader.get(path)  # templates and catalogue are read once per process
    for _ in range(TIMES):
        for title, path in PAGES.items():
            body, took = reader.get(path)
            readings[title].append(took)
            sizes[title] = len(body)
    report(f"asked {TIMES} times each")
    return readings, sizes
