"""Rules about the choice itself: can it be, and does it do what was asked?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from easyapache.ea4.mpm import DEFAULT_MPM, ITK, MPM, MPM_CAPABILITY, PHP_DSO, short
from easyapache.ea4.relations import Entry
from easyapache.ea4.rules.findings import Finding, Fix, RuleFunction, Severity, Situation, listing
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
        yield Finding(
            code="itk_needs_prefork",
            severity=Severity.BLOCK,
            title=Sentence("ITK needs prefork"),
            message=(
                Sentence(
                    "ITK is not an MPM of its own: it can only be added to prefork, and {mpm} uses "
                    "threads. ITK runs every site as its own user by forking, which threads cannot "
                    "do.",
                    mpm=choice.mpm.value,
                )
            ),
            remedy=Sentence("Choose prefork with ITK, or {mpm} without it.", mpm=choice.mpm.value),
            packages=(ITK, choice.mpm.package),
            fixes=(
                Fix(Sentence("Choose prefork with ITK"), mpm=MPM.PREFORK.value, itk=True),
                Fix(Sentence("Leave ITK off and use {mpm}", mpm=choice.mpm.value), itk=False),
            ),
        )


def itk_needs_apache_24(situation: Situation) -> Iterator[Finding]:
    version = str(situation.facts.get("httpd_version", ""))
    if situation.choice.itk and version and not version.startswith("2.4."):
        yield Finding(
            code="itk_needs_apache_24",
            severity=Severity.BLOCK,
            title=Sentence("ITK needs Apache 2.4"),
            message=Sentence(
                "This server runs Apache {version}; ITK exists for Apache 2.4 only.",
                version=version,
            ),
            remedy=Sentence("Update Apache first, or leave ITK off."),
            packages=(ITK,),
            fixes=(Fix(Sentence("Leave ITK off"), itk=False),),
        )


def more_than_one_mpm(situation: Situation) -> Iterator[Finding]:
    """Exactly one MPM: another one cannot be added to the choice."""
    choice = situation.choice
    others = {mpm.package for mpm in MPM if mpm is not choice.mpm}
    wrong = sorted((others & choice.add) | ({ITK} & choice.add if not choice.itk else set()))
    for name in wrong:
        if name == ITK:
            yield Finding(
                code="itk_is_a_switch",
                severity=Severity.BLOCK,
                title=Sentence("ITK is switched on, not added"),
                message=Sentence(
                    "The choice says ITK is off and adds its package at the same time."
                ),
                remedy=Sentence("Switch ITK on instead of adding the package."),
                packages=(ITK,),
                fixes=(Fix(Sentence("Switch ITK on"), mpm=MPM.PREFORK.value, itk=True),),
            )
        else:
            yield Finding(
                code="more_than_one_mpm",
                severity=Severity.BLOCK,
                title=Sentence("One MPM at a time"),
                message=(
                    Sentence(
                        "{mpm} was chosen and {name} added to it. "
                        "httpd starts with exactly one MPM.",
                        mpm=choice.mpm.value,
                        name=short(name),
                    )
                ),
                remedy=Sentence(
                    "Choose {name}, or do not add it.", name=short(name).removeprefix("mod_mpm_")
                ),
                packages=(choice.mpm.package, name),
                fixes=(
                    Fix(Sentence("Choose {name}", name=short(name)), mpm=name.rpartition("_")[2]),
                ),
            )


def package_unknown(situation: Situation) -> Iterator[Finding]:
    """Where the server's own package manager brings it, it exists, whatever this panel knows."""
    brought = {package.name for package in situation.change.install}
    for name in sorted(situation.choice.add):
        if name in brought or situation.scene.describe(name):
            continue
        known = sorted(situation.scene.available)
        spelled = name.replace("-mod-", "-mod_").replace("mod_mpm-", "mod_mpm_")
        close = get_close_matches(spelled, known, n=3, cutoff=0.8)
        hint = (
            Sentence("Did you mean {names}?", names=any_of(close))
            if close
            else Sentence("Check the spelling.")
        )
        yield Finding(
            code="package_unknown",
            severity=Severity.BLOCK,
            title=Sentence("There is no such package"),
            message=Sentence("No repository known to this panel offers {name}.", name=name),
            remedy=hint,
            packages=(name,),
        )


def package_not_for_this_system(situation: Situation) -> Iterator[Finding]:
    """PHP as an Apache module was last built for EL 8 (PHP 7.2 to 7.4) and EL 7 (7.0, 7.1)."""
    system = _EL_FAMILY.search(str(situation.facts.get("os", "")))
    if not system:
        return
    for name in sorted(situation.choice.add - situation.before):
        dso = PHP_DSO.match(name)
        if dso and int(system[2]) > _DSO_RELEASES.get(dso[1], 0):
            yield Finding(
                code="package_not_for_this_system",
                severity=Severity.BLOCK,
                title=Sentence("{name} is not built for this system", name=short(name)),
                message=(
                    Sentence(
                        "{name} is PHP as an Apache module. It is not built for {system}, and "
                        "for PHP 8.0 and newer not at all.",
                        name=name,
                        system=situation.facts["os"],
                    )
                ),
                remedy=Sentence("Use {php}-php-fpm instead.", php=name.removesuffix("-php")),
                packages=(name,),
            )


def add_does_not_fit(situation: Situation) -> Iterator[Finding]:
    """A package that was added but cannot be with the chosen MPM, or with ITK."""
    choice, scene = situation.choice, situation.scene
    parts = [choice.mpm.package, choice.mpm.cgi_package, *([ITK] if choice.itk else [])]
    ours = [entry for name in parts if (entry := scene.available.get(name))]
    mpms = {mpm.package for mpm in MPM}
    for name in sorted(choice.add - set(parts) - mpms - {ITK}):
        entry = scene.describe(name)
        if entry is None:
            continue
        against = _what_stands_against(entry, choice.mpm, ours)
        if not against:
            continue
        fits = [mpm for mpm in MPM if not _what_stands_against(entry, mpm, _alone(situation, mpm))]
        fixes = [
            Fix(Sentence("Choose {mpm}", mpm=mpm.value), mpm=mpm.value, itk=False) for mpm in fits
        ]
        ways = any_of([mpm.value for mpm in fits]) or Sentence("no MPM of this catalogue")
        yield Finding(
            code="add_does_not_fit",
            severity=Severity.BLOCK,
            title=Sentence(
                "{name} does not go with {choice}", name=short(name), choice=choice.label
            ),
            message=against,
            remedy=Sentence("Do not add it, or choose {ways}.", ways=ways),
            packages=(name,),
            fixes=tuple(fixes),
        )


def _alone(situation: Situation, mpm: MPM) -> list[Entry]:
    names = (mpm.package, mpm.cgi_package)
    return [entry for name in names if (entry := situation.scene.available.get(name))]


def _what_stands_against(entry: Entry, mpm: MPM, ours: Iterable[Entry]) -> Sentence | None:
    name = short(entry.name)
    for relation in entry.requires:
        wanted = relation.name == MPM_CAPABILITY and relation.evr
        if wanted and wanted.version != mpm.kind:
            return Sentence(
                "{name} needs a {kind} MPM, and {mpm} is {other_kind}.",
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
            with_what = "ITK" if other_entry.name == ITK else short(other_entry.name)
            return Sentence(
                "{name} cannot be together with {other}.",
                name=name,
                other=with_what.removeprefix("mod_mpm_"),
            )
    return None


def impossible(situation: Situation) -> Iterator[Finding]:
    """The solver found no answer, and no rule above has said why."""
    if not situation.impossible:
        return
    said = {finding.code for rule in _EXPLAINING for finding in rule(situation)}
    if said:
        return
    yield Finding(
        code="no_solution",
        severity=Severity.BLOCK,
        title=Sentence("These packages cannot be installed together"),
        message=joined(" ", situation.impossible[:6]),
        remedy=Sentence("Take away what was added, or choose another MPM."),
        packages=tuple(sorted(situation.choice.add)),
    )


def kept_package_leaves(situation: Situation) -> Iterator[Finding]:
    choice = situation.choice
    lost = sorted(choice.keep & situation.leaving)
    if lost:
        fixes = [Fix(Sentence("Let {names} go", names=listing(lost)), unkeep=tuple(lost))]
        if choice.mpm is not MPM.PREFORK and _only_forked(situation, lost):
            fixes.insert(0, Fix(Sentence("Stay on prefork"), mpm=MPM.PREFORK.value))
        yield Finding(
            code="kept_package_leaves",
            severity=Severity.BLOCK,
            title=Sentence("A package you keep would go"),
            message=Sentence(
                "With {choice}, {names} cannot stay, though you asked for it.",
                choice=choice.label,
                names=listing(lost),
            ),
            remedy=Sentence("Let it go, or choose an MPM that it works with."),
            packages=tuple(lost),
            fixes=tuple(fixes),
        )
    absent = sorted(choice.keep - situation.before - situation.after)
    if absent:
        yield Finding(
            code="kept_package_absent",
            severity=Severity.WARN,
            title=Sentence("A package to keep is not installed"),
            message=Sentence(
                "{names} cannot be kept: it is not installed on this server.", names=listing(absent)
            ),
            remedy=Sentence("Add it instead of keeping it, or leave it out."),
            packages=tuple(absent),
        )


def _only_forked(situation: Situation, names: Iterable[str]) -> bool:
    for name in names:
        entry = situation.scene.installed[name]
        if _what_stands_against(entry, MPM.PREFORK, _alone(situation, MPM.PREFORK)):
            return False
    return True


def nothing_to_do(situation: Situation) -> Iterator[Finding]:
    """No package moves. With all three observations agreeing, nothing at all would happen."""
    if not situation.answered or (situation.choice.itk and situation.choice.mpm.threaded):
        return
    change = situation.change
    profile, choice = situation.profile, situation.choice
    seen = [item for item in (profile.configured, profile.running) if item]
    agree = all(item.mpm == choice.mpm.value and item.itk == choice.itk for item in seen)
    if not change.install and not change.remove and agree:
        yield Finding(
            code="nothing_to_do",
            severity=Severity.NOTE,
            title=Sentence("Nothing to do"),
            message=Sentence(
                "This server has {choice} already. No package would move.", choice=choice.label
            ),
        )


def default_mpm(situation: Situation) -> Iterator[Finding]:
    """httpd without a choice is httpd with prefork."""
    if not situation.packages.mpms and situation.choice.mpm is DEFAULT_MPM:
        yield Finding(
            code="default_mpm",
            severity=Severity.NOTE,
            title=Sentence("prefork is the default"),
            message=Sentence("Where nobody chooses an MPM, EasyApache 4 installs prefork."),
            packages=(DEFAULT_MPM.package,),
        )


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
    impossible,
    kept_package_leaves,
    nothing_to_do,
    default_mpm,
)
