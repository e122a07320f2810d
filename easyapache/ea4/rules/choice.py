"""Rules about the choice itself: is it possible, and does it do what was requested?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from easyapache.ea4.mpm import DEFAULT_MPM, ITK, MPM, MPM_CAPABILITY, PHP_DSO, short
from easyapache.ea4.relations import Entry
from easyapache.ea4.rules.findings import (
    Finding,
    Fix,
    RuleFunction,
    Situation,
    finding,
    listing,
)
from easyapache.ea4.scope import surplus
from easyapache.ea4.sentences import Sentence, any_of, joined

# The oldest major versions of the EL family for which PHP as an Apache module is still built.
_DSO_RELEASES = {"70": 7, "71": 7, "72": 8, "73": 8, "74": 8}
_EL_FAMILY = re.compile(
    r"(alma|rocky|centos|cloudlinux|red ?hat|rhel|oracle)\D*(\d+)", re.IGNORECASE
)


def itk_needs_prefork(situation: Situation) -> Iterator[Finding]:
    """ITK sits on top of a forked MPM (mpm_itk.c: "cannot use threaded MPMs")."""
    choice = situation.choice
    if choice.itk and choice.mpm.threaded:
        yield finding(
            "itk_needs_prefork",
            Sentence("{mpm} uses threads.", mpm=choice.mpm.value),
            packages=(ITK, choice.mpm.package),
            fixes=(
                Fix(Sentence("Select prefork with MPM ITK"), mpm=MPM.PREFORK.value, itk=True),
                Fix(Sentence("Use {mpm} without MPM ITK", mpm=choice.mpm.value), itk=False),
            ),
        )


def itk_needs_apache_24(situation: Situation) -> Iterator[Finding]:
    version = str(situation.facts.get("httpd_version", ""))
    if situation.choice.itk and version and not version.startswith("2.4."):
        yield finding(
            "itk_needs_apache_24",
            Sentence("This server runs Apache {version}.", version=version),
            packages=(ITK,),
            fixes=(Fix(Sentence("Disable MPM ITK"), itk=False),),
        )


def more_than_one_mpm(situation: Situation) -> Iterator[Finding]:
    """Exactly one MPM: another one cannot be added to the choice."""
    choice = situation.choice
    others = {mpm.package for mpm in MPM if mpm is not choice.mpm}
    wrong = sorted((others & choice.add) | ({ITK} & choice.add if not choice.itk else set()))
    for name in wrong:
        if name == ITK:
            fix = Fix(Sentence("Enable MPM ITK"), mpm=MPM.PREFORK.value, itk=True)
            yield finding("itk_is_a_switch", packages=(ITK,), fixes=(fix,))
        else:
            other = short(name).removeprefix("mod_mpm_")
            yield finding(
                "more_than_one_mpm",
                Sentence(
                    "{mpm} is selected, and {name} is an extra package.",
                    mpm=choice.mpm.value,
                    name=short(name),
                ),
                packages=(choice.mpm.package, name),
                fixes=(Fix(Sentence("Select {mpm}", mpm=other), mpm=other),),
                name=other,
            )


def package_unknown(situation: Situation) -> Iterator[Finding]:
    """A package that the server's own package manager installs exists, even if it is unknown
    here."""
    brought = {package.name for package in situation.change.install}
    for name in sorted(situation.choice.add):
        if name in brought or situation.scene.describe(name):
            continue
        names = sorted(situation.scene.available)
        spelled = name.replace("-mod-", "-mod_").replace("mod_mpm-", "mod_mpm_")
        close = get_close_matches(spelled, names, n=3, cutoff=0.8)
        unknown = Sentence("{name} is unknown.", name=name)
        hint = [Sentence("Did you mean {names}?", names=any_of(close))] if close else []
        yield finding("no_such_package", joined(" ", [unknown, *hint]), packages=(name,))


def package_not_for_this_system(situation: Situation) -> Iterator[Finding]:
    """PHP as an Apache module was last built for EL 8 (PHP 7.2 to 7.4) and EL 7 (7.0, 7.1)."""
    system = _EL_FAMILY.search(str(situation.facts.get("os", "")))
    if not system:
        return
    for name in sorted(situation.choice.add - situation.before):
        dso = PHP_DSO.match(name)
        if dso and int(system[2]) > _DSO_RELEASES.get(dso[1], 0):
            yield finding(
                "package_not_for_this_system",
                Sentence("This server runs {system}.", system=situation.facts["os"]),
                packages=(name,),
                name=short(name),
                php=name.removesuffix("-php"),
            )


def add_does_not_fit(situation: Situation) -> Iterator[Finding]:
    """A package that was added but cannot be with the chosen MPM, or with ITK."""
    choice, scene = situation.choice, situation.scene
    parts = [choice.mpm.package, choice.mpm.cgi_package, *([ITK] if choice.itk else [])]
    ours = [entry for name in parts if (entry := scene.available.get(name))]
    mpms = {mpm.package for mpm in MPM}
    for name in sorted(choice.add - set(parts) - mpms - {ITK}):
        entry = scene.describe(name)
        against = entry and _conflict(entry, choice.mpm, ours)
        if not entry or not against:
            continue
        fits = [mpm for mpm in MPM if not _conflict(entry, mpm, _alone(situation, mpm))]
        ways = any_of([mpm.value for mpm in fits]) or Sentence("no MPM of this catalog")
        yield finding(
            "extra_package_conflicts",
            against,
            packages=(name,),
            fixes=(
                Fix(Sentence("Select {mpm}", mpm=mpm.value), mpm=mpm.value, itk=False)
                for mpm in fits
            ),
            name=short(name),
            choice=choice.label,
            ways=ways,
        )


def more_than_the_mpm(situation: Situation) -> Iterator[Finding]:
    """Extra packages that are unrelated to MPMs; the agent refuses them as well. Unknown ones are
    reported by ``package_unknown``."""
    choice = situation.choice
    wanted = {choice.mpm.package, *choice.add, *([ITK] if choice.itk else [])}
    brought = {package.name for package in situation.change.install}
    names = [
        name
        for name in surplus(wanted, situation.profile, choice.mpm.value)
        if name in brought or situation.scene.describe(name)
    ]
    if names:
        extra = Sentence("It would also install {names}.", names=listing(names))
        yield finding("beyond_the_mpm", extra, packages=names)


def _alone(situation: Situation, mpm: MPM) -> list[Entry]:
    names = (mpm.package, mpm.cgi_package)
    return [entry for name in names if (entry := situation.scene.available.get(name))]


def _conflict(entry: Entry, mpm: MPM, ours: Iterable[Entry]) -> Sentence | None:
    name = short(entry.name)
    for relation in entry.requires:
        wanted = relation.name == MPM_CAPABILITY and relation.evr
        if wanted and wanted.version != mpm.kind:
            return Sentence(
                "{name} requires a {kind} MPM, and {mpm} is {other_kind}.",
                name=name,
                kind=wanted.version,
                mpm=mpm.value,
                other_kind=mpm.kind,
            )
        for other in MPM:
            if relation.name == other.package and other is not mpm:
                return Sentence("{name} works with {mpm} only.", name=name, mpm=other.value)
    for other_entry in ours:
        if entry.name != other_entry.name and entry.conflicts_with(other_entry):
            other_name = "MPM ITK" if other_entry.name == ITK else short(other_entry.name)
            return Sentence(
                "{name} conflicts with {other}.",
                name=name,
                other=other_name.removeprefix("mod_mpm_"),
            )
    return None


def impossible(situation: Situation) -> Iterator[Finding]:
    """The solver found no answer, and no rule above has explained why."""
    if not situation.impossible:
        return
    if any(True for rule in _EXPLAINING for _ in rule(situation)):
        return
    yield finding(
        "unsatisfiable",
        joined(" ", situation.impossible[:6]),
        packages=sorted(situation.choice.add),
    )


def kept_package_removed(situation: Situation) -> Iterator[Finding]:
    choice = situation.choice
    lost = sorted(choice.keep & situation.removed)
    if lost:
        allow = Sentence("Allow removing {names}", names=listing(lost))
        fixes = [Fix(allow, unkeep=tuple(lost))]
        if choice.mpm is not MPM.PREFORK and _only_forked(situation, lost):
            fixes.insert(0, Fix(Sentence("Keep prefork"), mpm=MPM.PREFORK.value))
        conflict = Sentence(
            "Conflicts with {choice}: {names}.", choice=choice.label, names=listing(lost)
        )
        yield finding("kept_package_removed", conflict, packages=lost, fixes=fixes)
    absent = sorted(choice.keep - situation.before - situation.after)
    if absent:
        missing = Sentence("Not installed: {names}.", names=listing(absent))
        yield finding("kept_package_not_installed", missing, packages=absent)


def _only_forked(situation: Situation, names: Iterable[str]) -> bool:
    for name in names:
        entry = situation.scene.installed[name]
        if _conflict(entry, MPM.PREFORK, _alone(situation, MPM.PREFORK)):
            return False
    return True


def nothing_to_do(situation: Situation) -> Iterator[Finding]:
    """No package changes. If all three observations agree, nothing would happen at all."""
    if not situation.resolved or (situation.choice.itk and situation.choice.mpm.threaded):
        return
    change = situation.change
    profile, choice = situation.profile, situation.choice
    seen = [item for item in (profile.configured, profile.running) if item]
    agree = all(item.mpm == choice.mpm.value and item.itk == choice.itk for item in seen)
    if not change.install and not change.remove and agree:
        yield finding("nothing_to_do", Sentence("Already {choice}.", choice=choice.label))


def default_mpm(situation: Situation) -> Iterator[Finding]:
    """httpd without a choice is httpd with prefork."""
    if not situation.packages.mpms and situation.choice.mpm is DEFAULT_MPM:
        yield finding("default_mpm", packages=(DEFAULT_MPM.package,))


_EXPLAINING: tuple[RuleFunction, ...] = (
    itk_needs_prefork,
    more_than_one_mpm,
    package_unknown,
    package_not_for_this_system,
    add_does_not_fit,
)

CHOICE_RULES: tuple[RuleFunction, ...] = (
    *_EXPLAINING[:1],
    itk_needs_apache_24,
    *_EXPLAINING[1:],
    more_than_the_mpm,
    impossible,
    kept_package_removed,
    nothing_to_do,
    default_mpm,
)
