"""A Celery consumer without mingle and gossip between workers: see ``worker_consumer``."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer

NOBODY_LISTENS = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
"""Celery's messages between workers, every two seconds, on their own connections. Nothing here uses
them, whatever the command line enables."""


class QuietConsumer(Consumer):
    def __init__(self, *args: Any, **named: Any) -> None:
        named["worker_options"] = {**(named.get("worker_options") or {}), **NOBODY_LISTENS}
        super().__init__(*args, **named)
