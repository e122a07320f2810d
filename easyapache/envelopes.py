"""Validates messages from the broker: only complete, small ones of the expected form are accepted.

Every message that a worker takes from a queue passes ``opened`` before Celery or kombu see it. An
invalid one is dropped and counted at once: it is not put back, and cannot end the worker. An
accepted one is rebuilt from its known parts, so that no forged header, tag or address has an
effect.

Messages taken by a worker are not kept in the broker, and no bindings are read from there: the
database and the spool hold the state, and lost messages are sent again.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import math
import re
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import redis
from kombu import transport as transports
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

log = logging.getLogger(__name__)

LARGEST = 2_000_000
"""Bytes of one message as it lies in the queue. The largest honest one, the particulars of a server
with all known packages, has a fifth of it."""
DEEPEST = 40
"""How far lists and objects may be inside each other."""
LARGEST_NUMBER = 2**63

_TASK = re.compile(r"(control|host)\.[a-z_]{1,40}\Z")
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:-]{0,99}\Z")
_UNUSED = ("compression", "eta", "group", "chord", "stamps", "replaced_task_nesting")
"""Headers with which a message would do more than call its task; ours have none or nothing."""
_PRIORITY = b"\x06\x16"
"""The separator between the name of a queue and its priority."""
_LOG_EVERY = 1.0


class NotOurs(ValueError):
    """An envelope that is not one of our messages; the message has the reason."""


class Counter:
    """How many envelopes this process has dropped. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = self._unreported = 0
        self._next_line = 0.0

    @property
    def count(self) -> int:
        return self._count

    def drop(self, queue: str, why: str) -> None:
        """Count one, and log it; of many at once only the first of each second has a line."""
        moment = time.monotonic()
        with self._lock:
            self._count += 1
            self._unreported += 1
            count, log_now = self._count, moment >= self._next_line
            if log_now:
                self._next_line = moment + _LOG_EVERY
        if log_now:
            log.error("dropped a message of the queue %s (%d so far): %s", queue, count, why)

    def take(self) -> int:
        """The number dropped since the last call."""
        with self._lock:
            unreported, self._unreported = self._unreported, 0
        return unreported


dropped = Counter()


def opened(item: bytes, queue: str) -> bytes:
    """The envelope ``item``, rebuilt. Raises NotOurs for anything but a message of the panel or an
    agent."""
    if len(item) > LARGEST:
        raise NotOurs(f"it has {len(item)} bytes")
    envelope = _object(_read(item), "the envelope")
    headers = _object(envelope.get("headers"), "headers")
    if envelope.get("content-type") != "application/json":
        raise NotOurs("it is not JSON")
    if envelope.get("content-encoding") not in ("utf-8", "us-ascii"):
        raise NotOurs("it is in another encoding")
    used = [name for name in _UNUSED if headers.get(name)]
    if used or headers.get("timelimit") not in (None, [None, None]):
        raise NotOurs("it contains more than a task")
    task, number = headers.get("task"), headers.get("id")
    if not isinstance(task, str) or not _TASK.match(task):
        raise NotOurs("it names an unknown task")
    if not isinstance(number, str) or not _ID.match(number):
        raise NotOurs("its id is invalid")
    body = _body(envelope)
    return json.dumps(
        {
            "body": body,
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {
                "lang": "py",
                "task": task,
                "argsrepr": "()",
                "kwargsrepr": "{}",
                "id": number,
                "root_id": number,
                "retries": 0,
                "timelimit": [None, None],
                "expires": _expires(headers.get("expires")),
            },
            "properties": {
                "correlation_id": number,
                "delivery_tag": str(uuid.uuid4()),
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
            },
        }
    ).encode()


def _body(envelope: Mapping[str, Any]) -> str:
    """The call in base64: keyword arguments, and nothing that is to happen afterwards."""
    properties = _object(envelope.get("properties"), "properties")
    body = envelope.get("body")
    if not isinstance(body, str):
        raise NotOurs("it has no body")
    if properties.get("body_encoding") != "base64":
        raise NotOurs("its body is not in base64")
    try:
        inner = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotOurs("its body is not in base64") from error
    call = _read(inner)
    if not isinstance(call, list) or len(call) != 3 or call[0] != []:
        raise NotOurs("its body is not a call with keyword arguments")
    _object(call[1], "arguments")
    if any(_object(call[2], "what follows").values()):
        raise NotOurs("it contains more than a task")
    return body


def _read(data: bytes) -> Any:
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NotOurs("it is not JSON") from error
    _plain(value, 0)
    return value


def _no_number(text: str) -> float:
    raise NotOurs(f"{text} is not a number")


def _plain(value: Any, depth: int) -> None:
    """Raises NotOurs for data that is nested too deep, has special numbers, or would become an
    object when kombu reads it."""
    if depth > DEEPEST:
        raise NotOurs("it is nested too deep")
    if isinstance(value, dict):
        if "__type__" in value:
            raise NotOurs("it holds more than plain values")
        for item in value.values():
            _plain(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _plain(item, depth + 1)
    elif isinstance(value, int | float) and not (
        math.isfinite(value) and abs(value) < LARGEST_NUMBER
    ):
        raise NotOurs("a number is too large")


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NotOurs(f"{what} must be an object")
    return value


def _expires(value: Any) -> str | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise NotOurs("expires is not a time") from error
    if moment.tzinfo is None or not 1970 < moment.year < 9999:
        raise NotOurs("expires is out of range")
    return moment.isoformat()


# -- where Celery gets it from --------------------------------------------------------------


class Client(redis.Redis):
    """A connection to Redis whose queues hold messages of ours only."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """The validated message popped from a queue; None, as for an empty queue, if it is
        dropped."""
        answer = super().parse_response(  # type: ignore[no-untyped-call]
            connection, command_name, **options
        )
        if command_name != "BRPOP" or not answer:
            return answer
        name, item = answer
        queue = bytes(name).split(_PRIORITY)[0].decode("utf-8", "replace")
        try:
            return name, opened(bytes(item), queue)
        except NotOurs as error:
            dropped.drop(queue, str(error))
        except Exception:  # no error may end the worker or put the message back
            log.exception("cannot open a message of the queue %s", queue)
            dropped.drop(queue, "it could not be opened")
        return None


class Taken(virtual.QoS):
    """Messages a worker has taken and not started, in its own memory. At a regular end they are put
    back; if that fails, they are lost and sent again by their sender."""

    def restore_unacked(self) -> list[Any]:  # type: ignore[override]
        self._flush()  # type: ignore[attr-defined]
        delivered: Any = self._delivered
        waiting = list(delivered.values())
        delivered.clear()
        try:
            for message in waiting:
                self.channel._restore(message)  # noqa: SLF001
        except (redis.RedisError, OSError) as error:
            log.warning("cannot put back messages that were not started: %s", error)
        return []


class Channel(kombu_redis.Channel):
    """Redis lists as queues, named as they are and nothing more: no exchanges, no bindings, and
    nothing shared between the workers. One pool of connections instead of kombu's two."""

    ack_emulation = False

    @property
    def pool(self) -> Any:
        return self.async_pool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.QoS: Any = Taken

    def _get_client(self) -> Any:
        super()._get_client()  # type: ignore[misc]
        return partial(Client)

    def _queue_bind(self, *_: Any) -> None:
        """A queue is its own address."""

    def _lookup(self, _exchange: str, routing_key: str, _default: str | None = None) -> list[str]:
        return [routing_key]


class Transport(kombu_redis.Transport):
    """Redis without the messages between Celery's workers. (They do it with ``redis`` and ``amqp``
    only, by the name of the driver.)"""

    Channel = Channel
    driver_type = "ea4"


def broker_address(url: str) -> str:
    """A REDIS_URL as Celery writes it. Only ``unix:///path/of/the.sock`` differs."""
    return f"redis+socket://{url.removeprefix('unix://')}" if url.startswith("unix://") else url


def install() -> None:
    """Have every connection of this process to a ``redis://`` address go this way."""
    here = f"{__name__}:{Transport.__name__}"
    for scheme in ("redis", "rediss"):
        transports.TRANSPORT_ALIASES[scheme] = here
        cache: dict[str, Any] = vars(transports)["_transport_cache"]
        cache.pop(scheme, None)
