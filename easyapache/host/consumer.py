"""The consumer of a worker that tells nobody but its own panel: see ``worker_consumer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery.worker.consumer import Consumer

NOBODY_LISTENS = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
"""Celery's own talk between workers, every two seconds, on connections of its own. Whatever the
command line says, nothing here reads it."""


class QuietConsumer(Consumer):
    def __init__(
        self, *args: Any, worker_options: Mapping[str, Any] | None = None, **named: Any
    ) -> None:
        options = {**(worker_options or {}), **NOBODY_LISTENS}
        super().__init__(*args, worker_options=options, **named)
