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
from easyapache.ea4.opinion import Opinion
from easyapache.ea4.package_metadata import Particulars
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import Goal
from easyapache.ea4.schema import Schema, Translatable
from easyapache.ea4.sentences import ended, joined, with_words

Log = Callable[[str], None]
"""Takes one line of output, without its end of line."""


class HostError(Exception):
    """Something on the server refused or failed. ``code`` is stable, ``remedy`` is the recommended
    action, ``output`` the unchanged output of programs."""

    def __init__(self, code: str, message: str, remedy: str = "", output: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.remedy, self.output = code, message, remedy, output


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A blocker found before anything changed: a condition of the catalog, and its details."""

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
        """The details, and the general cause."""
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
    """The answer of one site: enough to compare it, without its content.

    ``size_class``: the power of two of the body's length; ``error`` is set when there was no HTTP
    answer.
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
class Interruption(Translatable):
    """The visitor impact: measured by opening a connection every few milliseconds.

    Without a probe the values are unknown (None). ``partial``: the measurement has gaps.
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
        return Translatable.as_json(self) | dict.fromkeys(unknown)


@dataclass(frozen=True, slots=True)
class Check(Translatable):
    """One check of the verification: expected and actual value."""

    SENTENCES: ClassVar = ("title", "expected", "seen")
    name: str
    title: str
    expected: str
    seen: str
    ok: bool


Stop = Callable[[], bool]
"""Whether to give up the current work; called often, so it must return at once."""


def never() -> bool:
    return False


class Stopped(Exception):
    """A cancel was requested in time."""


@dataclass(frozen=True, slots=True)
class Kit:
    """The rollback kit of one change: a folder with everything needed to roll back by hand.

    ``transaction`` is the change itself (packages installed and removed), ``mpm`` and ``itk`` the
    state before it. In ``folder``: ``rpms/`` holds the removed packages, ``incoming/`` the
    installed ones if available, ``files/`` copies of edited configuration files (``files``: path on
    the server → name in that folder).
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
        """The current value of the profile's ``httpd_started``, at once; empty if none runs."""

    def particulars(self) -> Particulars:
        """Descriptions of the packages, and data of EasyApache 4's own files. Contacts no
        repository, and takes no lock."""

    def resolve(self, goal: Goal, *, protect: bool, kept: Path | None = None) -> Transaction:
        """The transaction of the server's own solver. With ``protect`` it refuses (HostError
        ``unsatisfiable`` or ``protected``) to remove a package outside ``goal.may_remove``. With
        ``kept``, it uses only the packages in that folder and no repository. Changes nothing."""

    def second_opinion(self, profile: Profile, transaction: Transaction) -> Opinion | None:
        """What WHM's own package manager would do to come to the same packages; None where there
        is no WHM. Changes nothing. Raises HostError ``no_answer``."""

    def obstacles(
        self,
        goal: Goal,
        transaction: Transaction,
        seen: Callable[[], Profile] | None = None,
        stop: Stop = never,
    ) -> Sequence[Obstacle]:
        """All blockers of a change. ``seen``: waits for a profile that is being made; without it,
        one is made here. Raises Stopped shortly after ``stop()`` becomes true."""

    def sites(self, stop: Stop = never) -> Sequence[SiteAnswer]:
        """Check a sample of this server's own sites, one of each kind and address. Raises Stopped
        shortly after ``stop()`` becomes true."""

    def checks(
        self,
        transaction: Transaction,
        mpm: str,
        itk: bool,
        before: Sequence[SiteAnswer],
        listened: Sequence[tuple[str, int]] = (),
    ) -> Sequence[Check]:
        """Packages, files, configuration, running process, listeners, workers, sites: is the server
        in the planned state? ``listened``: the (address, port) of httpd's sockets before, the
        address empty for all; if none are known, those of the configuration."""

    def capabilities(self) -> Mapping[str, Any]:
        """What this host allows: package manager, restart method and why, systemd, rights."""

    # -- operations ------------------------------------------------------------------
    def download(self, transaction: Transaction, kit: Kit, log: Log, stop: Stop = never) -> None:
        """Download the packages to install into the cache and those to remove into the kit. Changes
        nothing. Raises Stopped shortly after ``stop()`` becomes true."""

    def rehearse(
        self, transaction: Transaction, mpm: str, itk: bool, folder: Path, log: Log
    ) -> None:
        """Start the new module set on the current configuration, away from the network. Raises
        HostError ``rehearsal`` with httpd's output."""

    def start_packages(
        self, change: str, goal: Goal, transaction: Transaction, folder: Path, log: Log
    ) -> None:
        """Begin the one transaction, detached, output in ``folder``; at most once per change."""

    def follow_packages(self, change: str, folder: Path, log: Log) -> int | None:
        """Wait for what was started in ``folder``, by this process or an earlier one: the
        transaction, or calls of ``packages_from_kit`` in the kit's own output folder. Returns the
        exit status if known; the caller checks the server instead."""

    def start_packages_again(self, change: str, folder: Path, log: Log) -> bool:
        """Begin the transaction in ``folder`` once more where another package manager's lock turned
        it away before it began; that one is waited for, within bounds. False in any other case."""

    def watch(self, folder: Path, log: Log) -> AbstractContextManager[None]:
        """Inside, an httpd that dies is started again at once, with a line in ``log``.

        For the time from the first changed package until the new httpd serves, when a reload by
        anything else (log rotation, AutoSSL) would end the running one. The visitor impact is
        measured, and kept in ``folder`` to continue after a crash."""

    def noticed(self) -> Interruption:
        """Only inside ``watch``: end the measurement and return the visitor impact so far, from
        this process and earlier ones with the same folder."""

    def config_test(self, log: Log) -> None:
        """Raises HostError ``configtest`` with httpd's output."""

    def restart(self, method: str, log: Log) -> Interruption:
        """Replace the running httpd by one with the configuration on disk, or start it if none
        runs. Raises HostError ``restart``; the old one then keeps running if possible. Inside
        ``watch`` it ends the measurement (``noticed``)."""

    def settle_restart(self, log: Log) -> bool:
        """Complete an interrupted restart of any process: afterwards at most one httpd accepts
        connections. Starts none. Returns whether there was one."""

    def wait_for_restarts(self, log: Log, stop: Stop = never) -> bool:
        """Until nobody else is about to restart httpd, within bounds, and ``log`` told so. Whether
        nobody is. Raises Stopped."""

    def packages_from_kit(self, kit: Kit, log: Log) -> None:
        """Carry out ``kit.transaction`` with the packages in the kit, without any repository.
        Raises HostError ``packages``."""

    def undo_packages(self, kit: Kit, log: Log) -> None:
        """Restore the packages in ``kit``, without any repository if necessary, whatever state they
        are in."""

    def repair(self, mpm: str, log: Log) -> None:
        """Give a torn server (two MPMs, none, files missing) the one MPM named, from the
        repositories. httpd is not restarted."""

    def reinstall(self, names: Sequence[str], log: Log) -> None:
        """Restore missing files of the installed builds from the repositories or a rollback kit.
        httpd is not restarted. Raises HostError ``repair`` with the files still missing."""
