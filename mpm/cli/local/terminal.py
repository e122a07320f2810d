"""What the subcommands share: who asks, which server, how an answer is printed."""

from __future__ import annotations

import argparse
import getpass
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.management.base import OutputWrapper

from easyapache.ea4.mpm import MPM, Choice
from easyapache.ea4.plan import Plan
from easyapache.ea4.sentences import plain
from mpm.access.services.actor import Actor, BadRequest, Refused
from mpm.changes.services.lookup import only_server, server_named
from mpm.history.services.text_checks import visible
from mpm.models import Change
from mpm.servers.models import Server

DONE, FAILED, REFUSED = 0, 1, 2
INTERRUPTED, UNREAD = 130, 141
"""As a shell has them of SIGINT and SIGPIPE."""
MARKS = {"block": "✗", "warn": "!", "note": "·", "gain": "+"}


def at_least_one(text: str) -> int:
    """For argparse: a number of things to show."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def of_a_server(
    parser: argparse.ArgumentParser, words: str = "needed where there are several"
) -> None:
    """Give a subcommand ``--server``. Only those that use it have it: where a server limits what is
    made, an option that nobody reads would be taken for that limit."""
    parser.add_argument("--server", metavar="NAME", help=words)


def refuse_unused(options: dict[str, Any], beside: str, **defaults: Any) -> None:
    """Raises BadRequest for an option that does nothing ``beside`` another: whoever gives it means
    something by it. ``defaults``: what each is when it was not given."""
    for name, default in defaults.items():
        if options.get(name, default) != default:
            option = name.replace("_", "-")
            raise BadRequest(f"--{option} is not used {beside}.", code="unused_option")


@dataclass
class Terminal:
    """Where to write, and whether a program reads it."""

    out: OutputWrapper
    err: OutputWrapper
    as_json: bool = False
    begun: Change | None = None
    """The change that this run has requested, or watches: it goes on without it."""

    def write(self, text: str) -> None:
        """Text as it is, without an end of line of its own."""
        self.out.write(visible(text), ending="")

    def say(self, text: str = "") -> None:
        """A line for a person; a program that reads JSON does not get it."""
        if not self.as_json:
            self.write(f"{text}\n")

    def warn(self, text: str) -> None:
        self.err.write(text)

    def answer(self, value: Any) -> None:
        """The one JSON value of a run with --json."""
        if self.as_json:
            self.write(f"{json.dumps(plain(value), indent=2, ensure_ascii=False)}\n")

    def refuse(self, refused: Refused, said: str = "Refused") -> None:
        if self.as_json:
            self.answer({"error": refused.as_json()})
            return
        self.warn(f"{said}: {refused.message}")
        for finding in refused.findings:
            self.warn(f"  {MARKS[finding.severity.value]} {finding.title}: {finding.message}")
        if refused.remedy:
            self.warn(f"  {refused.remedy}")


def interrupted(change: Change | None) -> Refused:
    """What is said of Ctrl-C."""
    if change is None:
        return Refused("You pressed Ctrl-C.", code="interrupted")
    return Refused(
        f"Change #{change.pk} goes on. To follow it, run the same command again; mpm show "
        f"{change.pk} shows it, mpm cancel {change.pk} cancels it.",
        code="interrupted",
    )


def actor() -> Actor:
    """Who runs a shell on the panel's machine with the panel's settings may do everything
    there anyway; history keeps their login name."""
    name = os.environ.get("SUDO_USER") or _login_name()
    return Actor(name=name, role="administrator", origin="cli", agent_class="shell")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def chosen_server(options: dict[str, Any]) -> Server:
    name = options.get("server")
    return server_named(name) if name else only_server()


def chosen(options: dict[str, Any], itk_now: bool) -> Choice:
    """The choice in the arguments. ITK stays as it is where the MPM allows it, unless said."""
    itk = options["itk"]
    if itk is None:
        itk = itk_now and options["mpm"] == MPM.PREFORK.value
    return Choice.parse(options["mpm"], itk=itk, add=options["add"], keep=options["keep"])


def show_plan(terminal: Terminal, plan: Plan) -> None:
    terminal.say(plan.headline)
    _packages(terminal, "install", plan.install)
    _packages(terminal, "remove", plan.remove)
    for finding in plan.findings:
        mark = MARKS[finding.severity.value]
        terminal.say(f"  {mark} [{finding.code}] {finding.title}")
        terminal.say(f"      {finding.message}")
        if finding.remedy:
            terminal.say(f"      → {finding.remedy}")
    terminal.say(f"digest {plan.digest} ({plan.source})")


def _packages(terminal: Terminal, word: str, items: Iterable[Any]) -> None:
    for item in items:
        terminal.say(f"  {word:8} {item.name} {item.evr}  ({item.reason})")
