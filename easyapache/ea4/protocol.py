"""What panel and agent say to each other: plain JSON, enumerated operations, nothing else.

The panel sends an operation to the queue ``host.<server>``; the agent answers to the queue
``control``. Every message may be lost, doubled or late: the database of the panel and the
spool of the agent are the memory, a message only wakes the other side up.

Each message is the *keyword arguments* of its task (``send_task(name, kwargs=message)``), in
JSON; an answer that came to nothing carries ``error``: {code, message, remedy}.

Operations (task name: arguments → answer, if any):

* ``host.inspect``: {"request": id, "particulars": digest of those the panel has, or ""}
  → ``control.inspected`` {"server", "request", "profile" | "error"}
  → ``control.particulars`` {"server", "particulars"}, where these are others by now
* ``host.preview``: PreviewRequest
  → ``control.previewed`` {"server", "preview", "transaction" | "error", "profile"}
* ``host.apply``: ChangeRequest → reports and log of the change
* ``host.cancel``: {"change": id} → a report
* ``host.sync``: {"change": id, "after_report": seq, "after_byte": offset} → everything since,
  or ``control.unknown`` {"server", "change"} when the spool has never heard of it
* ``host.repair``: {"request": id, "action": code, "asked_at": ISO 8601} → ``control.repaired``
  {"server", "request", "action", "ok", "message", "log"}; the same one again → the same answer
* ``host.ping``: {"nonce"} → ``control.heartbeat`` {"server", "nonce", "at": ISO 8601, "agent",
  "capabilities"}; sent every 10 seconds without a question, too

Answers during a change:

* ``control.reports``: {"server", "change", "reports": [Report]}
* ``control.log``: {"server", "change", "offset": bytes, "text": base64 of the bytes}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from easyapache.ea4.profile import Transaction
from easyapache.ea4.scope import names_one_mpm

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

    Journals and agents of earlier versions are understood: they say ``rolled_back`` and
    ``cancelled``, and ``failed`` for NOT_STARTED as well.
    """

    SUCCEEDED = "succeeded"
    RESTORED = "restored"
    NOT_STARTED = "not_started"
    FAILED = "failed"
    CANCELED = "canceled"

    @classmethod
    def _missing_(cls, value: object) -> Outcome | None:
        return {"rolled_back": cls.RESTORED, "cancelled": cls.CANCELED}.get(str(value))


class BadMessage(ValueError):
    """A message that is not what it must be. It is refused whole and logged."""


def _is(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.match(value) is not None


def _names(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(item, str) and ALLOWED_PACKAGE.match(item) for item in value
    ):
        raise BadMessage(f"{what} must be a list of EasyApache 4 package names")
    return tuple(sorted(set(value)))


@dataclass(frozen=True, slots=True)
class Goal:
    """What the solver is asked: packages that must be there, and packages that must go.

    ``may_remove`` is the whole of what may leave; everything else that is installed and
    belongs to EasyApache 4 is protected, and the solver refuses rather than lose it.
    """

    install: tuple[str, ...]
    remove: tuple[str, ...] = ()
    may_remove: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "install": list(self.install),
            "remove": list(self.remove),
            "may_remove": list(self.may_remove),
        }

    @classmethod
    def from_json(cls, data: Any) -> Goal:
        if not isinstance(data, Mapping):
            raise BadMessage("a goal must be an object")
        return cls(
            install=_names(data.get("install"), "install"),
            remove=_names(data.get("remove", []), "remove"),
            may_remove=_names(data.get("may_remove", []), "may_remove"),
        )


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """Ask the server's own package manager what it would do. ``may_remove`` is ignored:
    the preview must show everything that would leave."""

    preview: str
    goal: Goal

    def as_json(self) -> dict[str, Any]:
        return {"preview": self.preview, "goal": self.goal.as_json()}

    @classmethod
    def from_json(cls, data: Any) -> PreviewRequest:
        if not isinstance(data, Mapping) or not _is(CHANGE_ID, data.get("preview")):
            raise BadMessage("a preview request needs an id of 32 hexadecimal digits")
        return cls(preview=data["preview"], goal=Goal.from_json(data.get("goal")))


def _deadline(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise BadMessage("not_after must be a time as 2026-03-03T21:00:00+00:00") from error
    if moment.tzinfo is None:
        raise BadMessage("not_after needs a zone")
    return moment


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """Everything the agent needs to carry out, finish or undo one change by itself.

    ``transaction`` is what the person confirmed. The agent resolves ``goal`` again just
    before it acts, and does nothing when the answer is another one.
    ``undo_of`` names the change whose rollback kit may serve when the repository cannot.
    ``not_after``: when it is too late to begin, aware; None: never.
    """

    change: str
    server: str
    goal: Goal
    transaction: Transaction
    mpm: str
    itk: bool
    undo_of: str | None = None
    restart_method: str = "auto"
    note: Mapping[str, Any] = field(default_factory=dict)
    not_after: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "change": self.change,
            "server": self.server,
            "goal": self.goal.as_json(),
            "transaction": self.transaction.as_json(),
            "mpm": self.mpm,
            "itk": self.itk,
            "undo_of": self.undo_of,
            "restart_method": self.restart_method,
            "note": dict(self.note),
            "not_after": self.not_after.isoformat() if self.not_after else None,
        }

    @classmethod
    def from_json(cls, data: Any) -> ChangeRequest:
        """Raises BadMessage when anything is not exactly what it must be."""
        if not isinstance(data, Mapping):
            raise BadMessage("a change request must be an object")
        if not _is(CHANGE_ID, data.get("change")):
            raise BadMessage("a change id has 32 hexadecimal digits")
        undo_of = data.get("undo_of")
        if undo_of is not None and not _is(CHANGE_ID, undo_of):
            raise BadMessage("undo_of must be a change id")
        if data.get("mpm") not in ("event", "worker", "prefork"):
            raise BadMessage("mpm must be event, worker or prefork")
        if not isinstance(data.get("itk"), bool):
            raise BadMessage("itk must be true or false")
        if not _is(SERVER_NAME, data.get("server")):
            raise BadMessage("server must be the name of a server")
        try:
            transaction = Transaction.from_json(data["transaction"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadMessage(f"the transaction cannot be read: {error}") from error
        for package in (*transaction.install, *transaction.remove):
            parts = (package.name, package.version, package.release, package.arch)
            if not all(isinstance(part, str) for part in parts):
                raise BadMessage("a package is named by texts")
        note = data.get("note") or {}
        if not isinstance(note, Mapping):
            raise BadMessage("note must be an object")
        # Known here and not at the restart, when the packages would have been exchanged already.
        if data.get("restart_method", "auto") not in RESTART_METHODS:
            raise BadMessage(f"restart_method must be one of {', '.join(RESTART_METHODS)}")
        goal = Goal.from_json(data.get("goal"))
        back = undo_of is not None
        if wrong := names_one_mpm(goal.install, data["mpm"], itk=data["itk"], back=back):
            raise BadMessage(wrong)
        return cls(
            change=data["change"],
            server=data["server"],
            goal=goal,
            transaction=transaction,
            mpm=data["mpm"],
            itk=data["itk"],
            undo_of=undo_of,
            restart_method=data.get("restart_method", "auto"),
            note=dict(note),
            not_after=_deadline(data.get("not_after")),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """One line of the journal of a change, as the agent wrote it.

    ``seq`` counts from 1 without gaps within a change; ``at`` is ISO 8601 in UTC.
    ``kind`` and what ``data`` then holds:

    * ``step``: {step, status: started|done|failed|skipped, detail}
    * ``evidence``: {phase: before|after|undo, observations: [{name, title, expected, seen, ok}]}
    * ``finding``: {code, title, message, remedy} (a refusal of preflight, or a diagnosis)
    * ``interruption``: {method, reason, probes, refused, reset, longest_wait_ms, window_ms,
      partial, strip: [[offset_ms, wait_ms, "ok"|"refused"|"reset"|"slow"]]} (strip: at most 600
      entries; without probes the counts and the wait are null; partial: for a while nobody
      measured)
    * ``moved``: {transaction} (the server's new answer, when it is not the confirmed one)
    * ``cancel``: {accepted, reason}
    * ``outcome``: {outcome, decided_by, sentence, profile}; always the last line
    """

    seq: int
    at: str
    kind: str
    data: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"seq": self.seq, "at": self.at, "kind": self.kind, "data": dict(self.data)}

    @classmethod
    def from_json(cls, data: Any) -> Report:
        try:
            return cls(int(data["seq"]), str(data["at"]), str(data["kind"]), dict(data["data"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadMessage(f"not a report: {error}") from error
