"""The Celery application of the panel: control worker and beat.

The database is the queue of record, so a message may be lost (the sweep finds the work), and
one that comes twice finds the work done. Hence early acknowledgement, no results, no
retries, no ETA and no time limit: none of the ways in which a broker repeats a long task.
"""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from easyapache.host import envelopes
from easyapache.host.protocol import CONTROL_QUEUE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")

TRANSPORT = {
    "socket_connect_timeout": 2,
    "socket_timeout": 30,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": True,
}
"""A page must not hang because the broker does; a worker must notice that its connection died."""

envelopes.install()
app = Celery("easyapache", set_as_current=True)
app.conf.update(
    broker_url=settings.REDIS_URL,
    broker_transport_options=TRANSPORT,
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
    # A tick that waited longer than its period is of no use: the next one does its work.
    beat_schedule={
        "sweep": {"task": "control.sweep", "schedule": 10.0, "options": {"expires": 10}},
        "ping": {"task": "control.ping", "schedule": 20.0, "options": {"expires": 20}},
        "rescan": {
            "task": "control.rescan",
            "schedule": float(settings.RESCAN_SECONDS),
            "options": {"expires": settings.RESCAN_SECONDS},
        },
        "webhooks": {"task": "control.webhooks", "schedule": 2.0, "options": {"expires": 2}},
        "prune": {"task": "control.prune", "schedule": 3600.0, "options": {"expires": 3600}},
    },
)
app.autodiscover_tasks(["mpm"])


@setup_logging.connect
def keep_the_panels_own_logging(**_: object) -> None:
    """Being connected is the point: Celery then leaves the root logger as Django set it."""
