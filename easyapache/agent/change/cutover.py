"""From the first package that moves until the new httpd serves: watched, measured, one restart.

What happens to httpd in this time is the same on the way there and on the way back.
"""

from __future__ import annotations

from contextlib import ExitStack

from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.progress import label, progress_of, runs
from easyapache.agent.server import HostError, Interruption, Log, Server
from easyapache.ea4.profile import Profile
from easyapache.ea4.sentences import Sentence


class Handover:
    """``outdated``: when the httpds were started (``httpd_started`` of a profile) that are not
    what is wanted: the one from before the change, and whatever began before all was in place."""

    def __init__(self, folder: ChangeFolder, server: Server, log: Log) -> None:
        self.folder, self.server, self.log = folder, server, log
        self.outdated: frozenset[str] = frozenset()
        self._open = ExitStack()
        self._watching = False

    # -- the window -----------------------------------------------------------------------

    def watch(self) -> None:
        """Watch over httpd and measure, from here until ``close``. Where that is done already it
        goes on, so that a change that turns round is watched without a gap."""
        if self._watching:
            return
        # What was reported once must not be reported again as part of the next window.
        number = progress_of(self.folder.reports()).interruptions + 1
        window = self.folder.path / f"window-{number}"
        self._open.enter_context(self.server.watch(window, self.log))
        self._watching = True

    def close(self) -> None:
        self._watching = False
        self._open.close()

    # -- which httpd is wanted ------------------------------------------------------------

    def in_place(self, now: Profile) -> bool:
        """All that httpd reads is in place from ``now`` on: whatever runs yet is outdated. Returns
        whether that was news."""
        started = str(now.facts.get("httpd_started", ""))
        news = started not in self.outdated
        self.outdated |= {started}
        return news

    def serves(self, mpm: str, itk: bool) -> bool:
        """Whether the httpd that is wanted is there already: another engine that was cut off
        has replaced it, or it had died and the watch started it."""
        started = self.server.httpd_start()
        return bool(
            started and started not in self.outdated and runs(self.server.inspect(), mpm, itk)
        )

    # -- the restart ----------------------------------------------------------------------

    def restart(self, method: str, mpm: str, itk: bool, *, somehow: bool = False) -> str:
        """The one restart, unless it has taken place. ``somehow``: a running httpd counts more
        than the method that was asked for."""
        self.server.settle_restart(self.log)
        if self.serves(mpm, itk):
            if not progress_of(self.folder.reports()).outage_reported:
                self._report(self.server.noticed())
            return Sentence("{mpm} is already running.", mpm=label(mpm, itk))
        return self.replace(method, somehow=somehow)

    def replace(self, method: str, *, somehow: bool) -> str:
        """Another httpd instead of what runs, whatever that is."""
        try:
            noticed = self.server.restart(method, self.log)
        except HostError as error:
            if error.code != "bad_method" or not somehow:
                raise
            self.log(f"{error.message} Using auto instead.")
            noticed = self.server.restart("auto", self.log)
        self._report(noticed)
        return Sentence("{method}: {reason}", method=noticed.method, reason=noticed.reason)

    def _report(self, noticed: Interruption) -> None:
        self.folder.report("interruption", noticed.as_json())
        self.close()
