"""The consumer of a worker that tells nobody but its own panel: see ``worker_consumer``."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer

NOBODY_LISTENS = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
"""Celery's own talk between workers, every two seconds, on connections of its own. Whatever the
command line says, nothing here reads it."""


class QuietConsumer(Consumer):
    def __init__(self, *args: Any, **named: Any) -> None:
        named["worker_options"] = {**(named.get("worker_options") or {}), **NOBODY_LISTENS}
        super().__init__(*args, **named)
