"""The messages between panel and agent: plain JSON, enumerated operations, nothing else.

The panel sends an operation to the queue ``host.<server>``; the agent answers to the queue
``control``. Every message may be lost, repeated or late: the database of the panel and the spool of
the agent hold the state, a message only wakes the other side up.

Each message is the *keyword arguments* of its task (``send_task(name, kwargs=message)``), in JSON;
a failed answer has ``error``: {code, message, remedy}.

Operations (task name: arguments → answer, if any):

* ``host.inspect``: {"request": id, "particulars": digest of those the panel has, or ""} →
  ``control.inspected`` {"server", "request", "profile" | "error"} → ``control.particulars``
  {"server", "particulars"}, if these have changed
* ``host.preview``: PreviewRequest
  → ``control.previewed`` {"server", "preview", "transaction" | "error", "profile", "opinion"}
* ``host.apply``: ChangeRequest → reports and log of the change
* ``host.cancel``: {"change": id} → a report
* ``host.sync``: {"change": id, "after_report": seq, "after_byte": offset} → everything since, or
  ``control.unknown`` {"server", "change"} if the spool does not have it
* ``host.repair``: {"request": id, "action": code, "asked_at": ISO 8601} → ``control.repaired``
  {"server", "request", "action", "ok", "message", "log"}; a repeated request → the same answer
* ``host.ping``: {"nonce"} → ``control.heartbeat`` {"server", "nonce", "at": ISO 8601, "agent",
  "capabilities"}; also sent every 10 seconds

Answers during a change:

* ``control.reports``: {"server", "change", "reports": [Report]}
* ``control.log``: {"server", "change", "offset": bytes, "text": base64 of the bytes}

Without a question:

* ``control.changed``: {"server"}: somebody else has installed or removed packages there
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from easyapache.ea4.profile import MOST_PACKAGES, Profile, Transaction
from easyapache.ea4.schema import BadMessage, Count, Moment, Schema, Short, Translatable, read
from easyapache.ea4.scope import MPMS, names_one_mpm
from easyapache.ea4.sentences import with_sentences

CONTROL_QUEUE = "control"
SERVER_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?\Z")
CHANGE_ID = re.compile(r"[0-9a-f]{32}\Z")
ALLOWED_PACKAGE = re.compile(r"ea-[a-z0-9][a-z0-9_.+-]{0,126}\Z")
"""The agent's own allow-list: no name outside EasyApache 4 ever reaches the package manager.
(Dependencies from outside, as openssl, are for the solver to find, never for a message to name.)"""


RESTART_METHODS = ("auto", "overlap", "graceful-stop", "script")
"""How httpd may be restarted; ``auto`` leaves it to the agent's configuration and the host."""


def host_queue(server: str) -> str:
    """The queue only that server's agent listens to. Raises ValueError for a malformed name."""
    if not SERVER_NAME.match(server):
        raise ValueError(f"{server!r} cannot be the name of a server")
    return f"host.{server}"


class Step(StrEnum):
    """The steps of one change, in their order; the ``undo_`` ones only run after a failure."""

    PREFLIGHT = "preflight"
    DOWNLOAD = "download"
    REHEARSAL = "rehearsal"
    PACKAGES = "packages"
    CONFIGTEST = "configtest"
    RESTART = "restart"
    VERIFY = "verify"
    UNDO_PACKAGES = "undo_packages"
    UNDO_RESTART = "undo_restart"
    UNDO_VERIFY = "undo_verify"


POINT_OF_NO_RETURN = Step.PACKAGES
"""From this step on a change cannot be canceled, only finished or undone."""


class Outcome(StrEnum):
    """How a change ends: as requested; failed and restored to the previous state; refused or failed
    before anything changed; failed, and the state is unknown; canceled before anything changed.

    Values of earlier journals and agents are accepted: ``rolled_back`` and ``cancelled``, and
    ``failed`` for NOT_STARTED as well.
    """

    SUCCEEDED = "succeeded"
    RESTORED = "restored"
    NOT_STARTED = "not_started"
    FAILED = "failed"
    CANCELED = "canceled"

    @classmethod
    def _missing_(cls, value: object) -> Outcome | None:
        return {"rolled_back": cls.RESTORED, "cancelled": cls.CANCELED}.get(str(value))


ChangeId = Annotated[
    str, Meta(pattern=f"^{CHANGE_ID.pattern}", description="an ID of 32 hexadecimal digits")
]
ServerName = Annotated[
    str,
    Meta(
        pattern=f"^{SERVER_NAME.pattern}",
        description="the name of a server: lower-case letters, digits, dots and dashes",
    ),
]
PackageName = Annotated[
    str, Meta(pattern=f"^{ALLOWED_PACKAGE.pattern}", description="an EasyApache 4 package name")
]
RestartMethod = Annotated[
    str,
    Meta(
        pattern=rf"^({'|'.join(RESTART_METHODS)})\Z",
        description=f"one of {', '.join(RESTART_METHODS)}",
    ),
]
MpmName = Annotated[
    str, Meta(pattern=rf"^({'|'.join(MPMS)})\Z", description=f"one of {', '.join(MPMS)}")
]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
PackageNames = Annotated[tuple[PackageName, ...], Meta(max_length=MOST_PACKAGES)]


@dataclass(frozen=True, slots=True)
class Goal(Schema):
    """The solver's goal: packages to install, and packages to remove.

    ``may_remove`` lists all packages that may be removed; every other installed package of
    EasyApache 4 is protected, and the solver refuses to remove it.
    """

    install: PackageNames
    remove: PackageNames = ()
    may_remove: PackageNames = ()

    def __post_init__(self) -> None:
        for name in ("install", "remove", "may_remove"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))


@dataclass(frozen=True, slots=True)
class PreviewRequest(Schema):
    """Request the transaction of the server's own package manager. ``may_remove`` is ignored: the
    preview must show everything that would be removed."""

    preview: ChangeId
    goal: Goal


@dataclass(frozen=True, slots=True)
class ChangeRequest(Schema):
    """Everything the agent needs to carry out, finish or undo one change by itself.

    ``transaction`` is what the person confirmed. The agent resolves ``goal`` again just
    before it acts, and does nothing when the answer is another one.
    ``undo_of`` names the change whose rollback kit may serve when the repository cannot.
    ``not_after``: when it is too late to begin, aware; None: never.
    """

    change: ChangeId
    server: ServerName
    goal: Goal
    transaction: Transaction
    mpm: MpmName
    itk: bool
    undo_of: ChangeId | None = None
    restart_method: RestartMethod = "auto"
    note: Mapping[str, Any] = field(default_factory=dict)
    not_after: Moment | None = None

    @classmethod
    def from_json(cls, data: Any) -> ChangeRequest:
        """Raises BadMessage, also for a request that is not about the MPM it names: known here
        and not at the restart, when the packages would have been exchanged already."""
        request = read(cls, data)
        back = request.undo_of is not None
        wrong = names_one_mpm(request.goal.install, request.mpm, itk=request.itk, back=back)
        if wrong:
            raise BadMessage(wrong)
        return request


@dataclass(frozen=True, slots=True)
class Addressed(Schema):
    """The part of a change request that is read first: its engine refuses the rest if invalid, so
    that the panel gets an outcome."""

    change: ChangeId
    server: ServerName


@dataclass(frozen=True, slots=True)
class InspectRequest(Schema):
    """``particulars``: the digest of those the panel has; None where it wants none."""

    request: Name
    particulars: str | None = None


@dataclass(frozen=True, slots=True)
class CancelRequest(Schema):
    change: ChangeId


@dataclass(frozen=True, slots=True)
class SyncRequest(Schema):
    """Everything after these is to be sent again."""

    change: ChangeId
    after_report: Count
    after_byte: Count


@dataclass(frozen=True, slots=True)
class RepairRequest(Schema):
    request: ChangeId
    action: Name
    asked_at: Moment


@dataclass(frozen=True, slots=True)
class Ping(Schema):
    nonce: Name


@dataclass(frozen=True, slots=True)
class Failure(Translatable):
    """The error in a failed answer."""

    SENTENCES: ClassVar = ("message", "remedy")
    code: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report(Schema):
    """One line of a change's journal, written by the agent.

    ``seq`` counts from 1 without gaps within a change; ``at`` is ISO 8601 in UTC. ``kind``, and the
    ``data`` of each:

    * ``step``: {step, status: started|done|failed|skipped, detail, decided_by (of a failure)}
    * ``evidence``: {phase: before|after|undo, observations: [{name, title, expected, seen, ok}]}
    * ``finding``: {code, title, message, remedy} (a refusal of preflight, or a diagnosis)
    * ``interruption``: {method, reason, probes, refused, reset, longest_wait_ms, window_ms,
      partial, strip: [[offset_ms, wait_ms, "ok"|"refused"|"reset"|"slow"]]} (strip: at most 600
      entries; without probes the counts and the wait are null; partial: with gaps)
    * ``moved``: {transaction} (the server's new answer, if it is not the confirmed one)
    * ``cancel``: {accepted, reason}
    * ``outcome``: {outcome, decided_by, sentence, profile}; always the last line
    """

    seq: Annotated[int, Meta(ge=1)]
    at: Short
    kind: Short
    data: Mapping[str, Any]

    def parsed(self) -> ReportData | None:
        """``data`` by its kind, None for a kind of a newer version. Raises BadMessage."""
        kind = _REPORT_DATA.get(self.kind)
        return kind.from_json(self.data) if kind else None


# -- what reports tell ---------------------------------------------------------------------


Number = Annotated[float, Meta(gt=-(2**31), lt=2**31)]
Templates = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReportData(Schema):
    """The fields of a report's data that are read. Reports are stored as received."""


@dataclass(frozen=True, slots=True)
class StepReport(ReportData):
    step: Step
    status: str = ""
    detail: str = ""
    decided_by: str = ""
    words: Templates | None = None

    @property
    def cause(self) -> str:
        """What decided it, or else its detail, with the template and values."""
        name = "decided_by" if self.decided_by else "detail"
        text: str = with_sentences({name: getattr(self, name), "words": self.words})[name]
        return text


@dataclass(frozen=True, slots=True)
class EvidenceReport(ReportData):
    phase: str = ""
    observations: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class FindingReport(ReportData):
    code: str = ""
    title: str = ""
    message: str = ""
    words: Templates | None = None


@dataclass(frozen=True, slots=True)
class InterruptionReport(ReportData):
    """Values that were not measured are None."""

    method: str = ""
    probes: Number | None = None
    refused: Number | None = None
    reset: Number | None = None
    longest_wait_ms: Number | None = None
    window_ms: Number | None = None
    partial: bool = False
    strip: Annotated[tuple[tuple[Any, Any, Any], ...], Meta(max_length=5000)] | None = None
    words: Templates | None = None

    @property
    def measured(self) -> bool:
        return self.refused is not None and self.probes != 0


@dataclass(frozen=True, slots=True)
class MovedReport(ReportData):
    transaction: Transaction


@dataclass(frozen=True, slots=True)
class CancelReport(ReportData):
    accepted: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeReport(ReportData):
    outcome: Outcome
    decided_by: str = ""
    sentence: str = ""
    words: Templates | None = None
    profile: Profile | None = None

    @property
    def ending(self) -> str:
        """The sentence, with its template and values."""
        text: str = with_sentences({"sentence": self.sentence, "words": self.words})["sentence"]
        return text


_REPORT_DATA: Mapping[str, type[ReportData]] = {
    "step": StepReport,
    "evidence": EvidenceReport,
    "finding": FindingReport,
    "interruption": InterruptionReport,
    "moved": MovedReport,
    "cancel": CancelReport,
    "outcome": OutcomeReport,
}
