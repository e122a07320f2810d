"""The tasks of the control worker: each passes a message to its service.

A malformed message is logged and dropped; repeating it would not help.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.utils import timezone

from easyapache import envelopes
from easyapache.celery import app
from easyapache.ea4.opinion import Opinion
from easyapache.ea4.package_metadata import Particulars
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import Failure, Report
from easyapache.ea4.schema import BadMessage, Schema
from easyapache.ea4.sentences import with_sentences
from easyapache.journal import current_changes
from mpm.access import tokens
from mpm.changes.services.record import record_log, record_reports, record_unknown
from mpm.changes.services.repairs import record_repair
from mpm.changes.services.sweep import ping_all, rescan_all
from mpm.changes.services.sweep import sweep as sweep_changes
from mpm.history.services.heads import note_heads
from mpm.history.services.retention import prune as prune_history
from mpm.history.services.text_checks import storable
from mpm.notify import webhooks
from mpm.servers import reading
from mpm.servers.looks import first_look, look_now
from mpm.servers.services.heartbeat import record_heartbeat
from mpm.servers.services.inspection import note_particulars, record_inspection, record_preview
from mpm.web.background_parts import note_dropped
from mpm.web.log_lines import current_change

log = logging.getLogger(__name__)
P = ParamSpec("P")
S = TypeVar("S", bound=Schema)
Json = Mapping[str, Any]


def control(name: str) -> Callable[[Callable[P, object]], Callable[P, None]]:
    """Register a function as the task ``control.<name>`` that refuses invalid messages. Additional
    fields of a newer agent are ignored."""

    def decorate(function: Callable[P, object]) -> Callable[P, None]:
        known = signature(function).parameters

        @app.task(name=f"control.{name}", typing=False)
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            if unreported := envelopes.dropped.take():
                note_dropped(unreported)
            about = current_change.set(str(kwargs.get("change") or "-")[:40])
            both = current_changes.set(())
            try:
                function(*args, **{name: kwargs[name] for name in known if name in kwargs})  # type: ignore[arg-type]
            except (BadMessage, KeyError, TypeError, ValueError):
                log.exception("refused a message for control.%s", name)
            finally:
                current_changes.reset(both)
                current_change.reset(about)

        return run

    return decorate


def tick(name: str) -> Callable[[Callable[[], object]], Callable[[], None]]:
    """Register a periodic task. It is not started again while it is running here."""
    turn = threading.Lock()

    def decorate(function: Callable[[], object]) -> Callable[[], None]:
        @wraps(function)
        def once() -> None:
            if not turn.acquire(blocking=False):
                log.info("control.%s is still running", name)
                return
            try:
                function()
            finally:
                turn.release()

        return control(name)(once)

    return decorate


def _part(kind: type[S], data: Json | None) -> S | None:
    """A part of a message that may be absent. Raises BadMessage for an invalid one."""
    return None if data is None else kind.from_json(storable(data))


@control("inspected")
def inspected(
    server: str, request: str, profile: Json | None = None, error: Json | None = None
) -> None:
    record_inspection(server, request, _part(Profile, profile), _part(Failure, error))


@control("particulars")
def particulars(server: str, particulars: Json) -> None:
    note_particulars(server, Particulars.from_json(storable(particulars)))


@control("previewed")
def previewed(
    server: str,
    preview: str,
    transaction: Json | None = None,
    error: Json | None = None,
    profile: Json | None = None,
    opinion: Json | None = None,
) -> None:
    record_preview(
        server,
        preview,
        _part(Transaction, transaction),
        _part(Failure, error),
        _part(Profile, profile),
        _part(Opinion, opinion),
    )


@control("reports")
def reports(server: str, change: str, reports: list[Json]) -> None:
    record_reports(server, change, [Report.from_json(storable(item)) for item in reports])


@control("log")
def log_piece(server: str, change: str, offset: int, text: str) -> None:
    record_log(server, change, offset, text)


@control("heartbeat")
def heartbeat(
    server: str, agent: Any = None, capabilities: Json | None = None, at: Any = None
) -> None:
    record_heartbeat(server, agent, capabilities or {}, at)
    first_look(server)


@control("changed")
def changed(server: str) -> None:
    look_now(server)


@control("mark")
def mark(put_at: str) -> None:
    """Everything that agents had sent before this has been read."""
    reading.passed_mark(put_at, timezone.now())


@control("unknown")
def unknown(server: str, change: str) -> None:
    record_unknown(server, change)


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
    text = with_sentences(error or {"message": message, "words": words}).get("message", "")
    record_repair(server, request, action, ok=ok and not error, message=text, log=log)


@tick("sweep")
def sweep() -> None:
    sweep_changes()


@tick("ping")
def ping() -> None:
    ping_all()


@tick("rescan")
def rescan() -> None:
    rescan_all()


@tick("webhooks")
def send_webhooks() -> None:
    webhooks.run()


@tick("prune")
def prune() -> None:
    """Runs every hour; what one run does not finish the next one does."""
    now = timezone.now()
    prune_history(now, settings.HISTORY_DAYS)
    note_heads(now)
    tokens.prune_answers(now)
    webhooks.prune(now)
