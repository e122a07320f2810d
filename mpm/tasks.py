"""What the control worker does when a message arrives: hand it to the service that knows.

A malformed message is logged and dropped whole; it would not become better by being repeated.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec

from django.conf import settings
from django.utils import timezone

from easyapache import reading
from easyapache.celery import app
from easyapache.health import note_dropped
from easyapache.host import envelopes
from easyapache.host.protocol import BadMessage
from easyapache.sentences import spoken
from mpm import services, tokens, webhooks

log = logging.getLogger(__name__)
P = ParamSpec("P")
Json = Mapping[str, Any]


def control(name: str) -> Callable[[Callable[P, object]], Callable[P, None]]:
    """Register a function as the task ``control.<name>`` that refuses what it cannot read."""

    def decorate(function: Callable[P, object]) -> Callable[P, None]:
        @app.task(name=f"control.{name}")
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            if untold := envelopes.dropped.take():
                note_dropped(untold)
            try:
                function(*args, **kwargs)
            except (BadMessage, KeyError, TypeError, ValueError):
                log.exception("A message for control.%s was refused", name)

        return run

    return decorate


def tick(name: str) -> Callable[[Callable[[], object]], Callable[[], None]]:
    """Register what the clock asks for. While it is still under way here, it is not begun again."""
    turn = threading.Lock()

    def decorate(function: Callable[[], object]) -> Callable[[], None]:
        @wraps(function)
        def once() -> None:
            if not turn.acquire(blocking=False):
                log.info("control.%s is still under way", name)
                return
            try:
                function()
            finally:
                turn.release()

        return control(name)(once)

    return decorate


@control("inspected")
def inspected(
    server: str, request: str, profile: Json | None = None, error: Json | None = None
) -> None:
    services.record_inspection(server, request, profile, error)


@control("particulars")
def particulars(server: str, particulars: Json) -> None:
    services.note_particulars(server, particulars)


@control("previewed")
def previewed(
    server: str,
    preview: str,
    transaction: Json | None = None,
    error: Json | None = None,
    profile: Json | None = None,
) -> None:
    services.record_preview(server, preview, transaction, error, profile)


@control("reports")
def reports(server: str, change: str, reports: list[Json]) -> None:
    services.record_reports(server, change, reports)


@control("log")
def log_piece(server: str, change: str, offset: int, text: str) -> None:
    services.record_log(server, change, offset, text)


@control("heartbeat")
def heartbeat(
    server: str, agent: Any = None, capabilities: Json | None = None, **_nonce: Any
) -> None:
    services.record_heartbeat(server, agent, capabilities or {}, _nonce.get("at"))
    services.first_look(server)


@control("mark")
def mark(put_at: str) -> None:
    """Everything that agents had sent before this has been read."""
    reading.passed_mark(put_at, timezone.now())


@control("unknown")
def unknown(server: str, change: str) -> None:
    services.record_unknown(server, change)


@control("repaired")
def repaired(
    server: str,
    request: str,
    action: str = "",
    ok: bool = False,
    message: str = "",
    log: str = "",
    error: Json | None = None,
    words: Json | None = None,
) -> None:
    text = spoken(error or {"message": message, "words": words}).get("message", "")
    services.record_repair(server, request, action, ok=ok and not error, message=text, log=log)


@tick("sweep")
def sweep() -> None:
    services.sweep()


@tick("ping")
def ping() -> None:
    services.ping_all()


@tick("rescan")
def rescan() -> None:
    services.rescan_all()


@tick("webhooks")
def tell_webhooks() -> None:
    webhooks.run()


@tick("prune")
def prune() -> None:
    """Runs every hour; what one run does not finish the next one does."""
    now = timezone.now()
    services.prune(now, settings.HISTORY_DAYS)
    tokens.prune_answers(now)
    webhooks.prune(now)
