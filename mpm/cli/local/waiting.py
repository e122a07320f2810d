"""Waiting for a server's answer and following a change, from a shell."""

from __future__ import annotations

import time

from django.conf import settings

from easyapache.ea4.mpm import Choice
from mpm.access.services.actor import Unanswered
from mpm.changes.log_bytes import LogText
from mpm.changes.services.planning import ask_again, request_preview, settled
from mpm.cli.local.terminal import DONE, FAILED, Terminal, actor
from mpm.models import Change, LogChunk, Preview, State
from mpm.servers.models import Server
from mpm.web.broker_trouble import trouble

PAUSE = 0.1


def need_the_broker() -> None:
    """Raises Unanswered where a message to a server would not get there: nobody needs to wait."""
    if (broken := trouble()) is not None:
        raise Unanswered(str(broken.cause), code="no_broker", status=503, remedy=str(broken.fix))


def server_preview(server: Server, choice: Choice) -> Preview:
    """Ask the server's package manager and wait for it. Raises Unanswered with its error, or
    when it does not answer in time: nothing was refused, it failed."""
    need_the_broker()
    preview = request_preview(server, choice, actor())
    ends = time.monotonic() + settings.PREVIEW_SECONDS
    asked = time.monotonic()
    while time.monotonic() < ends:
        if answer := settled(preview):
            return answer
        if time.monotonic() - asked > 5:
            ask_again(preview)
            asked = time.monotonic()
        time.sleep(PAUSE)
    raise Unanswered(
        f"{server} did not answer within {settings.PREVIEW_SECONDS} seconds.",
        code="no_answer",
        status=504,
        remedy="Check that its agent and the panel's control worker run.",
    )


def follow(terminal: Terminal, change: Change, limit: float | None = None) -> int:
    """Print the log of ``change`` as it arrives until it has ended (or ``limit`` seconds went by).

    Returns the exit status: done only when it succeeded.
    """
    offset, silent = 0, False
    text = LogText()
    ends = None if limit is None else time.monotonic() + limit
    while True:
        change.refresh_from_db()
        for chunk in LogChunk.objects.filter(change=change, offset__gte=offset):
            if not terminal.as_json:
                terminal.write(text.more(bytes(chunk.data)))
                terminal.out.flush()
            offset = chunk.offset + chunk.size
        if change.finished:
            terminal.say(f"#{change.pk} {change.state}: {change.sentence}")
            return DONE if change.state == State.SUCCEEDED else FAILED
        if change.silent_since is not None and not silent:
            terminal.warn(f"The agent of {change.server_name} has not been heard for a while.")
        silent = change.silent_since is not None
        if ends is not None and time.monotonic() > ends:
            terminal.warn(f"Change #{change.pk} has not ended ({change.state}); it goes on.")
            return FAILED
        time.sleep(PAUSE)
