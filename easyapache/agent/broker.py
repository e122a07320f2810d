"""How an agent uses its Redis: few connections, and few commands for each message.

Redis has room for 10 000 clients. Celery has a channel for every thread that sends, so that 700
agents would fill it.
"""

from __future__ import annotations

from typing import Any

AGENT_SETTINGS: dict[str, Any] = {
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    "broker_pool_limit": 1,
    "worker_consumer": "easyapache.agent.consumer:QuietConsumer",
    "broker_transport_options": {
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
        "socket_keepalive": True,
        "retry_on_timeout": True,
        "health_check_interval": 15,
    },
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_prefetch_multiplier": 1,
    "worker_concurrency": 4,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "task_acks_late": False,
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_time_limit": None,
    "task_soft_time_limit": None,
    "enable_utc": True,
    "timezone": "UTC",
}
"""Celery settings of the agent. One producer serves all threads: sending a message takes 1 ms."""
