"""One panel on one machine, put together: data folder, broker, servers, processes."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from demo.account import started_as
from demo.folder import PROJECT, Folder, write_private
from demo.parts import (
    agent_part,
    beat_part,
    listening_socket,
    panel_environment,
    redis_part,
    web_part,
    whole_environment,
    worker_part,
)
from demo.servers import DemoServer
from demo.supervisor import Report, Supervisor, engines_at_work

PATIENCE = 90.0
"""Seconds each part may take to start; about two on an idle machine."""


class CannotStart(Exception):
    """The demo cannot start; the message has the recommended action."""


@dataclass(slots=True)
class Stack:
    """``port`` 0 takes a free one. ``broker``: the address of a Redis to use instead of an
    embedded one."""

    folder: Folder
    servers: Sequence[DemoServer]
    port: int
    report: Report
    broker: str = ""
    notice: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)
    accounts: list[dict[str, str]] = field(default_factory=list)
    address: str = ""
    _lock: IO[str] | None = None
    _listener: socket.socket | None = None
    _supervisor: Supervisor | None = None

    # -- coming up -----------------------------------------------------------------------

    def start(self) -> None:
        """Start everything. Raises CannotStart, and supervisor.NotReady with the last output of the
        part that did not start; call ``stop`` in both cases."""
        self._only_one()
        supervisor = self._supervisor = Supervisor(self.folder.logs, self.report)
        try:
            listener = self._listener = listening_socket(self.port)
        except OSError as error:
            raise CannotStart(
                f"Port {self.port} of 127.0.0.1 isn't available ({error.strerror}). "
                f"Choose another one: PORT={self.port + 1} make demo"
            ) from error
        self.port = listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        if self.broker:
            broker = self.broker
            self.report("redis: the one REDIS_URL names")
        else:
            part, broker = redis_part(self.folder)
            supervisor.start(part)
            supervisor.wait("redis", PATIENCE, self.stopped)
            self.report("redis: ready")
        settings = panel_environment(self.folder, broker, self.notice)
        self.folder.write_environment(settings)
        self._seed(settings)
        for part in (
            web_part(self.folder, settings, listener),
            worker_part(self.folder, settings),
            beat_part(self.folder, settings),
        ):
            supervisor.start(part)
        for server in self.servers:
            if self.stopped.is_set():
                return
            started = time.monotonic()
            config = server.up(self.folder.servers / server.name, self.folder, self.report)
            self.report(f"{server.name}: {server.title}, {time.monotonic() - started:.1f} s")
            supervisor.start(agent_part(server.name, config, broker))
        for name in supervisor.pids():
            supervisor.wait(name, PATIENCE, self.stopped)
            if self.stopped.is_set():
                return
            if name != "redis":
                self.report(f"{name}: ready")
        self._write_running()

    def _only_one(self) -> None:
        """Two panels on one data folder would be two agents on one server."""
        self._lock = (self.folder.path / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            where = ""
            if self.folder.running_file.exists():
                where = f" at {json.loads(self.folder.running_file.read_text())['address']}"
            raise CannotStart(
                f"It is already running{where}, with its data in {self.folder.path}. "
                "Another one beside it: EA4_DATA=/another/folder PORT=8001 make demo"
            ) from error

    def _seed(self, settings: Mapping[str, str]) -> None:
        """Tables, static files, servers and first accounts, made by the account that owns the
        database and never by this process."""
        argv = [sys.executable, str(PROJECT / "manage.py"), "prepare", "--first-accounts", "--json"]
        for server in self.servers:
            argv += ["--server", json.dumps(server.registration)]
        done = subprocess.run(
            [*started_as(self.folder.account), *argv],
            stdin=subprocess.DEVNULL,
            env=whole_environment(self.folder, settings),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CannotStart(f"The database could not be prepared:\n{done.stderr[-3000:]}")
        self.accounts = json.loads(done.stdout)
        if self.accounts:
            lines = [
                f"{one['name']}  {one['password']}  ({one['role']})\n" for one in self.accounts
            ]
            write_private(self.folder.accounts_file, "".join(lines))
        self.report("database: ready")

    def _write_running(self) -> None:
        assert self._supervisor is not None
        state: dict[str, Any] = {
            "address": self.address,
            "supervisor": os.getpid(),
            "processes": self._supervisor.pids(),
            "servers": [server.name for server in self.servers],
        }
        self.folder.write_running(state)

    # -- running and going down ----------------------------------------------------------

    def watch(self) -> None:
        """Until ``stopped`` is set."""
        assert self._supervisor is not None
        self._supervisor.watch(self.stopped, self._write_running)

    def stop(self, insist: threading.Event) -> None:
        """Stop everything, in the order that loses least. A running change finishes first, unless
        ``insist`` is set; otherwise the next start finishes it."""
        supervisor = self._supervisor
        if supervisor is None:
            return
        self._let_changes_finish(insist)
        supervisor.stop()
        for server in self.servers:
            server.down(self.folder.servers / server.name)
        supervisor.sweep()
        self.folder.running_file.unlink(missing_ok=True)
        if self._listener is not None:
            self._listener.close()
        if self._lock is not None:
            self._lock.close()

    def _let_changes_finish(self, insist: threading.Event) -> None:
        announced = False
        while engines_at_work(os.getpid()) and not insist.is_set():
            if not announced:
                announced = True
                self.report("a change is running: waiting for it (press Ctrl-C again to stop now)")
            insist.wait(0.2)
