"""What the engine needs of a server: one protocol, kept by the real drivers and the simulated one.

Facts and operations are apart: a *fact* reads and never changes or locks anything; an
*operation* changes the server, and its result is read from the server afterwards, never
from an exit status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from easyapache.ea4.conditions import BY_CODE
from easyapache.ea4.conditions.condition import Condition
from easyapache.ea4.package_metadata import Particulars
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import Goal
from easyapache.ea4.schema import Schema, Spoken
from easyapache.ea4.sentences import ended, joined, with_words

Log = Callable[[str], None]
"""Takes one line of output, without its end of line."""


class HostError(Exception):
    """Something on the server refused or failed. ``code`` is stable, ``remedy`` says what to do;
    ``output`` is what programs said, as they said it."""

    def __init__(self, code: str, message: str, remedy: str = "", output: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.remedy, self.output = code, message, remedy, output


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A reason found before anything was touched why the change must not begin: a condition of the
    catalogue, and what was seen of it."""

    code: str
    seen: str

    @property
    def condition(self) -> Condition:
        return BY_CODE[self.code]

    @property
    def title(self) -> str:
        return self.condition.title_for({})

    @property
    def message(self) -> str:
        """What was seen, and the cause in general."""
        return joined(" ", [ended(self.seen), self.condition.text])

    @property
    def remedy(self) -> str:
        return self.condition.remedy_for({})

    def as_json(self) -> dict[str, Any]:
        data = {
            "code": self.code,
            "severity": self.condition.severity.value,
            "title": self.title,
            "message": self.message,
            "remedy": self.remedy,
            "repair": self.condition.repair,
        }
        return with_words(data, "title", "message", "remedy")


@dataclass(frozen=True, slots=True)
class SiteAnswer(Schema):
    """What one address answered: enough to say *as before*, too little to hold content.

    ``size_class``: the power of two of the body's length; ``error`` is set when no HTTP
    answer came.
    """

    url: str
    host: str
    kind: str
    status: int = 0
    location: str = ""
    content_type: str = ""
    size_class: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Interruption(Spoken):
    """What visitors would have noticed: measured by opening a connection every few milliseconds.

    Without a probe nothing is known, and it says so (None). ``partial``: for a while nobody asked.
    """

    SENTENCES: ClassVar = ("reason",)
    method: str
    reason: str
    probes: int = 0
    refused: int = 0
    reset: int = 0
    longest_wait_ms: float = 0.0
    window_ms: float = 0.0
    partial: bool = False
    strip: tuple[tuple[int, float, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        unknown = () if self.probes else ("refused", "reset", "longest_wait_ms")
        return Spoken.as_json(self) | dict.fromkeys(unknown)


@dataclass(frozen=True, slots=True)
class Check(Spoken):
    """One observation of verification: what was expected, what was seen."""

    SENTENCES: ClassVar = ("title", "expected", "seen")
    name: str
    title: str
    expected: str
    seen: str
    ok: bool


Stop = Callable[[], bool]
"""Whether what is under way is to be given up; asked often, so it answers at once."""


def never() -> bool:
    return False


class Stopped(Exception):
    """Somebody asked to stop, in time."""


@dataclass(frozen=True, slots=True)
class Kit:
    """The rollback kit of one change: a folder with everything needed to go back by hand.

    ``transaction`` is the change itself (what came in and what left), ``mpm`` and ``itk``
    what was before it. In ``folder``: ``rpms/`` holds the packages that leave, ``incoming/``
    those that come where they could be kept too, ``files/`` copies of edited configuration
    files (``files``: path on the server → name in that folder).
    """

    folder: Path
    transaction: Transaction
    mpm: str
    itk: bool
    files: Mapping[str, str] = field(default_factory=dict)


class Server(Protocol):
    """One managed server."""

    # -- facts -----------------------------------------------------------------------
    def inspect(self) -> Profile:
        """Everything in Profile, in well under a second, without the package manager's lock."""

    def httpd_start(self) -> str:
        """What ``httpd_started`` in the profile would say now, at once; empty while none runs."""

    def particulars(self) -> Particulars:
        """What the packages are in words, and what EasyApache 4's own files say. Asks no
        repository, and takes no lock."""

    def resolve(self, goal: Goal, *, protect: bool, kept: Path | None = None) -> Transaction:
        """What the server's own solver would do. With ``protect`` it refuses (HostError
        ``unsatisfiable`` or ``protected``) whatever would lose a package outside
        ``goal.may_remove``. With ``kept``, the packages in that folder are all it may choose
        from: no repository is asked. Changes nothing."""

    def obstacles(
        self,
        goal: Goal,
        transaction: Transaction,
        seen: Callable[[], Profile] | None = None,
        stop: Stop = never,
    ) -> Sequence[Obstacle]:
        """Every reason why a change must not begin now. ``seen``: waits for the profile that
        somebody is just making; without it, one is made for this. Given up within a moment, by
        Stopped, once ``stop`` says so."""

    def sites(self, stop: Stop = never) -> Sequence[SiteAnswer]:
        """Ask a sample of this server's own sites, one of each kind and address. Given up within
        a moment, by Stopped, once ``stop`` says so."""

    def checks(
        self,
        transaction: Transaction,
        mpm: str,
        itk: bool,
        before: Sequence[SiteAnswer],
        listened: Sequence[tuple[str, int]] = (),
    ) -> Sequence[Check]:
        """Packages, files, configuration, running process, listeners, workers, sites:
        does the server show what was asked for? ``listened``: the (address, port) that httpd
        held before, the address empty for all; where none are known, the configuration says."""

    def capabilities(self) -> Mapping[str, Any]:
        """What this host allows: package manager, restart method and why, systemd, rights."""

    # -- operations ------------------------------------------------------------------
    def download(self, transaction: Transaction, kit: Kit, log: Log, stop: Stop = never) -> None:
        """Fetch what will come into the cache and what will leave into the kit. Changes nothing.
        Given up within a moment, by Stopped, once ``stop`` says so."""

    def rehearse(
        self, transaction: Transaction, mpm: str, itk: bool, folder: Path, log: Log
    ) -> None:
        """Start the new module set on the current configuration, away from the network.
        Raises HostError ``rehearsal`` with what httpd said."""

    def start_packages(
        self, change: str, goal: Goal, transaction: Transaction, folder: Path, log: Log
    ) -> None:
        """Begin the one transaction, detached, output in ``folder``; at most once per change."""

    def follow_packages(self, change: str, folder: Path, log: Log) -> int | None:
        """Wait for what was begun in ``folder``, by this process or an earlier one: the one
        transaction, or calls of ``packages_from_kit`` in the kit's own output folder. Returns the
        exit status where known; the caller looks at the server instead."""

    def watch(self, folder: Path, log: Log) -> AbstractContextManager[None]:
        """While inside, an httpd that dies is started again at once, and ``log`` told so.

        For the time from the first package that moves until the new httpd serves, when a
        reload by anything else (log rotation, AutoSSL) would end the running one. What visitors
        notice of it is measured, and kept in ``folder`` for whoever goes on after a crash."""

    def noticed(self) -> Interruption:
        """Only inside ``watch``: end the measuring and say what visitors noticed so far, in this
        process and in those before it that used the same folder."""

    def config_test(self, log: Log) -> None:
        """Raises HostError ``configtest`` with what httpd said."""

    def restart(self, method: str, log: Log) -> Interruption:
        """Replace the running httpd by one with the configuration on disk, or start it if
        none runs. Raises HostError ``restart``; what was running is then running still
        wherever that was possible. Inside ``watch`` it ends the measuring (``noticed``)."""

    def settle_restart(self, log: Log) -> bool:
        """Bring a restart that was cut off to its end, whoever's it was: afterwards at most one
        httpd takes connections. Starts none. Returns whether there was something to do."""

    def wait_for_restarts(self, log: Log, stop: Stop = never) -> bool:
        """Until nobody else is about to restart httpd, within bounds, and ``log`` told so. Whether
        nobody is. Raises Stopped."""

    def packages_from_kit(self, kit: Kit, log: Log) -> None:
        """Bring about what ``kit.transaction`` says from the packages kept in the kit, without
        any repository. Raises HostError ``packages``."""

    def undo_packages(self, kit: Kit, log: Log) -> None:
        """Bring the packages back to what ``kit`` holds, without any repository if need be,
        whatever torn state they are in."""

    def repair(self, mpm: str, log: Log) -> None:
        """Give a torn server (two MPMs, none, files missing) the one MPM named, from the
        repositories. httpd is not restarted."""

    def reinstall(self, names: Sequence[str], log: Log) -> None:
        """Bring back the files that packages have lost, in the builds that are installed, from
        the repositories or a rollback kit. httpd is not restarted. Raises HostError
        ``repair`` with what is still missing."""
