"""A REST client for one panel, over the network or, with its own transport, in process."""

from __future__ import annotations

import math
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from mpm.cli.commands.language import _
from mpm.cli.commands.statuses import BadUsage, Json, Refused, Unreachable

POLL_SECONDS = 20
ATTEMPTS = 5
PAUSE = 1.0
"""Seconds to wait after a long poll that returned at once and empty: the panel had no capacity for
it."""
PAGE = 200
"""Items of a list in one request."""
PACE = 0.5
"""Seconds between two looks at a change that is followed."""
_PROXY = (502, 504)
"""What a proxy answers for a panel that it cannot reach, or that was cut off while it worked."""


@dataclass(frozen=True, slots=True)
class Panel:
    url: str
    token: str
    verify: bool | str = True
    """False to accept an unsigned certificate, or the path of a CA certificate."""


def address(*parts: str) -> str:
    """A path below the API's. Names are quoted, so that none leads elsewhere. Raises BadUsage for a
    name of dots, which would."""
    for part in parts:
        if part in ("", ".", ".."):
            raise BadUsage(_("{name!r} is no name here.").format(name=part))
    return "/".join(quote(part, safe="") for part in parts)


class Connection:
    """A session with a panel. Use it as a context manager. Raises BadUsage for an address or
    certificates that cannot be used. ``attempts``: how often a request is made at most."""

    def __init__(
        self,
        panel: Panel,
        transport: httpx.BaseTransport | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._attempts = attempts
        try:
            self._client = httpx.Client(
                base_url=f"{panel.url}/api/v1/",
                headers={
                    "Authorization": f"Bearer {panel.token}",
                    "User-Agent": "ea4mpm",
                    "Accept": "application/json",
                },
                timeout=httpx.Timeout(30, read=POLL_SECONDS + 20),
                verify=_trust(panel),
                transport=transport,
            )
        except httpx.InvalidURL as error:
            raise BadUsage(f"{panel.url}: {error}", "configuration") from error

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def request(
        self, method: str, path: str, *, again: bool = True, **options: Any
    ) -> httpx.Response:
        """Send a request, and repeat it after a broken connection, 429 or 503.

        ``again`` is false for a request that must not be carried out twice, a POST without an
        Idempotency-Key: it is repeated only if the panel cannot have received it or has done
        nothing. Raises Refused and Unreachable.
        """
        last: Exception | None = None
        for attempt in range(self._attempts):
            try:
                response = self._client.request(method, path, **options)
            except httpx.TransportError as error:
                if why := _no_trust(error):
                    raise Unreachable(
                        _("{panel} can't be trusted: {error}").format(
                            panel=self._client.base_url, error=why
                        )
                    ) from error
                if not again and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    raise Unreachable(
                        _(
                            "The connection to {panel} was lost ({error}). The request may have "
                            "been carried out: check before you repeat it."
                        ).format(panel=self._client.base_url, error=error)
                    ) from error
                last = error
                time.sleep(min(8.0, 0.5 * 2**attempt))
                continue
            except httpx.RequestError as error:
                raise self._no_panel(str(error)) from error
            later = response.status_code in (429, 503) or (again and response.status_code in _PROXY)
            if later and attempt + 1 < self._attempts:
                time.sleep(min(60.0, _seconds(response.headers.get("Retry-After"))))
                continue
            if response.is_success:
                return response
            raise Refused(response.status_code, self._object(response))
        raise Unreachable(
            _("{panel} doesn't answer: {error}").format(panel=self._client.base_url, error=last)
        )

    def request_json(self, method: str, path: str, **options: Any) -> Json:
        """The JSON object of the answer."""
        return self._object(self.request(method, path, **options))

    def get(self, path: str, **parameters: Any) -> Json:
        wanted = {key: value for key, value in parameters.items() if value not in (None, "")}
        return self.request_json("GET", path, params=wanted)

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        """A request that would be carried out twice if it were repeated."""
        return self.request_json("POST", path, json=dict(body), again=False)

    def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        return self.request_json("PATCH", path, json=dict(body))

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def plan(self, server: str, choice: Mapping[str, Any]) -> Json:
        """What a choice would do, worked out by the panel at once."""
        return self.request_json("POST", address("servers", server, "plans"), json=dict(choice))

    def plan_of_server(self, server: str, choice: Mapping[str, Any], seconds: float) -> Json:
        """The same by the server's own dnf; {href, state} when it has not answered in time."""
        began = time.monotonic()
        end = began + seconds
        path = address("servers", server, "plans")
        params = {"source": "server", "wait": POLL_SECONDS}
        body = self.request_json("POST", path, json=dict(choice), params=params, again=False)
        while "href" in body and time.monotonic() < end:
            _rest(began)
            began = time.monotonic()
            plan = str(body["href"]).rpartition("/")[2]
            wait = max(0, min(POLL_SECONDS, int(end - began)))
            body = self.get(address("servers", server, "plans", plan), wait=wait)
        return body

    def switch(self, server: str, body: Mapping[str, Any], key: str = "") -> Json:
        """``key``: that of an earlier attempt at the same request; default: a new one."""
        return self.once("PUT", address("servers", server, "mpm"), body, key)

    def roll_back(self, change: str, body: Mapping[str, Any]) -> Json:
        return self.once("POST", address("changes", change, "rollback"), body)

    def cancel(self, change: str) -> Json:
        return self.once("POST", address("changes", change, "cancel"), {})

    def once(self, method: str, path: str, body: Mapping[str, Any], key: str = "") -> Json:
        """Carried out once, however often it must be sent."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self.request_json(method, path, json=dict(body), headers=headers)

    def log(self, change: str, *, follow: bool) -> Iterator[bytes]:
        """The log in pieces; with ``follow`` until the change has ended."""
        offset = 0
        wait = POLL_SECONDS if follow else 0
        while True:
            began = time.monotonic()
            response = self.request(
                "GET", address("changes", change, "log"), params={"offset": offset, "wait": wait}
            )
            following = response.headers.get("X-Log-Next", "")
            if not following.isdecimal():
                raise self._no_panel("X-Log-Next")
            offset = int(following)
            if response.content:
                yield response.content
            ended = response.headers.get("X-Log-Ended") == "true"
            if ended or (not follow and not response.content):
                return
            if not response.content:
                _rest(began, response)

    def moments(self, change: str, seconds: float | None = None) -> Iterator[Json]:
        """The change each time it has moved on, until it has ended or ``seconds`` have passed."""
        seen: tuple[Any, ...] | None = None
        end = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            body = self.get(address("changes", change))
            now = (body["state"], len(body["steps"]), body["silent_since"])
            if now != seen:
                seen = now
                yield body
            if body["finished"] or time.monotonic() >= end:
                return
            time.sleep(PACE)

    def pages(self, path: str, limit: int | None = None, **parameters: Any) -> Json:
        """{items, next} of as many pages as ``limit`` items take, of all without one; ``next`` is
        null at the end."""
        found: list[Json] = []
        following = parameters.pop("cursor", "")
        while True:
            most = PAGE if limit is None else min(limit - len(found), PAGE)
            page = self.get(path, cursor=following, limit=most, **parameters)
            found += page["items"]
            following = page["next"]
            if not following or (limit is not None and len(found) >= limit):
                return {"items": found, "next": following or None}

    def _object(self, response: httpx.Response) -> Json:
        """The JSON object of a response, also of a refusal. Raises Unreachable."""
        try:
            body = response.json()
        except ValueError:
            body = None
        if isinstance(body, dict):
            return body
        kind = response.headers.get("Content-Type", "")
        text = response.headers.get("Location") or (
            response.reason_phrase if "html" in kind else " ".join(response.text[:200].split())
        )
        raise self._no_panel(f"{response.status_code} {text}".rstrip())

    def _no_panel(self, answer: str) -> Unreachable:
        return Unreachable(
            _("{panel} doesn't answer as a panel does ({answer}). Check its URL.").format(
                panel=self._client.base_url, answer=answer
            )
        )


def _rest(began: float, response: httpx.Response | None = None) -> None:
    """Wait after a long poll that returned at once, as long as Retry-After if given."""
    later = response.headers.get("Retry-After") if response is not None else None
    if later is not None:
        time.sleep(min(120.0, max(PAUSE, _seconds(later))))
    elif time.monotonic() - began < PAUSE:
        time.sleep(PAUSE)


def _no_trust(error: BaseException | None) -> str:
    """Why TLS failed, in words; "" for another error, or one that may pass."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):
        return _("{why}. Set EA4MPM_CA to the certificate of its CA.").format(
            why=error.verify_message
        )
    if error is not None and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return _("it doesn't speak TLS. Check whether its URL begins with http://.")
    return ""


def _trust(panel: Panel) -> ssl.SSLContext | bool:
    if isinstance(panel.verify, bool):
        return panel.verify
    try:
        return ssl.create_default_context(cafile=panel.verify)
    except OSError as error:
        raise BadUsage(
            _("{path} can't be used as CA certificates: {error}").format(
                path=panel.verify, error=error
            ),
            "configuration",
        ) from error


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdecimal() else 1.0
