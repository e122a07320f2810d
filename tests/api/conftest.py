"""Fixtures of the API: servers that are known by their profile, tokens, a caller."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from easyapache.ea4.package_metadata import Particulars, imagined
from easyapache.ea4.profile import Observation, Package, Profile
from easyapache.ea4.relations import load_catalogue
from mpm.access.services.actor import Actor
from mpm.access.throttle import limiter
from mpm.access.tokens import Issued, issue
from mpm.servers.inventory import record_particulars, record_scan
from mpm.servers.models import Server

ADMIN = Actor(name="anna", role="administrator", origin="web", address="192.0.2.7")
PREFORK = ("ea-apache24", "ea-apache24-mod_mpm_prefork", "ea-apache24-mod_cgi")


@cache
def packages_of(names: tuple[str, ...]) -> tuple[Package, ...]:
    """A whole server's packages: these and what they need."""
    return load_catalogue().for_server(()).resolve(names).install


def profile_with(*names: str, mpm: str = "prefork", itk: bool = False) -> Profile:
    seen = Observation((mpm,), itk)
    facts = {"threads": True, "safe_thread_polling": True}
    return Profile(packages_of(names or PREFORK), configured=seen, running=seen, facts=facts)


AddServer = Callable[..., Server]
AddToken = Callable[..., Issued]


@pytest.fixture
def add_server(db: None) -> AddServer:
    def add(
        name: str = "web03",
        profile: Profile | None = None,
        kind: str = "simulated",
        particulars: Particulars | None = None,
        **fields: Any,
    ) -> Server:
        now = timezone.now()
        server = Server.objects.create(name=name, kind=kind, created_at=now, **fields)
        profile = profile or profile_with()
        record_scan(server, profile, now, "scan")
        record_particulars(server, particulars or imagined(profile.names), now)
        return server

    return add


@pytest.fixture
def server(add_server: AddServer) -> Server:
    return add_server(hostname="web03.example.net")


@pytest.fixture
def add_token(db: None) -> AddToken:
    def add(*scopes: str, name: str = "deploy", **grants: Any) -> Issued:
        return issue(ADMIN, name=name, scopes=scopes or ("change", "rollback"), **grants)

    return add


@pytest.fixture(autouse=True)
def _counts_begin_anew() -> None:
    limiter.cache_clear()


class Answered:
    """An answer with its body read."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.content: bytes = response.content
        self.type = response.headers.get("Content-Type", "").split(";")[0]

    @property
    def body(self) -> Any:
        return json.loads(self.content)


Call = Callable[..., Answered]


@pytest.fixture
def call(client: Client) -> Call:
    """``call("PUT", "servers/web03/mpm", {…}, token=…, If_Match="…")``"""

    def do(
        method: str,
        path: str,
        body: Any = None,
        *,
        token: Issued | str | None = None,
        client: Client = client,
        **headers: str,
    ) -> Answered:
        text = token.text if isinstance(token, Issued) else token
        if text is not None:
            headers["Authorization"] = f"Bearer {text}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = "" if body is None else json.dumps(body)
        return Answered(
            client.generic(
                method, f"/api/v1/{path}", content, content_type="application/json", headers=sent
            )
        )

    return do


APACHE = "ea-apache24"
TO_EVENT = {
    "install": [f"{APACHE}-mod_mpm_event", f"{APACHE}-mod_cgid"],
    "uninstall": [f"{APACHE}-mod_mpm_prefork", f"{APACHE}-mod_cgi"],
}
Whm = Callable[..., Any]


@pytest.fixture
def whm(client: Client, add_token: AddToken) -> Whm:
    """``whm("function", name=value, …)`` → the answer's JSON, by a change-scoped token."""
    token = add_token("change", name="billing").text

    def call(function: str, *, method: str = "GET", auth: str = "", **values: Any) -> Any:
        pairs = [("api.version", "1"), *((key.replace("__", "."), v) for key, v in values.items())]
        headers = {"Authorization": auth or f"whm root:{token}"}
        if method == "GET":
            query = urlencode(pairs, doseq=True)
            return client.get(f"/json-api/{function}?{query}", headers=headers).json()
        return client.post(
            f"/json-api/{function}",
            urlencode(pairs, doseq=True),
            content_type="application/x-www-form-urlencoded",
            headers=headers,
        ).json()

    return call


def refused(answer: Any) -> str:
    assert answer["metadata"]["result"] == 0
    return str(answer["metadata"]["reason"])
