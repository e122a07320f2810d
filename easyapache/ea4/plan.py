"""Makes a plan from the installed packages and a choice: every package installed, removed and kept,
with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from easyapache.ea4.conditions.condition import Severity
from easyapache.ea4.mpm import ITK, MPM, Choice, installed, short
from easyapache.ea4.opinion import Opinion
from easyapache.ea4.profile import Observation, Package, Profile, Transaction, digest_of
from easyapache.ea4.protocol import Goal
from easyapache.ea4.reasons import Reasons
from easyapache.ea4.relations import Relations, Scene, Unsolvable, Why
from easyapache.ea4.rules.findings import Finding, Situation, finding
from easyapache.ea4.rules.panel import PANEL_CODES, panel_findings
from easyapache.ea4.rules.rulebook import findings_for, in_order
from easyapache.ea4.schema import Schema, Translatable
from easyapache.ea4.sentences import Sentence
from easyapache.ea4.versions import parse_evr

STORED = "stored"
"""Worked out at once from the stored profile and the relations."""
SERVER = "server"
"""The answer of the server's own package manager."""


@dataclass(frozen=True, slots=True)
class PlannedPackage(Translatable):
    """One package of a plan. ``action``: ``in``, ``out`` or ``keep``. ``cause`` is the solver's
    code (asked, dependency, conflict, dependent), ``reason`` the text for people.

    A package that is updated is both in (the new version) and out (the old one).
    """

    KEYS: ClassVar = ("name", "evr", "arch", "action", "reason", "cause")
    SENTENCES: ClassVar = ("reason",)
    name: str
    evr: str
    action: str
    reason: str = ""
    arch: str = "x86_64"
    cause: str = ""

    @property
    def package(self) -> Package:
        evr = parse_evr(self.evr)
        return Package(self.name, evr.version, evr.release, self.arch, evr.epoch)

    @property
    def short_name(self) -> str:
        return short(self.name)


@dataclass(frozen=True)
class Plan(Schema):
    """The effect of one choice on one server in one state.

    ``base_digest`` names that state, ``before`` its MPM by packages. ``digest`` names the plan: it
    changes exactly when the state, the choice or a changed package does. Panel and agent get the
    same one.
    ``goal`` is the request to the server's package manager.
    """

    KEYS: ClassVar = (
        *("choice", "base_digest", "before", "install", "remove", "keep", "findings", "goal"),
        *("source", "digest", "blocked", "headline"),
    )
    choice: Choice
    base_digest: str
    before: Observation
    install: tuple[PlannedPackage, ...]
    remove: tuple[PlannedPackage, ...]
    keep: tuple[PlannedPackage, ...]
    findings: tuple[Finding, ...]
    goal: Goal
    source: str = STORED

    @cached_property
    def transaction(self) -> Transaction:
        moved = (*self.remove, *self.install)
        return Transaction(
            install=tuple(sorted(item.package for item in self.install)),
            remove=tuple(sorted(item.package for item in self.remove)),
            reasons={item.name: item.cause for item in moved if item.cause},
        )

    @cached_property
    def digest(self) -> str:
        return digest_of(
            {
                "base": self.base_digest,
                "choice": self.choice.as_json(),
                "transaction": self.transaction.digest,
            }
        )

    def seen_now(self, profile: Profile) -> Plan:
        """This plan with the panel's current findings about the server (``panel_findings``) instead
        of those at the time of the plan."""
        own = panel_findings(profile.facts)
        others = (item for item in self.findings if item.code not in PANEL_CODES)
        return replace(self, findings=in_order((*own, *others)))

    @property
    def empty(self) -> bool:
        """Whether no package would move."""
        return not self.install and not self.remove

    @property
    def blocked(self) -> bool:
        return any(finding.severity is Severity.BLOCK for finding in self.findings)

    @property
    def blocks(self) -> tuple[Finding, ...]:
        return tuple(item for item in self.findings if item.severity is Severity.BLOCK)

    @property
    def removed(self) -> frozenset[str]:
        """Names that would no longer be installed; an update is not removed."""
        return frozenset(item.name for item in self.remove) - {item.name for item in self.install}

    @property
    def headline(self) -> str:
        """The whole change in one line: ``prefork → event · 2 to install · 3 to remove``; where
        the MPM stays, ``packages of event · 1 to install``."""
        start = " + ".join(self.before.mpms) or "no MPM"
        if self.before.itk:
            start += " with ITK"
        goal = self.choice.label
        updates = {item.name for item in self.install} & {item.name for item in self.remove}
        counts = (
            (len(self.install) - len(updates), "to install"),
            (len(updates), "to update"),
            (len(self.remove) - len(updates), "to remove"),
        )
        moves = [f"{count} {text}" for count, text in counts if count]
        same = f"packages of {goal}" if moves else goal
        what = same if start == goal else f"{start} → {goal}"
        return " · ".join([what, *(moves or ["no package changes"])])

    @cached_property
    def inverse(self) -> Plan:
        """The plan that restores exactly the set of packages this one started from.

        Made for the state this plan leads to. Where the server had no single MPM before, the
        inverse is blocked: it would break the server again.
        """
        torn = self.before.mpm is None
        choice = Choice(
            mpm=self.choice.mpm if self.before.mpm is None else MPM(self.before.mpm),
            itk=self.before.itk,
        )
        findings = (finding("no_state_to_restore"),) if torn and not self.empty else ()
        back_in = [
            replace(
                item,
                action="in",
                reason=Sentence("previously installed"),
                cause="asked",
            )
            for item in self.remove
        ]
        back_out = [
            replace(item, action="out", reason=Sentence("installed by the change"), cause="asked")
            for item in self.install
        ]
        again = {item.name for item in self.remove}
        removed = tuple(sorted({item.name for item in self.install} - again))
        return Plan(
            choice=choice,
            base_digest=_state_after(self).digest,
            before=installed(item.name for item in (*self.keep, *self.install)),
            install=tuple(back_in),
            remove=tuple(back_out),
            keep=self.keep,
            findings=findings,
            goal=Goal(install=tuple(sorted(again)), remove=removed, may_remove=removed),
            source=self.source,
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """One package on which the instant plan and the server's own answer disagree."""

    name: str
    stored: str
    server: str

    @property
    def sentence(self) -> str:
        return f"{self.name}: expected {self.stored}, the server plans {self.server}."


def goal_of(profile: Profile, choice: Choice) -> Goal:
    """The goal for a package manager, before it is known what may be removed.

    The companion CGI module is named so that it is chosen on purpose. Packages that conflict with
    the goal are removed by that conflict and are not named. ``remove`` names only packages that
    could be kept: ITK on prefork, and the extra ones if several MPMs are installed.
    """
    names = profile.names
    install = {choice.mpm.package, choice.mpm.cgi_package, *choice.add}
    if choice.itk:
        install.add(ITK)
    remove = set()
    if ITK in names and not choice.itk and not choice.mpm.threaded:
        remove.add(ITK)
    if len(installed(names).mpms) > 1:
        others = [mpm for mpm in MPM if mpm is not choice.mpm]
        remove |= {mpm.package for mpm in others} & names
        remove |= ({mpm.cgi_package for mpm in MPM} - {choice.mpm.cgi_package}) & names
    return Goal(install=tuple(sorted(install)), remove=tuple(sorted(remove - choice.add)))


def make_plan(profile: Profile, choice: Choice, relations: Relations) -> Plan:
    """The instant plan, from the stored profile alone. Never raises for a bad choice: what
    cannot be is a plan without packages and with a blocking finding."""
    scene = relations.for_server(profile.packages, profile.facts.get("relations"))
    goal = goal_of(profile, choice)
    if choice.itk and choice.mpm.threaded:
        # The choice contradicts itself; its own rule explains that better than a solver.
        return _plan(profile, choice, scene, goal, Transaction(), STORED)
    try:
        change = scene.resolve(goal.install, goal.remove)
    except Unsolvable as error:
        return _plan(profile, choice, scene, goal, Transaction(), STORED, error.reasons)
    return _plan(profile, choice, scene, goal, change, STORED)


def plan_from_transaction(
    profile: Profile,
    choice: Choice,
    transaction: Transaction,
    relations: Relations,
    opinion: Opinion | None = None,
) -> Plan:
    """The plan as the server's own package manager answered it. ``opinion``: what its WHM said to
    the same question."""
    scene = relations.for_server(profile.packages, profile.facts.get("relations"))
    goal = goal_of(profile, choice)
    return _plan(profile, choice, scene, goal, transaction, SERVER, opinion=opinion)


def differences(stored: Plan, server: Plan) -> tuple[Difference, ...]:
    """Where the instant plan was wrong, by package name. Versions count."""
    ours, theirs = _moves(stored), _moves(server)
    return tuple(
        Difference(name, ours.get(name, "no change"), theirs.get(name, "no change"))
        for name in sorted(set(ours) | set(theirs))
        if ours.get(name) != theirs.get(name)
    )


def _moves(plan: Plan) -> dict[str, str]:
    moves = {item.name: f"remove {item.evr}" for item in plan.remove}
    for item in plan.install:
        action = "update to" if item.name in moves else "install"
        moves[item.name] = f"{action} {item.evr}"
    return moves


def _plan(
    profile: Profile,
    choice: Choice,
    scene: Scene,
    goal: Goal,
    change: Transaction,
    source: str,
    impossible: tuple[str, ...] = (),
    opinion: Opinion | None = None,
) -> Plan:
    situation = Situation(profile, choice, scene, change, impossible, opinion)
    why = scene.explain(change, goal.install, goal.remove)
    reasons = Reasons(choice, scene, goal)
    removed = {item.name for item in change.remove} - {item.name for item in change.install}
    outgoing = set(change.remove)
    return Plan(
        choice=choice,
        base_digest=profile.digest,
        before=installed(profile.names),
        install=_planned(change.install, "in", why, reasons),
        remove=_planned(change.remove, "out", why, reasons),
        keep=tuple(
            _item(package, "keep", reasons.keep_reason(package.name))
            for package in sorted(profile.packages)
            if package not in outgoing
        ),
        findings=findings_for(situation),
        goal=replace(goal, may_remove=tuple(sorted(removed))),
        source=source,
    )


def _planned(
    packages: Iterable[Package], action: str, why: Mapping[str, Why], reasons: Reasons
) -> tuple[PlannedPackage, ...]:
    return tuple(
        _item(
            package,
            action,
            reasons.change_reason(package.name, why[package.name], action),
            "dependency" if why[package.name].kind == "update" else why[package.name].kind,
        )
        for package in sorted(packages)
    )


def _item(package: Package, action: str, reason: str, cause: str = "") -> PlannedPackage:
    return PlannedPackage(package.name, package.evr, action, reason, package.arch, cause)


def _state_after(plan: Plan) -> Profile:
    """The profile a sound server shows after ``plan``: all three observations agree."""
    seen = Observation((plan.choice.mpm.value,), plan.choice.itk)
    packages = tuple(sorted(item.package for item in (*plan.keep, *plan.install)))
    return Profile(packages=packages, configured=seen, running=seen)
