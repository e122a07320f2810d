"""Rules about what a change does to the packages of a server, and through them to its sites."""

from __future__ import annotations

from collections.abc import Iterator

from easyapache.ea4.mpm import (
    AS_USER_CAPABILITY,
    CGI,
    CGID,
    DSO_CAPABILITY,
    FCGID,
    HCHECK,
    HTTP2,
    ITK,
    MPM,
    PHP_DSO,
    QOS,
    RUID2,
    SUEXEC,
    SUPHP,
    short,
)
from easyapache.ea4.relations import MAIN, evr_of
from easyapache.ea4.rules.findings import Finding, Fix, RuleFunction, Severity, Situation, listing
from easyapache.ea4.sentences import Sentence, joined
from easyapache.ea4.versions import compare_evr, parse_evr

_MOVED_BY_THE_CHOICE = frozenset({CGI, CGID, ITK, *(mpm.package for mpm in MPM)})
_NAMED_BY_OTHER_RULES = frozenset({HTTP2, HCHECK, QOS, RUID2, SUEXEC, SUPHP, FCGID})
_STAY = Fix(Sentence("Stay on prefork"), mpm=MPM.PREFORK.value)


def php_dso_leaves(situation: Situation) -> Iterator[Finding]:
    """PHP as an Apache module exists up to 7.4, is not thread-safe and needs a forked MPM."""
    users = situation.facts.get("php_dso_sites")
    for name in sorted(situation.leaving):
        entry = situation.scene.installed.get(name)
        provides = entry.provides if entry else ()
        if not PHP_DSO.match(name) and not any(item.name == DSO_CAPABILITY for item in provides):
            continue
        sites = list((users or {}).get(name, ()))
        if users is None:
            who = Sentence("Which sites use it could not be found out.")
        elif not sites:
            who = Sentence("No site was found that uses it.")
        else:
            shown = ", ".join(sites[:5]) + (" …" if len(sites) > 5 else "")
            who = (
                Sentence("1 site uses it: {sites}.", sites=shown)
                if len(sites) == 1
                else Sentence("{count} sites use it: {sites}.", count=len(sites), sites=shown)
            )
        yield Finding(
            code="php_dso_leaves",
            severity=Severity.WARN,
            title=Sentence("PHP as an Apache module goes: {name}", name=short(name)),
            message=(
                Sentence(
                    "{name} runs inside Apache and is not thread-safe, so it works on prefork "
                    "only. {who}",
                    name=name,
                    who=who,
                )
            ),
            remedy=Sentence("Move these sites to PHP-FPM or CGI first, or stay on prefork."),
            packages=(name,),
            fixes=(_STAY,) if situation.choice.mpm.threaded else (),
        )


def code_runs_as_nobody(situation: Situation) -> Iterator[Finding]:
    """Something ran code as the account's user; afterwards nothing does."""
    if not situation.answered:
        return
    before = situation.offering(AS_USER_CAPABILITY, situation.before)
    after = situation.offering(AS_USER_CAPABILITY, situation.after)
    if not before or after:
        return
    fixes = [Fix(Sentence("Add mod_suexec"), add=(SUEXEC,))]
    if situation.choice.mpm is MPM.PREFORK and ITK in before:
        fixes.append(Fix(Sentence("Leave ITK on"), itk=True))
    if RUID2 in before and situation.choice.mpm.threaded:
        fixes.append(_STAY)
    yield Finding(
        code="code_runs_as_nobody",
        severity=Severity.WARN,
        title=Sentence("Code would run as nobody"),
        message=(
            Sentence(
                "{names} leaves, and nothing else runs a site's CGI and PHP as the user who "
                "owns it. Files written by one site could be read by another.",
                names=listing(before),
            )
            if len(before) == 1
            else Sentence(
                "{names} leave, and nothing else runs a site's CGI and PHP as the user who "
                "owns it. Files written by one site could be read by another.",
                names=listing(before),
            )
        ),
        remedy=Sentence(
            "Add mod_suexec to keep running code as the account's user; PHP-FPM does so itself."
        ),
        packages=tuple(before),
        fixes=tuple(fixes),
    )


def itk_takes_over(situation: Situation) -> Iterator[Finding]:
    """What ITK excludes: suexec, suphp, ruid2, fcgid and http2."""
    if ITK not in situation.coming:
        return
    lost = sorted(situation.leaving & {SUEXEC, SUPHP, RUID2, FCGID, HTTP2})
    if not lost:
        return
    one = len(lost) == 1
    said = (
        Sentence(
            "{names} cannot be together with ITK and goes. "
            "ITK itself runs every site as its own user.",
            names=listing(lost),
        )
        if one
        else Sentence(
            "{names} cannot be together with ITK and go. "
            "ITK itself runs every site as its own user.",
            names=listing(lost),
        )
    )
    extra = ""
    if SUPHP in lost or FCGID in lost:
        extra = Sentence(
            "Sites whose PHP handler is suPHP or FastCGI have to be given the CGI handler."
        )
    yield Finding(
        code="itk_takes_over",
        severity=Severity.WARN if extra else Severity.NOTE,
        title=Sentence("ITK takes over from other modules"),
        message=joined(" ", [said, extra] if extra else [said]),
        remedy=Sentence("Set the PHP handler of those sites to CGI before the change.")
        if extra
        else "",
        packages=tuple(lost),
        fixes=(Fix(Sentence("Leave ITK off"), itk=False),),
    )


def itk_limits(situation: Situation) -> Iterator[Finding]:
    """What an administrator meets after switching ITK on, by the documentation of both."""
    if ITK not in situation.coming:
        return
    yield Finding(
        code="itk_seccomp",
        severity=Severity.WARN,
        title=Sentence("mail(), shell_exec() and sudo may stop working"),
        message=(
            Sentence(
                "ITK limits with seccomp which users a site's process may become. Programs "
                "that change their user, as sendmail behind PHP's mail() does, then fail with "
                '"setuid: Operation not permitted".'
            )
        ),
        remedy=(
            Sentence(
                "Let sites send mail through SMTP. Widening LimitUIDRange and LimitGIDRange "
                "helps too, but gives the protection away."
            )
        ),
        packages=(ITK,),
    )
    yield Finding(
        code="itk_limits",
        severity=Severity.NOTE,
        title=Sentence("What ITK does without"),
        message=(
            Sentence(
                "No HTTP/2 and no UserDir (/~user/). A kept-alive connection that asks for a "
                "site of another user is closed. Every connection forks a process, which costs "
                "time and memory. PHP runs through the CGI handler."
            )
        ),
        packages=(ITK,),
    )


def itk_too_old(situation: Situation) -> Iterator[Finding]:
    """ITK before 2.4.7.4-4 crashes with Apache 2.4.49 and later (EA-10143)."""
    itk, main = situation.final.get(ITK), situation.final.get(MAIN)
    if not situation.choice.itk or itk is None or main is None:
        return
    old = compare_evr(evr_of(itk.package), parse_evr("2.4.7.4-4")) < 0
    if old and compare_evr(evr_of(main.package), parse_evr("2.4.49-1")) >= 0:
        yield Finding(
            code="itk_too_old",
            severity=Severity.WARN,
            title=Sentence("This ITK crashes with this Apache"),
            message=Sentence(
                "ITK {evr} makes children of Apache 2.4.49 and later crash.", evr=itk.package.evr
            ),
            remedy=Sentence("Update ea-apache24-mod_mpm_itk to 2.4.7.4-4 or later."),
            packages=(ITK,),
        )


def others_leave(situation: Situation) -> Iterator[Finding]:
    """Packages that would go although nobody asked and no other rule has spoken of them."""
    quiet = _MOVED_BY_THE_CHOICE | _NAMED_BY_OTHER_RULES
    lost = sorted(name for name in situation.leaving - quiet if not PHP_DSO.match(name))
    # Spoken of only where ITK takes over or nothing runs code as the user: otherwise say it here.
    lost += sorted(situation.leaving & {RUID2, SUEXEC, SUPHP, FCGID} - _spoken_of(situation))
    if lost:
        one = len(lost) == 1
        yield Finding(
            code="others_leave",
            severity=Severity.WARN,
            title=Sentence("One more package goes")
            if one
            else Sentence("{count} more packages go", count=len(lost)),
            message=(
                Sentence(
                    "Nobody asked for it, but {names} cannot stay with {choice}.",
                    names=listing(lost),
                    choice=situation.choice.label,
                )
            ),
            remedy=Sentence(
                "Check that no site needs it, or ask to keep it: then this change is blocked."
            ),
            packages=tuple(lost),
        )


def _spoken_of(situation: Situation) -> frozenset[str]:
    return frozenset(
        name
        for rule in (itk_takes_over, code_runs_as_nobody)
        for finding in rule(situation)
        for name in finding.packages
    )


def updates_come_along(situation: Situation) -> Iterator[Finding]:
    """Modules require the exact version of ea-apache24, so they are updated together."""
    new = {package.name for package in situation.change.install}
    updated = sorted(new & {package.name for package in situation.change.remove})
    if updated:
        yield Finding(
            code="updates_come_along",
            severity=Severity.WARN,
            title=Sentence("Apache itself is updated along")
            if MAIN in updated
            else Sentence("Other packages are updated along"),
            message=(
                Sentence(
                    "Modules of Apache work with its exact version only, so this change also "
                    "updates {names}.",
                    names=listing(updated),
                )
            ),
            remedy=Sentence(
                "Update first and change the MPM afterwards, to see what each of them does."
            ),
            packages=tuple(updated),
        )


def suexec_conflicts_with_itself(situation: Situation) -> Iterator[Finding]:
    """From 2.4.65-4 to before 2.4.66-5 the suexec package conflicted with all that runs code as
    the user, itself included (EA4-98, EA4-242)."""
    entry = situation.final.get(SUEXEC)
    if entry is None or SUEXEC not in situation.coming:
        return
    evr = evr_of(entry.package)
    low, high = parse_evr("2.4.65-4"), parse_evr("2.4.66-5")
    if compare_evr(evr, low) >= 0 and compare_evr(evr, high) < 0:
        yield Finding(
            code="suexec_conflicts_with_itself",
            severity=Severity.WARN,
            title=Sentence("This suexec may refuse to be installed"),
            message=(
                Sentence(
                    "mod_suexec {evr} declares a conflict that it meets itself, a packaging fault "
                    "mended in 2.4.66-5.",
                    evr=entry.package.evr,
                )
            ),
            remedy=Sentence("Update ea-apache24 to 2.4.66-5 or later first."),
            packages=(SUEXEC,),
        )


PACKAGE_RULES: tuple[RuleFunction, ...] = (
    php_dso_leaves,
    code_runs_as_nobody,
    itk_takes_over,
    itk_limits,
    itk_too_old,
    others_leave,
    updates_come_along,
    suexec_conflicts_with_itself,
)
