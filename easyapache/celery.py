"""The Celery application of the panel: control worker and beat.

The database is the queue of record, so a message may be lost (the sweep finds the work), and a
repeated one finds the work done. Hence early acknowledgement, no results, no retries, no ETA and no
time limit: nothing by which a broker repeats a long task.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_after_setup, setup_logging, task_postrun, task_prerun
from django.conf import settings
from django.db import close_old_connections

from easyapache import envelopes
from easyapache.ea4.protocol import CONTROL_QUEUE
from easyapache.private_files import keep_files_private
from easyapache.ticks import add_ticks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
# Celery would run Django's checks and drop what they find. They load all pages and the API: 14 MiB.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

TRANSPORT = {
    "socket_connect_timeout": 2,
    "socket_timeout": 30,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": True,
}
"""A page must not hang because the broker does; a worker must notice that its connection died."""

TICKS_QUEUE = "ticks"
"""Ticks do not wait behind messages of agents."""


def _tick(name: str, seconds: int, expires: int | None = None) -> dict[str, Any]:
    options = {"queue": TICKS_QUEUE, "expires": expires or seconds}
    return {"task": f"control.{name}", "schedule": float(seconds), "options": options}


envelopes.install()
app = Celery("easyapache", set_as_current=True)
app.conf.update(
    broker_url=envelopes.broker_address(settings.REDIS_URL),
    broker_transport_options=TRANSPORT,
    broker_pool_limit=4,
    worker_consumer="easyapache.agent.consumer:QuietConsumer",
    # Celery would end every session with the database after one message; see renew_sessions.
    CELERY_DB_REUSE_MAX=2**62,
    broker_connection_retry=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_channel_error_retry=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    task_ignore_result=True,
    task_acks_late=False,
    task_default_queue=CONTROL_QUEUE,
    task_serializer="json",
    accept_content=["json"],
    task_time_limit=None,
    task_soft_time_limit=None,
    task_publish_retry=False,
    worker_prefetch_multiplier=1,
    worker_soft_shutdown_timeout=5.0,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    enable_utc=True,
    timezone="UTC",
    beat_schedule_filename=str(settings.VAR / "beat-schedule"),
    beat_max_loop_interval=5,
    # A tick that waited longer than its period is of no use: the next one does its work. (Of those
    # that come every other second one is enough, which waits for a busy worker.)
    beat_schedule={
        "sweep": _tick("sweep", 10),
        "ping": _tick("ping", 20),
        "rescan": _tick("rescan", settings.RESCAN_SECONDS),
        "webhooks": _tick("webhooks", 2, expires=10),
        "prune": _tick("prune", 3600),
    },
)
app.autodiscover_tasks(["mpm"])
add_ticks(app)


@setup_logging.connect
def keep_the_panels_own_logging(**_: object) -> None:
    """Being connected is the point: Celery then leaves the root logger as Django set it.

    It is also the first thing a worker or a beat does, before it creates any file.
    """
    keep_files_private()


@celeryd_after_setup.connect
def take_ticks_too(instance: Any, **_: object) -> None:
    """The queues of every control worker, independent of its command line. It takes from both in
    turn, so that a long queue does not block the other."""
    instance.app.amqp.queues.select_add(TICKS_QUEUE)


@task_prerun.connect
@task_postrun.connect
def renew_sessions(**_: object) -> None:
    """As Django does around a request: a database connection is kept until CONN_MAX_AGE, unless it
    is broken."""
    close_old_connections()
