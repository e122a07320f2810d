"""Rules about the state of the server: is it sound, and will it take the change?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from easyapache.ea4.mpm import MPM, short
from easyapache.ea4.pins import pinned
from easyapache.ea4.profile import Observation
from easyapache.ea4.relations import MAIN, collisions
from easyapache.ea4.rules.findings import Finding, RuleFunction, Severity, Situation, listing
from easyapache.ea4.sentences import Sentence, all_of, joined


def no_apache(situation: Situation) -> Iterator[Finding]:
    if MAIN not in situation.before:
        yield Finding(
            code="no_apache",
            severity=Severity.BLOCK,
            title=Sentence("EasyApache 4 is not installed"),
            message=Sentence(
                "{main} is not among the installed packages of this server.", main=MAIN
            ),
            remedy=Sentence("Provision an EasyApache 4 profile first; then an MPM can be chosen."),
            packages=(MAIN,),
        )


def not_one_mpm(situation: Situation) -> Iterator[Finding]:
    """httpd starts with exactly one MPM (AH00534). A change begins and ends with a sound server,
    so that it can be taken back: a torn one is the doctor's."""
    found = situation.packages.mpms
    if MAIN not in situation.before or len(found) == 1:
        return
    remedy = Sentence(
        "Let the doctor settle on one MPM first, and look for the package transaction that was "
        "cut short."
    )
    if not found:
        yield Finding(
            code="no_mpm",
            severity=Severity.BLOCK,
            title=Sentence("No MPM is installed"),
            message=Sentence("Apache cannot start like this (AH00534: No MPM loaded)."),
            remedy=remedy,
        )
        return
    yield Finding(
        code="several_mpms",
        severity=Severity.BLOCK,
        title=Sentence("{count} MPMs are installed", count=len(found)),
        message=Sentence(
            "{found} are installed at once; Apache cannot start like this (AH00534: More than one "
            "MPM loaded).",
            found=all_of(found),
        ),
        remedy=remedy,
        packages=tuple(MPM(name).package for name in found),
    )


def unfinished_transaction(situation: Situation) -> Iterator[Finding]:
    unfinished = str(situation.facts.get("unfinished_transaction") or "")
    if unfinished:
        yield Finding(
            code="unfinished_transaction",
            severity=Severity.BLOCK,
            title=Sentence("A package transaction was cut short"),
            message=Sentence(
                "The package manager says that a transaction did not end: {unfinished}.",
                unfinished=unfinished,
            ),
            remedy=(
                Sentence(
                    "Finish or undo it first: dnf history shows it, dnf history undo takes it "
                    "back. On EL 7 use yum-complete-transaction."
                )
            ),
        )


def observations_disagree(situation: Situation) -> Iterator[Finding]:
    """Packages, configuration and the running httpd are three observations of one truth."""
    profile, packages = situation.profile, situation.packages
    configured, running = profile.configured, profile.running
    if configured and packages.mpm and not _same(configured, packages):
        yield Finding(
            code="configuration_differs",
            severity=Severity.WARN,
            title=Sentence("The configuration loads another MPM than the packages hold"),
            message=(
                Sentence(
                    "Installed is {installed}, but the configuration on disk would load "
                    "{configured}.",
                    installed=_said(packages),
                    configured=_said(configured),
                )
            ),
            remedy=(
                Sentence(
                    "Look in /etc/apache2/conf.modules.d for files that no package owns, and for "
                    ".rpmsave and .rpmnew beside the MPM's own file."
                )
            ),
        )
    if configured and running and not _same(configured, running):
        yield Finding(
            code="pending_restart",
            severity=Severity.WARN,
            title=Sentence("Apache has not been restarted since its MPM changed"),
            message=(
                Sentence(
                    "Running is {running}; the next start will load {configured}. Until then any "
                    "graceful restart, by log rotation for example, stops Apache.",
                    running=_said(running),
                    configured=_said(configured),
                )
            ),
            remedy=Sentence(
                "Stop and start Apache soon. A graceful restart cannot change the MPM."
            ),
        )


def not_observed(situation: Situation) -> Iterator[Finding]:
    profile, facts = situation.profile, situation.facts
    if facts.get("configured_error"):
        yield Finding(
            code="configuration_broken",
            severity=Severity.BLOCK,
            title=Sentence("httpd refuses its present configuration"),
            message=Sentence("It says: {error}", error=facts["configured_error"]),
            remedy=Sentence(
                "Run httpd -t on the server and mend what it names; afterwards it would be blamed "
                "on this change."
            ),
        )
    if profile.running is None and facts.get("running_error"):
        yield Finding(
            code="httpd_not_running",
            severity=Severity.WARN,
            title=Sentence("Apache does not answer"),
            message=Sentence(
                "Which MPM is running could not be seen: {error}", error=facts["running_error"]
            ),
            remedy=Sentence("This change starts Apache. Find out first why it was stopped."),
        )


def duplicate_packages(situation: Situation) -> Iterator[Finding]:
    """An update that was cut short leaves two versions of one package in the rpm database."""
    counted = Counter(package.name for package in situation.profile.packages)
    twice = sorted(name for name, count in counted.items() if count > 1)
    if twice:
        yield Finding(
            code="duplicate_packages",
            severity=Severity.BLOCK,
            title=Sentence("Packages are installed twice"),
            message=Sentence(
                "{names} is in the rpm database in more than one version.", names=listing(twice)
            ),
            remedy=Sentence(
                "Mend it first: dnf remove --duplicates, or finish the update cut short."
            ),
            packages=tuple(twice),
        )


def files_missing(situation: Situation) -> Iterator[Finding]:
    missing = situation.facts.get("missing_files") or {}
    for name in sorted(missing):
        paths = list(missing[name])
        yield Finding(
            code="files_missing",
            severity=Severity.BLOCK,
            title=Sentence("Files of {name} are missing", name=short(name)),
            message=Sentence(
                "The rpm database lists them, the disk has not: {files}.",
                files=", ".join(paths[:5]),
            ),
            remedy=Sentence("Reinstall it: dnf reinstall {name}", name=name),
            packages=(name,),
        )


def foreign_mpm_file(situation: Situation) -> Iterator[Finding]:
    """A LoadModule of an MPM in a file no package owns stays behind when the package goes. One
    in a section that only holds under the new MPM is as bad."""
    paths = [str(path) for path in situation.facts.get("foreign_mpm_files") or ()]
    wanted = situation.choice.mpm.value
    paths += [
        str(item["path"])
        for item in _lines(situation, "guarded_mpm_lines")
        if wanted in (item.get("under") or ())
    ]
    if paths and (situation.change.install or situation.change.remove):
        yield Finding(
            code="foreign_mpm_file",
            severity=Severity.BLOCK,
            title=Sentence("An MPM is loaded from a file that no package owns"),
            message=(
                Sentence(
                    "{files} loads an MPM itself. After the change Apache would load two, or one "
                    "whose file has gone, and not start.",
                    files=", ".join(dict.fromkeys(paths)),
                )
            ),
            remedy=Sentence(
                "Move that LoadModule line away; the MPM's own package brings its file."
            ),
        )


def guarded_mpm_lines(situation: Situation) -> Iterator[Finding]:
    """A LoadModule of an MPM whose section holds neither now nor after the change."""
    wanted = situation.choice.mpm.value
    idle = [
        item
        for item in _lines(situation, "guarded_mpm_lines")
        if wanted not in (item.get("under") or ())
    ]
    if idle:
        yield Finding(
            code="guarded_mpm_lines",
            severity=Severity.NOTE,
            title=Sentence("A file that no package owns could load an MPM"),
            message=Sentence(
                "{places}. Its section applies neither now nor after this change, so Apache "
                "does not read the line.",
                places=joined("; ", _where(idle)),
            ),
        )


def prefork_only_directives(situation: Situation) -> Iterator[Finding]:
    """MinSpareServers and MaxSpareServers are unknown to event and worker (AH00526)."""
    places = _refused(situation, "prefork_only_directives", ("event", "worker"))
    if places:
        yield Finding(
            code="prefork_only_directives",
            severity=Severity.BLOCK,
            title=Sentence("The configuration holds directives only prefork knows"),
            message=(
                Sentence(
                    "{places}. {mpm} refuses to start with it.",
                    places=joined("; ", places),
                    mpm=situation.choice.mpm.value,
                )
            ),
            remedy=Sentence("Put them between <IfModule mpm_prefork_module> and </IfModule>."),
        )


def threaded_only_directives(situation: Situation) -> Iterator[Finding]:
    """ThreadsPerChild and its kind are unknown to prefork, and AsyncRequestWorkerFactor to
    worker too (AH00526)."""
    places = _refused(situation, "threaded_only_directives", ("prefork",))
    if places:
        yield Finding(
            code="threaded_only_directives",
            severity=Severity.BLOCK,
            title=Sentence(
                "The configuration contains directives that {mpm} does not know",
                mpm=situation.choice.mpm.value,
            ),
            message=(
                Sentence(
                    "{places}. {mpm} refuses to start with it.",
                    places=joined("; ", places),
                    mpm=situation.choice.mpm.value,
                )
            ),
            remedy=Sentence(
                "Put them between <IfModule !mpm_{mpm}_module> and </IfModule>.",
                mpm=situation.choice.mpm.value,
            ),
        )


def misnamed_sections(situation: Situation) -> Iterator[Finding]:
    """Settings for an MPM in an <IfModule> whose name no MPM has: Apache never reads them."""
    found = _lines(situation, "misnamed_sections")
    if found:
        names = {str(item.get("name")): str(item.get("right")) for item in found}
        yield Finding(
            code="misnamed_sections",
            severity=Severity.NOTE,
            title=Sentence("A section for an MPM never applies"),
            message=Sentence(
                "{places}. No MPM has that name in <IfModule>; write {names}.",
                places=joined("; ", _where(found)),
                names=joined(
                    ", ",
                    [
                        Sentence("{right} instead of {wrong}", right=right, wrong=wrong)
                        for wrong, right in names.items()
                    ],
                ),
            ),
        )


def config_unread(situation: Situation) -> Iterator[Finding]:
    """Files that could not be read: what stands in them is not in this plan."""
    found = [str(item) for item in situation.facts.get("config_unread") or ()]
    if found:
        yield Finding(
            code="config_unread",
            severity=Severity.NOTE,
            title=Sentence("A part of the configuration could not be read"),
            message=Sentence(
                "{files}. This plan does not consider what is in it; the rehearsal does.",
                files="; ".join(found[:3]),
            ),
        )


def _lines(situation: Situation, fact: str) -> list[Mapping[str, Any]]:
    found = situation.facts.get(fact) or ()
    return [item for item in found if isinstance(item, Mapping) and "path" in item]


def _refused(situation: Situation, fact: str, otherwise: tuple[str, ...]) -> list[Sentence]:
    """Lines of a fact that the chosen MPM would not start with. ``otherwise``: the MPMs that
    refuse them, where an agent does not say."""
    wanted = situation.choice.mpm.value
    return _where(
        [
            item
            for item in _lines(situation, fact)
            if wanted in (item.get("refused_by") or otherwise)
        ]
    )


def _where(items: Sequence[Mapping[str, Any]]) -> list[Sentence]:
    return [
        Sentence(
            "{directive} in {path} line {line}",
            directive=str(item["directive"]),
            path=str(item["path"]),
            line=str(item["line"]),
        )
        for item in items[:5]
    ]


def edited_files(situation: Situation) -> Iterator[Finding]:
    """rpm saves an edited configuration file aside when its package goes, and does not bring
    the edits back with the package."""
    edited = situation.facts.get("edited_config_files") or {}
    gone = {path: name for path, name in edited.items() if name in situation.leaving}
    if gone:
        shown = ", ".join(sorted(gone)[:5])
        yield Finding(
            code="edited_files_saved_aside",
            severity=Severity.WARN,
            title=Sentence("Edited files will be saved aside"),
            message=(
                Sentence(
                    "{shown} was changed by hand and belongs to a package that goes. It is renamed "
                    "to .rpmsave; a later reinstall brings the original, not the edits.",
                    shown=shown,
                )
            ),
            remedy=Sentence(
                "Copy what is needed into /etc/apache2/conf.d, inside an <IfModule> section."
            ),
            packages=tuple(sorted(set(gone.values()))),
        )


def excluded(situation: Situation) -> Iterator[Finding]:
    hit = _held_back(situation, "excludes")
    if hit:
        yield Finding(
            code="excluded",
            severity=Severity.BLOCK,
            title=Sentence("The package manager excludes what has to move"),
            message=Sentence("exclude= in its configuration covers {names}.", names=listing(hit)),
            remedy=Sentence(
                "Take it out of exclude= in dnf.conf, yum.conf or the repository's file."
            ),
            packages=hit,
        )


def version_locked(situation: Situation) -> Iterator[Finding]:
    hit = _held_back(situation, "version_locks")
    if hit:
        yield Finding(
            code="version_locked",
            severity=Severity.BLOCK,
            title=Sentence("A version lock is in the way"),
            message=Sentence("{names} is locked to a version.", names=listing(hit)),
            remedy=Sentence(
                "dnf versionlock list shows the locks; dnf versionlock delete takes one away."
            ),
            packages=hit,
        )


def _held_back(situation: Situation, fact: str) -> tuple[str, ...]:
    """Names of packages that have to move and that a pattern of this fact covers."""
    patterns = [str(item) for item in situation.facts.get(fact) or ()]
    moving = {*situation.change.install, *situation.change.remove}
    return tuple(sorted({item.name for item in moving if pinned(patterns, item)}))


def broken_already(situation: Situation) -> Iterator[Finding]:
    """Installed packages that contradict each other before anything is done."""
    installed = situation.scene.installed
    unmet = situation.scene.unmet(installed)
    steps = sorted({name for name, relation in unmet if relation.name == MAIN and relation.evr})
    if steps:
        yield Finding(
            code="versions_out_of_step",
            severity=Severity.WARN,
            title=Sentence("Modules and Apache have different versions"),
            message=(
                Sentence(
                    "{names} was made for another version of {main} than the one installed. A "
                    "partial update or mixed repositories cause this.",
                    names=listing(steps),
                    main=MAIN,
                )
            ),
            remedy=Sentence("Update them together: dnf update '{main}*'", main=MAIN),
            packages=tuple(steps),
        )
    others = [(name, str(relation)) for name, relation in unmet if name not in steps]
    pairs = [pair for pair in collisions(installed) if not _both_mpms(pair)]
    if others or pairs:
        words = [
            Sentence("{name} needs {other}", name=short(name), other=relation)
            for name, relation in others[:4]
        ]
        words += [
            Sentence("{name} cannot be with {other}", name=short(one), other=short(two))
            for one, two in pairs[:4]
        ]
        names = {name for name, _ in others} | {name for pair in pairs for name in pair}
        yield Finding(
            code="broken_already",
            severity=Severity.WARN,
            title=Sentence("Installed packages contradict each other"),
            message=Sentence("Before any change: {words}.", words=joined("; ", words)),
            remedy=Sentence("dnf check lists such faults; mend them before changing the MPM."),
            packages=tuple(sorted(names)),
        )


def _both_mpms(pair: tuple[str, str]) -> bool:
    return all("mod_mpm_" in name or name.endswith(("mod_cgi", "mod_cgid")) for name in pair)


def _same(one: Observation, other: Observation) -> bool:
    return one.mpms == other.mpms and one.itk == other.itk


def _said(seen: Observation) -> str:
    names = all_of(seen.mpms) or Sentence("no MPM")
    return Sentence("{mpm} with ITK", mpm=names) if seen.itk else names


SERVER_RULES: tuple[RuleFunction, ...] = (
    no_apache,
    not_one_mpm,
    unfinished_transaction,
    duplicate_packages,
    foreign_mpm_file,
    excluded,
    observations_disagree,
    not_observed,
    files_missing,
    guarded_mpm_lines,
    prefork_only_directives,
    threaded_only_directives,
    misnamed_sections,
    config_unread,
    edited_files,
    version_locked,
    broken_already,
)
