"""The agent: a thin Celery worker on the managed server.

    celery -A easyapache.agent.worker worker -Q host.<server> --pool=threads

It knows a broker and a configuration file (``REDIS_URL``, ``EA4_AGENT_CONFIG``) and nothing of the
panel. It writes down requests, starts an engine for each, and reports the results. Killing the
agent stops nothing; its state is in the spool.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from kombu.exceptions import OperationalError

from easyapache import envelopes, journal, memory, sd_notify
from easyapache.agent.broker import AGENT_SETTINGS
from easyapache.agent.change.engines import Engines
from easyapache.agent.change.folder import now, stamp
from easyapache.agent.change.known_states import Remembered
from easyapache.agent.change.reporter import Reporter
from easyapache.agent.change.spool import Spool
from easyapache.agent.config import BadConfig, HostConfig, load_config
from easyapache.agent.drivers import CONFIG_VARIABLE, open_server, remember
from easyapache.agent.packages.moved import LOOK, Moved
from easyapache.agent.repair import repairs
from easyapache.agent.server import HostError
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import (
    CONTROL_QUEUE,
    Addressed,
    CancelRequest,
    ChangeRequest,
    Failure,
    InspectRequest,
    Ping,
    PreviewRequest,
    RepairRequest,
    SyncRequest,
    host_queue,
)
from easyapache.ea4.schema import BadMessage, read
from easyapache.ea4.sentences import Sentence, counted

log = logging.getLogger(__name__)
T = TypeVar("T")

HEARTBEAT = 10.0
SELF_TEST = 20.0
DEAF_AFTER = 120.0
"""Seconds without receiving its own messages, while sending works, after which the worker restarts
itself: Celery's consumer sometimes receives nothing after a reconnect to Redis."""

REPAIR_BEGINS_WITHIN = timedelta(minutes=10)
REPAIRS_AT_MOST, REPAIRS_WITHIN = 10, timedelta(hours=1)
"""The most repairs per hour, from all requesters: each may restart httpd."""

LONGEST_MESSAGE = 1_000_000
"""Characters. The largest honest one, a change of all known packages, has a tenth of it."""

HEARTBEAT_EXPIRES = 300.0
"""A heartbeat that was not read for so long is outdated. Long enough for two clocks that differ by
as much as Kerberos accepts."""

for chatter in ("celery.app.trace", "celery.worker.strategy"):
    # A line for each message that is received and one for each that is done, for ever.
    logging.getLogger(chatter).setLevel(logging.WARNING)

# The agent is root because only root changes packages; pickle, which the warning is about, is off.
warnings.filterwarnings("ignore", category=SecurityWarning, message=".*superuser privileges")

envelopes.install()
app = Celery(
    "easyapache.agent.worker", broker=envelopes.broker_address(os.environ.get("REDIS_URL", ""))
)
app.conf.update(AGENT_SETTINGS)


class Agent:
    """What the tasks share: the server, the spool, the reporter, the engines."""

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.server = open_server(config)
        self.spool = Spool(config.spool)
        self.spool.prepare()
        remember(config)
        self.engines = Engines(config)
        self.reporter = Reporter(config.server, self.spool, self.engines, self.send)
        self.moved = Moved(config.spool)
        self.started = time.time()
        self.last_received = self.last_sent = time.monotonic()
        self._over = threading.Event()

    def begin(self) -> None:
        """Continue unfinished work of an earlier agent, which needs no broker, and report it."""
        self._finish_restart()
        self.reporter.begin()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        threading.Thread(target=self._watch_packages, name="packages", daemon=True).start()

    def _finish_restart(self) -> None:
        """A restart outside of any change ends with the agent that performed it. One inside a
        change belongs to its engine, which holds the lock or takes it up."""
        try:
            finished = repairs.finish_restart(self.server, self.spool, log.info)
        except Exception:  # an agent that cannot repair httpd can still send and receive
            log.exception("cannot complete an interrupted restart")
        else:
            if finished:
                log.warning("completed an interrupted restart: %s", finished)

    def _watch_packages(self) -> None:
        """Tell the panel at once that somebody else has installed or removed packages."""
        while not self._over.wait(LOOK):
            if self.moved.news():
                self.send("control.changed", {"server": self.config.server})

    def end(self) -> None:
        self._over.set()
        self.reporter.end()

    def send(self, name: str, message: Mapping[str, Any]) -> bool:
        """Hand a message to the panel's queue. False when the broker cannot be reached."""
        return self._publish(name, message, CONTROL_QUEUE)

    def _publish(
        self, name: str, message: Mapping[str, Any], queue: str, expires: float | None = None
    ) -> bool:
        try:
            app.send_task(
                name,
                kwargs=dict(message),
                queue=queue,
                retry=True,
                retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1},
                expires=expires,
            )
        except (OperationalError, OSError) as error:
            log.warning("cannot send %s: %s", name, error)
            return False
        self.last_sent = time.monotonic()
        return True

    def heartbeat(self, nonce: str = "") -> bool:
        return self._publish(
            "control.heartbeat",
            {
                "server": self.config.server,
                "at": stamp(now()),
                "nonce": nonce,
                "agent": _version(),
                "capabilities": {
                    **self._capabilities(),
                    "agent": {
                        "pid": os.getpid(),
                        "started_at": self.started,
                        "active": self.reporter.active,
                        "dropped": envelopes.dropped.count,
                    },
                },
            },
            CONTROL_QUEUE,
            HEARTBEAT_EXPIRES,
        )

    def _capabilities(self) -> dict[str, Any]:
        try:
            return dict(self.server.capabilities())
        except HostError as error:
            return {"error": error.message}

    def _beat(self) -> None:
        next_test = 0.0
        while not self._over.wait(0 if not next_test else HEARTBEAT):
            try:
                self.heartbeat()
                if time.monotonic() >= next_test:
                    next_test = time.monotonic() + SELF_TEST
                    own = host_queue(self.config.server)
                    nonce = f"self:{uuid.uuid4().hex}"
                    self._publish("host.ping", {"nonce": nonce}, own, DEAF_AFTER)
                if self.last_sent - self.last_received <= DEAF_AFTER:
                    sd_notify.at_work()
                else:
                    log.critical("no message received although sending works; restarting")
                    os.execv(sys.executable, sys.orig_argv)  # noqa: S606
            except Exception:  # an agent without a heartbeat would look dead and not be
                log.exception("cannot send the heartbeat")


_agent: Agent | None = None


def agent() -> Agent:
    """The one agent of this worker. Raises BadConfig outside a worker."""
    if _agent is None:
        raise BadConfig("the agent runs inside its Celery worker only")
    return _agent


@signals.worker_init.connect
def _prepare(sender: Any = None, **_: Any) -> None:
    global _agent
    if getattr(sender, "app", None) is not app:
        return  # the worker of another application in this process
    path = os.environ.get(CONFIG_VARIABLE)
    if not path or not os.environ.get("REDIS_URL"):
        sys.stderr.write(f"the agent needs {CONFIG_VARIABLE} and REDIS_URL\n")
        raise SystemExit(2)
    try:
        _agent = Agent(load_config(Path(path)))
    except (BadConfig, HostError, OSError) as error:
        # Celery passes over any other exception of a signal, and the worker would go on, taking
        # messages that can't be answered.
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
    _agent.begin()
    # Not after the broker has answered: interrupted work is finished without it.
    sd_notify.ready("Unfinished changes are taken up.")


@signals.after_setup_logger.connect
def _log_to_journal(logger: logging.Logger, **_: Any) -> None:
    """Celery's own lines too: its logger is the root."""
    journal.take_over([logger.name], lambda: logging.Formatter("%(name)s: %(message)s"))


@signals.worker_ready.connect
def _begin(**_: Any) -> None:
    memory.started()


@signals.worker_shutdown.connect
def _end(**_: Any) -> None:
    if _agent is not None:
        _agent.end()


def _version() -> str:
    try:
        return metadata.version("ea4-mpm-panel")
    except metadata.PackageNotFoundError:
        return "source"


# -- the operations: each validates its message whole, then does one thing -----------------


def operation(kind: type[T], name: str) -> Callable[[Callable[[T], None]], Any]:
    """Register a task. An invalid message is refused and logged; it never reaches the server and
    never stops the worker."""

    def register(work: Callable[[T], None]) -> Any:
        def task(*arguments: Any, **message: Any) -> None:
            if arguments or len(repr(message)) > LONGEST_MESSAGE:
                log.warning("%s refused: positional arguments, or too long", name)
                return
            about = journal.current_changes.set(journal.changes_of(message))
            try:
                work(read(kind, message))
            except BadMessage as error:
                log.warning("%s refused: %s", name, error)
            finally:
                journal.current_changes.reset(about)

        task.__doc__ = work.__doc__
        return app.task(name=name, typing=False)(task)

    return register


@operation(InspectRequest, "host.inspect")
def inspect(request: InspectRequest) -> None:
    me = agent()
    answer: dict[str, Any] = {"server": me.config.server, "request": request.request}
    try:
        seen = me.server.inspect()
        answer["profile"] = seen.as_json()
    except HostError as error:
        answer["error"] = _error(error)
    else:
        Remembered(me.spool).note(seen)
    me.send("control.inspected", answer)
    if request.particulars is None or "error" in answer:
        return
    try:
        particulars = me.server.particulars()
    except HostError as error:
        log.warning("cannot read the metadata of the packages: %s", error)
        return
    if particulars.digest != request.particulars:
        me.send(
            "control.particulars",
            {"server": me.config.server, "particulars": particulars.as_json()},
        )


def _second_opinion(me: Agent, profile: Profile, moves: Transaction) -> dict[str, Any]:
    """What WHM says to a plan; nothing where it says nothing: dnf's answer is the plan."""
    try:
        opinion = me.server.second_opinion(profile, moves)
    except HostError as error:
        log.warning("%s %s", error.message, error.output)
        return {}
    return {"opinion": opinion.as_json()} if opinion else {}


@operation(PreviewRequest, "host.preview")
def preview(request: PreviewRequest) -> None:
    me = agent()
    answer: dict[str, Any] = {"server": me.config.server, "preview": request.preview}
    try:
        profile = me.server.inspect()
        answer["profile"] = profile.as_json()
        moves = me.server.resolve(request.goal, protect=False)
        answer["transaction"] = moves.as_json()
    except HostError as error:
        answer["error"] = _error(error)
    else:
        answer |= _second_opinion(me, profile, moves)
    me.send("control.previewed", answer)


@operation(dict, "host.apply")
def apply(message: dict[str, Any]) -> None:
    """Write the request down, then let an engine work on it. The same message again finds
    the folder there and changes nothing."""
    me, addressed = agent(), Addressed.from_json(message)
    change = addressed.change
    if addressed.server != me.config.server:
        raise BadMessage(f"the message is not for {me.config.server}")
    try:
        ChangeRequest.from_json(message)
    except BadMessage as error:
        # Stored as received: an engine refuses it too, and so the panel learns that this change has
        # failed and why.
        log.warning("change %s refused: %s", change, error)
    folder, fresh = me.spool.take(change, message)
    if fresh:
        log.info("change %s started", change)
    me.reporter.follow(folder)
    if folder.outcome is None:
        me.engines.ensure(folder)


@operation(CancelRequest, "host.cancel")
def cancel(request: CancelRequest) -> None:
    me, change = agent(), request.change
    folder = me.spool.folder(change) or me.spool.forestall(change)
    if folder is None:
        me.send("control.unknown", {"server": me.config.server, "change": change})
        return
    folder.request_cancel()
    me.reporter.follow(folder)


@operation(SyncRequest, "host.sync")
def sync(request: SyncRequest) -> None:
    me = agent()
    folder = me.spool.folder(request.change)
    if folder is None:
        me.send("control.unknown", {"server": me.config.server, "change": request.change})
        return
    me.reporter.rewind(folder, request.after_report, request.after_byte)


@operation(RepairRequest, "host.repair")
def repair(request: RepairRequest) -> None:
    """Write a repair down and follow it; report again on a known one. One that was requested long
    ago, when the server may have been in another state, is not started."""
    me = agent()
    folder, action, requested_at = (
        me.spool.repair(request.request),
        request.action,
        request.asked_at,
    )
    if action not in repairs.REPAIRS:
        raise BadMessage(f"unknown repair {action!r}")
    if not folder.known:
        if wrong := _why_not_begin(me.spool, requested_at):
            answer = {"server": me.config.server, "request": folder.request, "action": action}
            refused = repairs.Repaired(ok=False, message=wrong)
            me.send("control.repaired", {**answer, **refused.as_json()})
            return
        folder.create(action, stamp(requested_at))
    me.reporter.follow_repair(folder)


def _why_not_begin(spool: Spool, requested_at: datetime) -> str:
    moment = now()
    if abs(moment - requested_at) > REPAIR_BEGINS_WITHIN:
        return Sentence(
            "Nothing was done: the repair was requested at {requested}, and the server's "
            "clock shows {now}. Check the server, then try again.",
            requested=stamp(requested_at),
            now=stamp(moment),
        )
    since = (moment - REPAIRS_WITHIN).timestamp()
    if sum(repair.begun > since for repair in spool.repairs()) >= REPAIRS_AT_MOST:
        return counted(
            "Nothing was done: this server was repaired {count} time in the last hour. Find out "
            "what requests these repairs, then try again.",
            "Nothing was done: this server was repaired {count} times in the last hour. Find out "
            "what requests these repairs, then try again.",
            count=REPAIRS_AT_MOST,
        )
    return ""


@operation(Ping, "host.ping")
def ping(message: Ping) -> None:
    me, nonce = agent(), message.nonce
    me.last_received = time.monotonic()
    if not nonce.startswith("self:"):
        me.heartbeat(nonce)


def _error(error: HostError) -> dict[str, Any]:
    return Failure(error.code, error.message, error.remedy).as_json()
