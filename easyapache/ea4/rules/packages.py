"""Rules about what a change does to the packages of a server, and through them to its sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from easyapache.ea4.conditions.evidence import (
    MOST_NAMES,
    crashing_itk,
    htaccess_lines,
    lines_in,
    lines_of,
    where,
)
from easyapache.ea4.mpm import (
    AS_USER_CAPABILITY,
    CGI,
    CGID,
    DSO_CAPABILITY,
    FCGID,
    HCHECK,
    HTTP2,
    ITK,
    LSAPI,
    MPM,
    PHP_DSO,
    QOS,
    RUID2,
    SUEXEC,
    SUPHP,
)
from easyapache.ea4.opinion import disagreement
from easyapache.ea4.relations import MAIN, evr_of
from easyapache.ea4.rules.findings import (
    Finding,
    Fix,
    RuleFunction,
    Situation,
    finding,
    listing,
)
from easyapache.ea4.sentences import Sentence, counted, ended, joined
from easyapache.ea4.versions import compare_evr, parse_evr

_MOVED_BY_THE_CHOICE = frozenset({CGI, CGID, ITK, *(mpm.package for mpm in MPM)})
_NAMED_BY_OTHER_RULES = frozenset({HTTP2, HCHECK, QOS, RUID2, SUEXEC, SUPHP, FCGID})
_KEEP_PREFORK = Fix(Sentence("Keep prefork"), mpm=MPM.PREFORK.value)


def php_dso_removed(situation: Situation) -> Iterator[Finding]:
    """PHP as an Apache module exists up to 7.4, is not thread-safe and needs a forked MPM."""
    users = situation.facts.get("php_dso_sites")
    for name in sorted(situation.removed):
        entry = situation.scene.installed.get(name)
        provides = entry.provides if entry else ()
        if not PHP_DSO.match(name) and not any(item.name == DSO_CAPABILITY for item in provides):
            continue
        sites = list((users or {}).get(name, ()))
        removed = Sentence("{name} will be removed.", name=name)
        yield finding(
            "php_dso_needs_prefork",
            joined(" ", [removed, _used_by(sites, known=users is not None)]),
            packages=(name,),
            fixes=(_KEEP_PREFORK,) if situation.choice.mpm.threaded else (),
        )


def _used_by(sites: list[str], *, known: bool) -> Sentence:
    if not known:
        return Sentence("Couldn't detect which sites use it.")
    if not sites:
        return Sentence("No site uses it.")
    examples = ", ".join(sites[:5]) + (" …" if len(sites) > 5 else "")
    if len(sites) == 1:
        return Sentence("1 site uses it: {sites}.", sites=examples)
    return Sentence("{count} sites use it: {sites}.", count=len(sites), sites=examples)


def code_runs_as_nobody(situation: Situation) -> Iterator[Finding]:
    """Something ran code as the account's user; afterwards nothing does."""
    if not situation.resolved:
        return
    before = situation.offering(AS_USER_CAPABILITY, situation.before)
    after = situation.offering(AS_USER_CAPABILITY, situation.after)
    if not before or after:
        return
    fixes = [Fix(Sentence("Add mod_suexec"), add=(SUEXEC,))]
    if situation.choice.mpm is MPM.PREFORK and ITK in before:
        fixes.append(Fix(Sentence("Keep MPM ITK enabled"), itk=True))
    if RUID2 in before and situation.choice.mpm.threaded:
        fixes.append(_KEEP_PREFORK)
    yield finding(
        "code_runs_as_nobody",
        Sentence("{names} will be removed.", names=listing(before)),
        packages=before,
        fixes=fixes,
    )


def itk_takes_over(situation: Situation) -> Iterator[Finding]:
    """What ITK excludes: suexec, suphp, ruid2, fcgid and http2."""
    lost = sorted(situation.removed & {SUEXEC, SUPHP, RUID2, FCGID, HTTP2})
    if ITK not in situation.newly_installed or not lost:
        return
    off = (Fix(Sentence("Disable MPM ITK"), itk=False),)
    handlers = [name for name in lost if name in (SUPHP, FCGID)]
    if handlers:
        removed = Sentence("{names} will be removed.", names=listing(handlers))
        yield finding("php_handlers_change", removed, packages=handlers, fixes=off)
    removed = Sentence("{names} will be removed.", names=listing(lost))
    yield finding("itk_replaces_modules", removed, packages=lost, fixes=off)


def itk_limits(situation: Situation) -> Iterator[Finding]:
    """What an administrator meets after switching ITK on, by the documentation of both."""
    if ITK not in situation.newly_installed:
        return
    yield finding("itk_seccomp", packages=(ITK,))
    yield finding("itk_limits", packages=(ITK,))


def itk_too_old(situation: Situation) -> Iterator[Finding]:
    """ITK before 2.4.7.4-4 crashes with Apache 2.4.49 and later (EA-10143)."""
    itk, main = situation.final.get(ITK), situation.final.get(MAIN)
    if not situation.choice.itk or itk is None or main is None:
        return
    if crashing_itk(itk.package, main.package):
        both = f"{itk.package.nevra}, {main.package.nevra}"
        yield finding("itk_too_old", both, packages=(ITK,))


def htaccess_directives(situation: Situation) -> Iterator[Finding]:
    """Directives of a module that is removed, in files that neither httpd -t nor a trial start
    reads."""
    lines = htaccess_lines(situation.profile, situation.removed)
    if not lines:
        return
    found = [ended(where(lines))]
    if len(lines) > MOST_NAMES:
        more = len(lines) - MOST_NAMES
        found.append(counted("{count} more line.", "{count} more lines.", count=more))
    if situation.facts.get("htaccess_incomplete"):
        found.append(Sentence("Not all folders were searched."))
    yield finding(
        "htaccess_directives",
        joined(" ", found),
        packages=sorted({str(item["package"]) for item in lines}),
    )


def directives_of_removed_modules(situation: Situation) -> Iterator[Finding]:
    """Directives that only a module knows which is removed, in httpd's own files: it would not
    start."""
    by_package = situation.facts.get("module_directives")
    if not isinstance(by_package, Mapping):
        return
    for name in sorted(situation.removed & by_package.keys()):
        lines = lines_in(by_package[name])
        if lines:
            yield finding("directives_of_removed_module", where(lines), packages=(name,))


_AS_USER_MODULES = frozenset({RUID2, ITK})


def sites_read_as_nobody(situation: Situation) -> Iterator[Finding]:
    """mod_ruid2 and MPM ITK serve every site as its own user, and Apache afterwards does not."""
    leaving = sorted(situation.removed & _AS_USER_MODULES)
    if not leaving or situation.after & _AS_USER_MODULES:
        return
    closed = [str(root) for root in situation.facts.get("closed_roots") or ()]
    if closed:
        yield finding(
            "document_roots_closed",
            joined(
                " ",
                [
                    counted("{count} document root:", "{count} document roots:", count=len(closed)),
                    ", ".join(closed[:MOST_NAMES]) + (" …" if len(closed) > MOST_NAMES else ""),
                ],
            ),
            packages=leaving,
        )
    if situation.facts.get("userdir_returns") is True:
        yield finding("userdir_returns", packages=leaving)
    if folders := lines_of(situation.profile, "folders_of_users"):
        yield finding("folders_change_owner", where(folders), packages=leaving)


def lsapi(situation: Situation) -> Iterator[Finding]:
    """By CloudLinux' documentation: no package of theirs declares it."""
    other = situation.newly_installed & _AS_USER_MODULES
    if LSAPI in situation.after and other:
        yield finding("lsapi_without_its_user", packages=(LSAPI, *sorted(other)))


def others_removed(situation: Situation) -> Iterator[Finding]:
    """Packages that would be removed unrequested, and that no other rule reports."""
    quiet = _MOVED_BY_THE_CHOICE | _NAMED_BY_OTHER_RULES
    lost = sorted(name for name in situation.removed - quiet if not PHP_DSO.match(name))
    # Named only where ITK takes over or nothing runs code as the user: otherwise name it here.
    lost += sorted(situation.removed & {RUID2, SUEXEC, SUPHP, FCGID} - _named(situation))
    if lost:
        conflict = Sentence(
            "Conflicts with {choice}: {names}.",
            choice=situation.choice.label,
            names=listing(lost),
        )
        yield finding("packages_removed", conflict, packages=lost, names=listing(lost, limit=3))


def _named(situation: Situation) -> frozenset[str]:
    return frozenset(
        name
        for rule in (itk_takes_over, code_runs_as_nobody)
        for one in rule(situation)
        for name in one.packages
    )


def updates_come_along(situation: Situation) -> Iterator[Finding]:
    """Modules require the exact version of ea-apache24, so they are updated together. Where the
    repositories have an older one only (cPanel's delayed repository), Apache is downgraded."""
    new = {package.name: package for package in situation.change.install}
    old = {package.name: package for package in situation.change.remove}
    updated = sorted(new.keys() & old.keys())
    lower = [n for n in updated if compare_evr(evr_of(new[n]), evr_of(old[n])) < 0]
    if MAIN in lower:
        both = f"{old[MAIN].evr} → {new[MAIN].evr}"
        yield finding("apache_downgraded", both, packages=lower)
    elif updated:
        yield finding(
            "updates_included",
            Sentence("Updated: {names}.", names=listing(updated)),
            packages=updated,
        )


def suexec_conflicts_with_itself(situation: Situation) -> Iterator[Finding]:
    """From 2.4.65-4 to before 2.4.66-5 the suexec package conflicted with all that runs code as
    the user, itself included (EA4-98, EA4-242)."""
    entry = situation.final.get(SUEXEC)
    if entry is None or SUEXEC not in situation.newly_installed:
        return
    evr = evr_of(entry.package)
    low, high = parse_evr("2.4.65-4"), parse_evr("2.4.66-5")
    if compare_evr(evr, low) >= 0 and compare_evr(evr, high) < 0:
        yield finding(
            "suexec_conflicts_with_itself", f"mod_suexec {entry.package.evr}", packages=(SUEXEC,)
        )


def second_opinion(situation: Situation) -> Iterator[Finding]:
    """WHM's own package manager would come to the same packages in another way."""
    found = disagreement(situation.opinion, situation.change) if situation.opinion else None
    if found is None or not situation.resolved:
        return
    differences = []
    if found.only_whm_installs:
        differences.append(
            Sentence("Only WHM installs {names}.", names=listing(found.only_whm_installs))
        )
    if found.only_dnf_installs:
        differences.append(
            Sentence("Only dnf installs {names}.", names=listing(found.only_dnf_installs))
        )
    if found.only_whm_removes:
        differences.append(
            Sentence("Only WHM removes {names}.", names=listing(found.only_whm_removes))
        )
    if found.only_dnf_removes:
        differences.append(
            Sentence("Only dnf removes {names}.", names=listing(found.only_dnf_removes))
        )
    yield finding("whm_resolves_differently", joined(" ", differences), packages=found.names)


PACKAGE_RULES: tuple[RuleFunction, ...] = (
    php_dso_removed,
    code_runs_as_nobody,
    itk_takes_over,
    itk_limits,
    itk_too_old,
    htaccess_directives,
    directives_of_removed_modules,
    sites_read_as_nobody,
    lsapi,
    others_removed,
    updates_come_along,
    suexec_conflicts_with_itself,
    second_opinion,
)
