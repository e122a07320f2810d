"""How far a change got, from its journal and from the installed packages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import ChangeRequest, InterruptionReport, Report, Step, StepReport
from easyapache.ea4.sentences import Sentence, all_of, counted, joined

_MPM_PREFIX = "ea-apache24-mod_mpm_"
_MPM_PACKAGES = frozenset(f"{_MPM_PREFIX}{name}" for name in ("event", "worker", "prefork"))
TOUCHING = (Step.PACKAGES, Step.CONFIGTEST, Step.RESTART, Step.VERIFY)
UNDOING = (Step.UNDO_PACKAGES, Step.UNDO_RESTART, Step.UNDO_VERIFY)


@dataclass(frozen=True, slots=True)
class Progress:
    """The journal, summarized for the engine."""

    begun: frozenset[Step] = frozenset()
    done: frozenset[Step] = frozenset()
    last: Step | None = None
    tries: int = 0
    cancel_answered: bool = False
    cause: str = ""
    ended: bool = False
    interruption: InterruptionReport | None = None
    interruptions: int = 0
    outage_reported: bool = False

    @property
    def touched(self) -> bool:
        """Whether anything on the server may have been altered."""
        return any(step in self.begun for step in (*TOUCHING, *UNDOING))

    @property
    def undoing(self) -> bool:
        return any(step in self.begun for step in UNDOING)


def progress_of(reports: Iterable[Report]) -> Progress:
    """``tries``: how often the packages step started; ``cause``: why the undo started;
    ``outage_reported``: the visitor impact was reported in the current step before the engine was
    interrupted. Raises BadMessage for a step or an interruption that is none."""
    begun: set[Step] = set()
    done: set[Step] = set()
    last: Step | None = None
    tries, answered, ended, cause = 0, False, False, ""
    interruptions, outage_reported = 0, False
    interruption: InterruptionReport | None = None
    for report in reports:
        if report.kind == "step":
            line = StepReport.from_json(report.data)
            started = line.status == "started"
            outage_reported = outage_reported and last is line.step and started
            last = line.step
            if started:
                begun.add(last)
                tries += last is Step.PACKAGES
            elif line.status in ("done", "skipped"):
                done.add(last)
            if line.status == "failed" and last not in UNDOING:
                cause = line.cause
            elif started and last is Step.UNDO_PACKAGES:
                cause = line.cause or cause
        elif report.kind == "cancel":
            answered = True
        elif report.kind == "outcome":
            ended = True
        elif report.kind == "interruption":
            interruption = InterruptionReport.from_json(report.data)
            interruptions, outage_reported = interruptions + 1, True
    return Progress(
        begun=frozenset(begun),
        done=frozenset(done),
        last=last,
        tries=tries,
        cancel_answered=answered,
        cause=cause,
        ended=ended,
        interruption=interruption,
        interruptions=interruptions,
        outage_reported=outage_reported,
    )


class Packages(StrEnum):
    """How the installed packages compare with one change."""

    PLANNED = "planned"
    BEFORE = "before"
    TORN = "torn"


def packages_now(now: Profile, before: Profile, transaction: Transaction) -> Packages:
    """Compare the EasyApache 4 packages that are there with both ends of a change.

    Files that are missing now and were there before make it torn: rpm's database and the disk
    disagree, which a full disk can cause. So do files that rpm does not know yet: a dnf killed
    after unpacking a package and before recording it leaves them behind, and httpd would load them.
    """
    have = _nevras(now)
    start = _nevras(before)
    installed = {item.nevra for item in transaction.install}
    removed = {item.nevra for item in transaction.remove}
    lost = set(_missing(now)) - set(_missing(before))
    involved = {item.name for item in (*transaction.install, *transaction.remove)}
    if lost & involved or len(now.names & _MPM_PACKAGES) != 1:
        return Packages.TORN
    if have == _ea((start - removed) | installed) and installed <= {p.nevra for p in now.packages}:
        return Packages.PLANNED
    if have == start and now.configured == before.configured:
        return Packages.BEFORE
    return Packages.TORN


def difference(now: Profile, before: Profile, transaction: Transaction) -> str:
    """A sentence on how the packages differ from the plan."""
    have, start = _nevras(now), _nevras(before)
    aim = _ea(
        (start - {item.nevra for item in transaction.remove})
        | {item.nevra for item in transaction.install}
    )
    parts = []
    if missing := sorted(aim - have):
        parts.append(Sentence("not installed: {names}", names=", ".join(missing)))
    if extra := sorted(have - aim):
        parts.append(Sentence("not removed: {names}", names=", ".join(extra)))
    lost = sorted(set(_missing(now)) - set(_missing(before)))
    parts += [Sentence("missing files of {package}", package=package) for package in lost]
    if not parts and now.configured and len(now.configured.mpms) != 1:
        loaded = all_of(now.configured.mpms) or Sentence("no MPM")
        parts.append(Sentence("the module files load {mpms}", mpms=loaded))
    return joined("; ", parts) if parts else Sentence("as planned")


def shows(profile: Profile, mpm: str, itk: bool) -> bool:
    """Whether configuration and running httpd both are this MPM, with or without ITK."""
    return all(
        seen is not None and seen.mpm == mpm and seen.itk == itk
        for seen in (profile.configured, profile.running)
    )


def runs(profile: Profile, mpm: str, itk: bool) -> bool:
    return profile.running is not None and profile.running.mpm == mpm and profile.running.itk == itk


def label(mpm: str, itk: bool) -> str:
    return Sentence("{mpm} with ITK", mpm=mpm) if itk else mpm


def succeeded_sentence(request: ChangeRequest, interruption: InterruptionReport | None) -> str:
    text = Sentence(
        "The server now runs {mpm}: {moves}.",
        mpm=label(request.mpm, request.itk),
        moves=moves_of(request.transaction),
    )
    noticed = interruption_sentence(interruption)
    return joined(" ", [text, noticed]) if noticed else text


def moves_of(transaction: Transaction) -> Sentence:
    """How many packages a transaction installs and removes: ``3 packages installed, 2 packages
    removed``. Two sentences, because a language chooses the form for each number by itself."""
    installed, removed = len(transaction.install), len(transaction.remove)
    return joined(
        ", ",
        [
            counted("{count} package installed", "{count} packages installed", count=installed),
            counted("{count} package removed", "{count} packages removed", count=removed),
        ],
    )


SIMULATED = "simulated"
"""The method of a server that is only a file (see easyapache.agent.simulated)."""


def interruption_sentence(interruption: InterruptionReport | None) -> str:
    """The visitor impact; empty if nothing was measured, and for a simulated server, which has no
    visitors."""
    if interruption is None or not interruption.probes or interruption.method == SIMULATED:
        return ""
    refused, reset = int(interruption.refused or 0), int(interruption.reset or 0)
    wait = interruption.longest_wait_ms or 0.0
    if refused + reset == 0 and interruption.partial:
        return Sentence(
            "No connections were refused while measuring (with gaps). Longest wait: {wait} ms.",
            wait=f"{wait:.0f}",
        )
    if refused + reset == 0:
        return Sentence("No connections were refused. Longest wait: {wait} ms.", wait=f"{wait:.0f}")
    return counted(
        "{count} probe: {refused} refused, {reset} reset. Longest wait: {wait} ms.",
        "{count} probes: {refused} refused, {reset} reset. Longest wait: {wait} ms.",
        count=int(interruption.probes),
        refused=refused,
        reset=reset,
        wait=f"{wait:.0f}",
    )


def observed(mpms: Sequence[str], itk: bool) -> str:
    """The label of an observed MPM."""
    return label(all_of(mpms) or Sentence("none"), itk)


def _ea(nevras: Iterable[str]) -> set[str]:
    return {item for item in nevras if item.startswith("ea-")}


def _nevras(profile: Profile) -> set[str]:
    return _ea(package.nevra for package in profile.packages)


def _missing(profile: Profile) -> Mapping[str, Any]:
    value = profile.facts.get("missing_files")
    return value if isinstance(value, Mapping) else {}
