"""From the first changed package until the new httpd serves: watched, measured, one restart.

A change and its undo treat httpd the same way.
"""

from __future__ import annotations

from contextlib import ExitStack

from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.progress import label, progress_of, runs
from easyapache.agent.server import HostError, Interruption, Log, Server
from easyapache.ea4.profile import Profile
from easyapache.ea4.sentences import Sentence


class Handover:
    """``outdated``: start times (``httpd_started`` of a profile) of the httpds to replace: the one
    from before the change, and any that started before all files were in place."""

    def __init__(self, folder: ChangeFolder, server: Server, log: Log) -> None:
        self.folder, self.server, self.log = folder, server, log
        self.outdated: frozenset[str] = frozenset()
        self._open = ExitStack()
        self._watching = False

    # -- the window -----------------------------------------------------------------------

    def watch(self) -> None:
        """Watch httpd and measure until ``close``. A watch that is already open continues, so that
        a change that turns into its undo is measured without a gap."""
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
        """All files httpd reads are in place: record the httpd that runs at ``now`` as outdated.
        Returns False if it was recorded before."""
        started = str(now.facts.get("httpd_started", ""))
        news = started not in self.outdated
        self.outdated |= {started}
        return news

    def serves(self, mpm: str, itk: bool) -> bool:
        """Whether the new httpd runs already: an interrupted engine replaced the old one, or it
        died and the watch started it again."""
        started = self.server.httpd_start()
        return bool(
            started and started not in self.outdated and runs(self.server.inspect(), mpm, itk)
        )

    # -- the restart ----------------------------------------------------------------------

    def restart(self, method: str, mpm: str, itk: bool, *, somehow: bool = False) -> str:
        """Restart httpd once, unless that was done. ``somehow``: use ``auto`` if the requested
        method is not available."""
        self.server.settle_restart(self.log)
        if self.serves(mpm, itk):
            if not progress_of(self.folder.reports()).outage_reported:
                self._report(self.server.noticed())
            return Sentence("{mpm} is already running.", mpm=label(mpm, itk))
        return self.replace(method, somehow=somehow)

    def replace(self, method: str, *, somehow: bool) -> str:
        """Replace the running httpd."""
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
