"""Speaks REST with one panel: one method for each thing the commands need."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from mpm.client.configuration import Panel

POLL_SECONDS = 20
ATTEMPTS = 5
Json = dict[str, Any]


class Refused(Exception):
    """The panel said no. ``problem`` is its answer, ``status`` the HTTP status."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(str(problem.get("detail") or f"The panel answered {status}."))
        self.status, self.problem = status, problem


class Unreachable(Exception):
    """The panel could not be asked, also not by trying again."""


class Connection:
    """A session with a panel. Use it as a context manager."""

    def __init__(self, panel: Panel, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(
            base_url=f"{panel.url}/api/v1/",
            headers={
                "Authorization": f"Bearer {panel.token}",
                "User-Agent": "ea4mpm",
                "Accept": "application/json",
            },
            timeout=httpx.Timeout(30, read=POLL_SECONDS + 20),
            verify=panel.verify,
            transport=transport,
        )

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask, and ask again after a broken connection, 429 or 503.

        What could do something twice carries an Idempotency-Key, so repeating it is safe.
        Raises Refused and Unreachable.
        """
        last: Exception | None = None
        for attempt in range(ATTEMPTS):
            try:
                response = self._client.request(method, path, **options)
            except httpx.TransportError as error:
                last = error
                time.sleep(min(8.0, 0.5 * 2**attempt))
                continue
            if response.status_code in (429, 503) and attempt + 1 < ATTEMPTS:
                time.sleep(min(60.0, _seconds(response.headers.get("Retry-After"))))
                continue
            if response.is_success:
                return response
            raise Refused(response.status_code, _problem(response))
        raise Unreachable(f"{self._client.base_url} does not answer: {last}")

    def get(self, path: str, **parameters: Any) -> Json:
        wanted = {key: value for key, value in parameters.items() if value not in (None, "")}
        body: Json = self.request("GET", path, params=wanted).json()
        return body

    def post(self, path: str, body: Mapping[str, Any] | None = None, **parameters: Any) -> Json:
        answer: Json = self.request("POST", path, json=dict(body or {}), params=parameters).json()
        return answer

    def switch(self, server: str, body: Mapping[str, Any], key: str = "") -> Json:
        """``key``: to say that this is the request that was made before; else a new one."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        path = f"servers/{server}/mpm"
        answer: Json = self.request("PUT", path, json=dict(body), headers=headers).json()
        return answer

    def roll_back(self, change: str, body: Mapping[str, Any]) -> Json:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        path = f"changes/{change}/rollback"
        answer: Json = self.request("POST", path, json=dict(body), headers=headers).json()
        return answer

    def log(self, change: str, *, follow: bool) -> Iterator[bytes]:
        """The log in pieces; with ``follow`` until the change has ended."""
        offset = 0
        while True:
            wait = POLL_SECONDS if follow else 0
            response = self.request(
                "GET", f"changes/{change}/log", params={"after": offset, "wait": wait}
            )
            offset = int(response.headers["X-Log-Next"])
            if response.content:
                yield response.content
            ended = response.headers.get("X-Log-Ended") == "true"
            if ended or (not follow and not response.content):
                return

    def moments(self, change: str) -> Iterator[Json]:
        """The change each time it has moved on, until it has ended."""
        seen: tuple[Any, ...] | None = None
        while True:
            body = self.get(f"changes/{change}")
            now = (body["state"], body["step"], len(body["steps"]))
            if now != seen:
                seen = now
                yield body
            if body["finished"]:
                return
            time.sleep(0.3)

    def pages(self, path: str, **parameters: Any) -> Iterator[Json]:
        """The items of all pages."""
        cursor = ""
        while True:
            page = self.get(path, cursor=cursor, **parameters)
            yield from page["items"]
            cursor = page["next"] or ""
            if not cursor:
                return


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdecimal() else 1.0


def _problem(response: httpx.Response) -> Json:
    try:
        body = response.json()
    except ValueError:
        return {"detail": f"The panel answered {response.status_code}: {response.text[:200]}"}
    return body if isinstance(body, dict) else {"detail": str(body)[:200]}
