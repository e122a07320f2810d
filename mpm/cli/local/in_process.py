"""The way to the services without a network: REST's own operations, called in this process.

An answer is what ``ea4mpm`` would get over HTTP, made by the same code from the same schemas. There
is no token: who runs a command with the panel's settings may do everything there anyway, and
history keeps their login name.
"""

from __future__ import annotations

import getpass
import inspect
import io
import os
import pwd
from pathlib import Path
from typing import Any

import httpx
from asgiref.sync import async_to_sync
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.urls import URLResolver, include, path
from django.urls.resolvers import RegexPattern

from mpm.access.services.actor import Actor
from mpm.api.auth import by_operator
from mpm.cli.commands.connection import Connection, Panel

HERE = Panel("http://localhost", "none")
ADDRESSES = URLResolver(RegexPattern(r"^/"), [path("api/", include("mpm.api.urls"))])
"""Those of REST alone: the pages' views would only make each command start later."""


LOGIN = Path("/proc/self/loginuid")
"""The account that signed in to this machine, which the kernel keeps through su and setpriv
(proc(5)); the largest number where there was no sign-in."""


def operator() -> Actor:
    """Who is at the shell: not the panel's account, as which commands run."""
    name = os.environ.get("SUDO_USER") or _signed_in() or _login_name()
    return Actor(name=name, role="administrator", origin="cli", agent_class="shell")


def _signed_in() -> str:
    try:
        return pwd.getpwuid(int(LOGIN.read_text(encoding="ascii"))).pw_name
    except (OSError, ValueError, KeyError, OverflowError):
        return ""


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


class InProcess(httpx.BaseTransport):
    """Answers with what the operation at the address answers to ``actor``."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        called = WSGIRequest(
            {
                "REQUEST_METHOD": request.method,
                # As a WSGI server hands it over: decoded, its bytes as Latin-1.
                "PATH_INFO": request.url.path.encode().decode("latin-1"),
                "QUERY_STRING": request.url.query.decode("ascii"),
                "CONTENT_TYPE": request.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "80",
                "wsgi.input": io.BytesIO(body),
            }
        )
        by_operator(called, self.actor)
        called.resolver_match = match = ADDRESSES.resolve(called.path_info)
        response: Any = match.func(called, *match.args, **match.kwargs)
        if inspect.isawaitable(response):
            response = async_to_sync(_awaited)(response)
        assert isinstance(response, HttpResponse)
        return httpx.Response(
            response.status_code, headers=list(response.items()), content=response.content
        )


async def _awaited(response: Any) -> Any:
    return await response


def connect() -> Connection:
    """One attempt: a retry in the same process would not help."""
    return Connection(HERE, InProcess(operator()), attempts=1)
