"""``manage.py demo``: the whole panel on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from demo.folder import Folder, data_folder
from demo.servers import DemoServer, LabError, SimulatedServer, demo_servers
from demo.stack import CannotStart, Stack
from demo.supervisor import NotReady
from easyapache.command_line import leave_the_pipe


class Command(BaseCommand):
    help = (
        "Run the whole panel on this machine until Ctrl-C: Redis, web, control worker, beat, and "
        "two servers with their agents. PORT (8000) and EA4_DATA (var/) say where."
    )
    requires_system_checks: list[str] = []
    _stack: Stack | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_mutually_exclusive_group()
        kinds.add_argument(
            "--simulated", action="store_true", help="no real server, even where one can be had"
        )
        kinds.add_argument(
            "--bare", action="store_true", help="no server at all: a panel before its first one"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if options["bare"]:
            self._run([], "")
        elif options["simulated"]:
            self._run([SimulatedServer()], "")
        else:
            self._run(*demo_servers())

    def _run(self, servers: Sequence[DemoServer], notice: str) -> None:
        self._began = time.monotonic()
        self._report("the panel starts")
        folder = Folder.open(data_folder())
        if folder.warning:
            self._report(folder.warning)
        if notice:
            self._report(notice)
        stack = self._stack = Stack(
            folder=folder,
            servers=servers,
            port=_port(),
            report=self._report,
            broker=os.environ.get("REDIS_URL", ""),
            notice=notice,
        )
        insist = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(
                number, lambda *_: (insist if stack.stopped.is_set() else stack.stopped).set()
            )
        try:
            stack.start()
            if not stack.stopped.is_set():
                self._welcome(stack)
                stack.watch()
        except (CannotStart, NotReady, LabError) as error:
            raise CommandError(str(error)) from error
        finally:
            stack.stop(insist)
        self._report("stopped; nothing of it runs any more, the data stays")

    def _report(self, text: str) -> None:
        self._write(f"[{time.monotonic() - self._began:6.1f} s] {text}")

    def _write(self, text: str) -> None:
        """When the reader ends (``make demo | head``), the demo ends as with Ctrl-C."""
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError:
            leave_the_pipe()
            if self._stack is not None:
                self._stack.stopped.set()

    def _welcome(self, stack: Stack) -> None:
        lines = ["", f"  The panel:      {stack.address}"]
        if stack.accounts:
            lines += [
                f"  {one['role'].capitalize() + ':':<15} {one['name']}  {one['password']}"
                for one in stack.accounts
            ]
            lines.append(f"  Both are also in {stack.folder.accounts_file}, for your eyes only.")
        elif stack.folder.accounts_file.exists():
            lines.append(f"  The accounts of the first start are in {stack.folder.accounts_file}")
        lines += [
            f"  Data and logs:  {stack.folder.path}",
            "  A shell's view: .venv/bin/python manage.py mpm status",
            "  Ctrl-C ends it.",
            "",
        ]
        self._write("\n".join(lines))


def _port() -> int:
    """PORT. Raises CommandError if it is no port."""
    text = os.environ.get("PORT") or "8000"
    if not text.isdecimal() or int(text) > 65535:
        raise CommandError(f"PORT={text!r} is no port: a number up to 65535, 0 for any free one.")
    return int(text)
