"""The clock of the panel inside its worker: ``celery worker --ticks``.

Celery's own ``--beat`` starts another process, with another copy of the panel in its memory. Here
beat is a thread. It keeps no file: a schedule of a few seconds need not remember the last run, and
a file emptied by a power cut cannot stop it.

Its messages also show that the worker works: each tick passes through the broker and back. systemd
is notified as long as sent ticks are received.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import click
from celery import Celery, bootsteps
from celery.beat import EmbeddedService, Scheduler
from celery.signals import after_task_publish, task_prerun

from easyapache import sd_notify

log = logging.getLogger(__name__)

PROOF = "control.sweep"
"""The watched tick: a worker that receives it works."""
DEAF_AFTER = 120.0
"""Seconds without receiving a tick, while sending works, after which the worker counts as hung."""
LOOK = 10.0


class Ticks(bootsteps.StartStopStep):
    """Beat as a thread of the worker, and the notification of systemd's watchdog."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, _worker: Any, *, ticks: bool = False, **_: Any) -> None:
        self.enabled = ticks
        self._over = threading.Event()
        self.last_sent = self.last_received = time.monotonic()
        self._beat: Any = None

    def start(self, worker: Any) -> None:
        after_task_publish.connect(self._sent, weak=False)
        task_prerun.connect(self._note_received, weak=False)
        self._beat = EmbeddedService(worker.app, thread=True, scheduler_cls=Scheduler)
        self._beat.daemon = True
        self._beat.start()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        sd_notify.ready("Takes messages and ticks.")

    def stop(self, _worker: Any) -> None:
        self._over.set()
        if self._beat is not None:
            self._beat.stop()

    def include_if(self, _worker: Any) -> bool:
        return bool(self.enabled)

    @property
    def trouble(self) -> str:
        """Why this worker does not work; empty while it does. A broker that cannot be reached is
        none: nothing is sent, and a restart would not help."""
        if self.last_sent - self.last_received > DEAF_AFTER:
            return "no tick is received though each is sent"
        return "" if self._beat is not None and self._beat.is_alive() else "the clock has ended"

    def _sent(self, sender: Any = None, **_: Any) -> None:
        if sender == PROOF:
            self.last_sent = time.monotonic()

    def _note_received(self, task: Any = None, **_: Any) -> None:
        if getattr(task, "name", "") == PROOF:
            self.last_received = time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            if trouble := self.trouble:
                log.critical("This worker does not work: %s.", trouble)
            else:
                sd_notify.at_work()


def add_ticks(app: Celery) -> None:
    """Give the workers of this application the option ``--ticks``."""
    app.user_options["worker"].add(
        click.Option(["--ticks"], is_flag=True, help="Be the panel's clock as well.")
    )
    app.steps["worker"].add(Ticks)
