"""Until when a change can be canceled, and the answer to a request that is too late."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.progress import progress_of
from easyapache.agent.server import Stopped
from easyapache.ea4.sentences import Sentence

ALREADY_TOO_LATE = Sentence(
    "Too late to cancel: packages are being changed. You can roll back when it finishes."
)
OVER = Sentence("The change finished before it could be canceled.")
LOOK = 0.1
"""Seconds between two looks for a request to cancel."""


class Cancellation:
    """Answers the request to cancel one change. There is one request and one answer."""

    def __init__(self, folder: ChangeFolder) -> None:
        self.folder = folder
        self._gate = threading.Lock()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Inside, a request that is too late is refused at once. One that is in time is granted at
        the next safe point."""
        over = threading.Event()

        def answer() -> None:
            while not over.wait(LOOK):
                if self.folder.cancel_requested:
                    with self._gate:
                        self._refuse()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def check(self) -> None:
        """A safe point. Raises Stopped when a cancel was requested and nothing was changed yet."""
        if self.folder.cancel_requested and not progress_of(self.folder.reports()).touched:
            raise Stopped

    @contextmanager
    def last_chance(self) -> Iterator[None]:
        """Inside, the point of no return is passed. Raises Stopped where a cancel was requested."""
        with self._gate:
            self.check()
            yield

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Inside, the outcome is written. A request to cancel without an answer gets one first."""
        with self._gate:
            if self.folder.cancel_requested:
                self._answer(accepted=False, reason=OVER)
            yield

    def accept(self) -> None:
        with self._gate:
            self._answer(accepted=True, reason=Sentence("Nothing was changed."))

    def _refuse(self) -> None:
        progress = progress_of(self.folder.reports())
        if progress.touched and not progress.ended:
            self._answer(accepted=False, reason=ALREADY_TOO_LATE)

    def _answer(self, *, accepted: bool, reason: str) -> None:
        if not progress_of(self.folder.reports()).cancel_answered:
            self.folder.report("cancel", {"accepted": accepted, "reason": reason})
