"""Rules about the state of the server: is it sound, and will it take the change?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from easyapache.ea4.conditions import evidence
from easyapache.ea4.conditions.evidence import lines_of, refused_lines, where
from easyapache.ea4.mpm import MPM, short
from easyapache.ea4.pins import hidden, locked_out
from easyapache.ea4.relations import MAIN, collisions
from easyapache.ea4.rules.findings import Finding, RuleFunction, Situation, finding, listing
from easyapache.ea4.sentences import Sentence, ended, joined


def no_apache(situation: Situation) -> Iterator[Finding]:
    """Where parts of it are left, Apache was removed, as by removing the MPM alone: the package
    manager's history names the command."""
    if MAIN in situation.before:
        return
    left = [name for name in situation.before if name.startswith(f"{MAIN}-")]
    if not left:
        yield finding("no_apache", packages=(MAIN,))
        return
    last = situation.facts.get("last_transaction") or {}
    known = last.get("command") and last.get("id")
    yield finding(
        "apache_removed",
        Sentence(
            "dnf's last transaction is {number}, of {at}: {command}.",
            number=str(last["id"]),
            at=str(last.get("at") or "")[:16].replace("T", " "),
            command=str(last["command"]),
        )
        if known
        else Sentence("Installed parts of it: {names}.", names=listing(left)),
        packages=(MAIN,),
        number=str(last["id"]) if known else "NUMBER",
    )


def not_one_mpm(situation: Situation) -> Iterator[Finding]:
    """httpd starts with exactly one MPM (AH00534). A change starts and ends with a working server,
    so that it can be undone: a broken one is repaired in Diagnostics first."""
    if none := evidence.no_mpm(situation.profile):
        yield finding("no_mpm", none)
    if several := evidence.several_mpms(situation.profile):
        packages = (MPM(name).package for name in situation.packages.mpms)
        yield finding("several_mpms", several, packages=packages)


def unfinished_transaction(situation: Situation) -> Iterator[Finding]:
    if unfinished := evidence.unfinished_transaction(situation.profile):
        yield finding("unfinished_transaction", unfinished)


def observations_disagree(situation: Situation) -> Iterator[Finding]:
    """Packages, configuration and the running httpd are three observations of one truth."""
    if differs := evidence.configuration_differs(situation.profile):
        yield finding("configuration_differs", differs)
    if pending := evidence.pending_restart(situation.profile):
        yield finding("pending_restart", pending)


def not_observed(situation: Situation) -> Iterator[Finding]:
    if error := evidence.configuration_broken(situation.profile):
        yield finding("configuration_broken", error)
    if situation.facts.get("running_error") and (down := evidence.httpd_down(situation.profile)):
        yield finding("httpd_down", down)


def duplicate_packages(situation: Situation) -> Iterator[Finding]:
    """An update that was cut short leaves two versions of one package in the rpm database."""
    if twice := evidence.duplicate_packages(situation.profile):
        packages = evidence.duplicate_names(situation.profile.packages)
        yield finding("duplicate_packages", twice, packages=packages)


def files_missing(situation: Situation) -> Iterator[Finding]:
    if missing := evidence.files_missing(situation.profile):
        yield finding("files_missing", missing, packages=sorted(situation.facts["missing_files"]))


def foreign_mpm_file(situation: Situation) -> Iterator[Finding]:
    """A LoadModule of an MPM in a file of no package remains when the package is removed. One in a
    section that applies only under the new MPM is as bad."""
    paths = evidence.foreign_paths(situation.profile, situation.choice.mpm.value)
    if paths and (situation.change.install or situation.change.remove):
        yield finding("foreign_mpm_file", ", ".join(paths))


def guarded_mpm_lines(situation: Situation) -> Iterator[Finding]:
    """A LoadModule of an MPM whose section applies neither now nor after the change."""
    wanted = situation.choice.mpm.value
    lines = lines_of(situation.profile, "guarded_mpm_lines")
    idle = [item for item in lines if wanted not in (item.get("under") or ())]
    if idle:
        yield finding("guarded_mpm_lines", where(idle))


def prefork_only_directives(situation: Situation) -> Iterator[Finding]:
    """MinSpareServers and MaxSpareServers are unknown to event and worker (AH00526)."""
    found = refused_lines(
        situation.profile,
        "prefork_only_directives",
        situation.choice.mpm.value,
        ("event", "worker"),
    )
    if found:
        yield finding("prefork_only_directives", where(found))


def threaded_only_directives(situation: Situation) -> Iterator[Finding]:
    """ThreadsPerChild and its kind are unknown to prefork, and AsyncRequestWorkerFactor to
    worker too (AH00526)."""
    found = refused_lines(
        situation.profile, "threaded_only_directives", situation.choice.mpm.value, ("prefork",)
    )
    if found:
        yield finding("threaded_only_directives", where(found))


def limits_overridden(situation: Situation) -> Iterator[Finding]:
    """The generated httpd.conf is read after pre_main_global.conf, and the last value counts."""
    if overridden := evidence.limits_overridden(situation.profile):
        yield finding("limits_overridden", overridden)


def other_servers(situation: Situation) -> Iterator[Finding]:
    if drop_in := evidence.replaced_by_another_server(situation.profile):
        yield finding("replaced_by_another_server", drop_in)
    if in_front := evidence.server_in_front(situation.profile):
        yield finding("server_in_front", in_front)


def misnamed_sections(situation: Situation) -> Iterator[Finding]:
    """Settings for an MPM in an <IfModule> whose name no MPM has: Apache never reads them."""
    found = lines_of(situation.profile, "misnamed_sections")
    if found:
        names = {str(item.get("name")): str(item.get("right")) for item in found}
        right = [
            Sentence("Write {right} instead of {wrong}.", right=right, wrong=wrong)
            for wrong, right in names.items()
        ]
        yield finding("misnamed_sections", joined(" ", [ended(where(found)), *right]))


def config_unread(situation: Situation) -> Iterator[Finding]:
    """Files that could not be read: what they contain is not in this plan."""
    found = [str(item) for item in situation.facts.get("config_unread") or ()]
    if found:
        yield finding("config_unread", "; ".join(found[:3]))


def edited_files(situation: Situation) -> Iterator[Finding]:
    """rpm renames an edited configuration file when its package is removed, and does not restore
    the edits with the package."""
    edited = situation.facts.get("edited_config_files") or {}
    removed = {path: name for path, name in edited.items() if name in situation.removed}
    if removed:
        yield finding(
            "edited_files_saved_aside",
            ", ".join(sorted(removed)[:5]),
            packages=sorted(set(removed.values())),
        )


def local_templates(situation: Situation) -> Iterator[Finding]:
    """rebuildhttpdconf writes httpd.conf from an administrator's own template, after the packages
    have moved."""
    templates = situation.facts.get("local_templates")
    if not isinstance(templates, list) or not situation.change.install:
        return
    found = [item for item in templates if isinstance(item, Mapping) and "path" in item]
    wanted = situation.choice.mpm.value
    refused = [
        line
        for item in found
        for line in item.get("lines") or ()
        if wanted in (line.get("refused_by") or ())
    ]
    if refused:
        yield finding("template_directives", where(refused))
    elif found:
        yield finding("local_templates", ", ".join(str(item["path"]) for item in found[:3]))


def immutable_files(situation: Situation) -> Iterator[Finding]:
    """rpm fails in the middle of a transaction at a file that it can't replace."""
    if found := evidence.immutable_paths(situation.profile, situation.change):
        yield finding("immutable_files", ", ".join(found[: evidence.MOST_NAMES]))


def few_semaphores_left(situation: Situation) -> Iterator[Finding]:
    few = evidence.few_semaphores_left(situation.profile)
    if few and situation.choice.mpm is MPM.PREFORK and situation.change.install:
        yield finding("few_semaphores_left", few)


def excluded(situation: Situation) -> Iterator[Finding]:
    install, facts = situation.change.install, situation.facts
    hit = {item.name for item in install if hidden(facts, item, offered=True)}
    hit |= {item.name for item in situation.change.remove if hidden(facts, item, offered=False)}
    if hit:
        yield finding("excluded", listing(hit), packages=sorted(hit))


def version_locked(situation: Situation) -> Iterator[Finding]:
    """Packages that have to come and that a lock keeps at another version."""
    patterns = [str(item) for item in situation.facts.get("version_locks") or ()]
    coming = situation.change.install
    hit = sorted({item.name for item in coming if locked_out(patterns, item)})
    if hit:
        yield finding("version_locked", listing(hit), packages=hit)


def packages_contradict(situation: Situation) -> Iterator[Finding]:
    """Installed packages that contradict each other before anything is done."""
    installed = situation.scene.installed
    unmet = situation.scene.unmet(installed)
    steps = sorted({name for name, relation in unmet if relation.name == MAIN and relation.evr})
    if steps:
        yield finding("mixed_versions", listing(steps), packages=steps)
    others = [(name, str(relation)) for name, relation in unmet if name not in steps]
    pairs = [pair for pair in collisions(installed) if not _both_mpms(pair)]
    if others or pairs:
        relations = [
            Sentence("{name} requires {other}", name=short(name), other=relation)
            for name, relation in others[:4]
        ]
        relations += [
            Sentence("{name} conflicts with {other}", name=short(one), other=short(two))
            for one, two in pairs[:4]
        ]
        names = {name for name, _ in others} | {name for pair in pairs for name in pair}
        yield finding("packages_contradict", joined("; ", relations), packages=sorted(names))


def _both_mpms(pair: tuple[str, str]) -> bool:
    return all("mod_mpm_" in name or name.endswith(("mod_cgi", "mod_cgid")) for name in pair)


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
    limits_overridden,
    other_servers,
    misnamed_sections,
    config_unread,
    local_templates,
    immutable_files,
    few_semaphores_left,
    edited_files,
    version_locked,
    packages_contradict,
)
