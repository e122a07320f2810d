"""How a condition is detected in a profile, without any output of programs.

Each function returns the evidence as a sentence, or "" if the condition does not apply. Plan,
Diagnostics and the health of a server all use these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from easyapache.ea4.capabilities import evr_of
from easyapache.ea4.limits import CPANEL_MAX_REQUEST_WORKERS
from easyapache.ea4.mpm import ITK, MPM, PHP_DSO, PREFIX, installed, short
from easyapache.ea4.profile import Observation, Package, Profile, Transaction
from easyapache.ea4.sentences import Sentence, all_of, joined
from easyapache.ea4.versions import compare_evr, parse_evr

MAIN = "ea-apache24"
_AS_USER = tuple(f"{PREFIX}mod_{name}" for name in ("suexec", "suphp", "ruid2", "mpm_itk"))
_ITK_REPAIRED, _ITK_BROKEN = parse_evr("2.4.7.4-4"), parse_evr("2.4.49")
"""mod_mpm_itk before the one crashes with Apache from the other on (EA-10143)."""
MOST_NAMES = 5


def mpm_packages(profile: Profile) -> list[str]:
    """Names of the installed packages that contain an MPM; one is sound."""
    return sorted(profile.names & {mpm.package for mpm in MPM})


def mpm_label(seen: Observation) -> str:
    """``event``, ``prefork with ITK``, ``event and prefork``, ``no MPM``."""
    names = all_of(seen.mpms) or Sentence("no MPM")
    return Sentence("{mpm} with ITK", mpm=names) if seen.itk else names


def no_mpm(profile: Profile) -> str:
    if MAIN not in profile.names:
        return ""
    if not mpm_packages(profile):
        return Sentence("No MPM package is installed.")
    if profile.configured is not None and not profile.configured.mpms:
        return Sentence("The configuration loads no MPM.")
    return ""


def several_mpms(profile: Profile) -> str:
    if MAIN not in profile.names:
        return ""
    packages = mpm_packages(profile)
    if len(packages) > 1:
        return Sentence("Installed: {names}.", names=", ".join(packages))
    if profile.configured is not None and len(profile.configured.mpms) > 1:
        return Sentence("The configuration loads {names}.", names=all_of(profile.configured.mpms))
    return ""


def _one_mpm(profile: Profile) -> bool:
    return MAIN in profile.names and not no_mpm(profile) and not several_mpms(profile)


def _differ(one: Observation, other: Observation) -> bool:
    return (one.mpms, one.itk) != (other.mpms, other.itk)


def configuration_differs(profile: Profile) -> str:
    configured, packages = profile.configured, installed(profile.names)
    if configured is None or not _one_mpm(profile) or not _differ(configured, packages):
        return ""
    return Sentence(
        "Installed: {installed}. Configured: {configured}.",
        installed=mpm_label(packages),
        configured=mpm_label(configured),
    )


def pending_restart(profile: Profile) -> str:
    """Apache runs another MPM than its next start would load."""
    running = profile.running
    if running is None or not running.mpms or not _one_mpm(profile):
        return ""
    configured = profile.configured or installed(profile.names)
    if not _differ(configured, running):
        return ""
    return Sentence(
        "Configured: {configured}. Running: {running}.",
        configured=mpm_label(configured),
        running=mpm_label(running),
    )


def httpd_down(profile: Profile) -> str:
    if profile.running is None and MAIN in profile.names:
        error = str(profile.facts.get("running_error") or "")
        return error or Sentence("No httpd process responds.")
    return ""


def itk_threaded(profile: Profile) -> str:
    for seen in (profile.configured, profile.running):
        if seen and seen.itk and seen.mpm in ("event", "worker"):
            return Sentence("mod_mpm_itk is loaded together with {mpm}.", mpm=seen.mpm)
    return ""


def php_dso_threaded(profile: Profile) -> str:
    names = sorted(name for name in profile.names if PHP_DSO.match(name))
    seen = profile.configured or profile.running or installed(profile.names)
    if not names or seen.mpm not in ("event", "worker"):
        return ""
    return Sentence(
        "{names} is installed, and the MPM is {mpm}.", names=", ".join(names), mpm=seen.mpm
    )


def configuration_broken(profile: Profile) -> str:
    return str(profile.facts.get("configured_error") or "")


def unfinished_transaction(profile: Profile) -> str:
    return str(profile.facts.get("unfinished_transaction") or "")


def duplicate_names(packages: Iterable[Package]) -> list[str]:
    """Names that are installed more than once for one architecture."""
    seen: set[tuple[str, str]] = set()
    twice = set()
    for package in packages:
        key = (package.name, package.arch)
        if key in seen:
            twice.add(package.name)
        seen.add(key)
    return sorted(twice)


def duplicate_packages(profile: Profile) -> str:
    twice = duplicate_names(profile.packages)
    return Sentence("Installed more than once: {names}.", names=", ".join(twice)) if twice else ""


def files_missing(profile: Profile) -> str:
    missing = profile.facts.get("missing_files")
    if not isinstance(missing, Mapping):
        return ""
    return "; ".join(
        f"{name}: {', '.join(list(paths)[:MOST_NAMES])}" for name, paths in sorted(missing.items())
    )


def foreign_paths(profile: Profile, mpm: str = "") -> list[str]:
    """Files outside the packages that load an MPM now, or under ``mpm``."""
    paths: list[str] = [str(path) for path in profile.facts.get("foreign_mpm_files") or ()]
    if mpm:
        lines = lines_of(profile, "guarded_mpm_lines")
        paths += [str(item["path"]) for item in lines if mpm in (item.get("under") or ())]
    return list(dict.fromkeys(paths))


def foreign_mpm_file(profile: Profile) -> str:
    return ", ".join(foreign_paths(profile))


def lines_of(profile: Profile, fact: str) -> list[Mapping[str, Any]]:
    """Lines of the configuration that a fact lists, each with ``path``, ``line``, ``directive``."""
    return lines_in(profile.facts.get(fact))


def lines_in(found: Any) -> list[Mapping[str, Any]]:
    """The same of a part of a fact."""
    if not isinstance(found, Sequence) or isinstance(found, str):
        return []
    return [
        item
        for item in found
        if isinstance(item, Mapping) and {"path", "line", "directive"} <= item.keys()
    ]


def refused_lines(profile: Profile, fact: str, mpm: str, otherwise: Sequence[str]) -> list[Any]:
    """Lines of a fact with which Apache would not start under ``mpm``. ``otherwise``: the MPMs that
    refuse them, if the agent did not report them."""
    return [i for i in lines_of(profile, fact) if mpm in (i.get("refused_by") or otherwise)]


def where(items: Sequence[Mapping[str, Any]]) -> Sentence:
    """``MinSpareServers 5 in /etc/apache2/conf.d/x.conf line 3; …``"""
    return joined(
        "; ",
        [
            Sentence(
                "{directive} in {path} line {line}",
                directive=str(item["directive"]),
                path=str(item["path"]),
                line=str(item["line"]),
            )
            for item in items[:MOST_NAMES]
        ],
    )


def _mpm_now(profile: Profile) -> str:
    return (profile.configured and profile.configured.mpm) or installed(profile.names).mpm or ""


def prefork_only_directives(profile: Profile) -> str:
    found = refused_lines(
        profile, "prefork_only_directives", _mpm_now(profile), ("event", "worker")
    )
    return where(found) if found else ""


def threaded_only_directives(profile: Profile) -> str:
    found = refused_lines(profile, "threaded_only_directives", _mpm_now(profile), ("prefork",))
    return where(found) if found else ""


def limits_overridden(profile: Profile) -> str:
    """Limits of an include that the generated configuration sets again afterwards."""
    found = [
        item
        for item in lines_of(profile, "overridden_limits")
        if isinstance(item.get("by"), Mapping)
    ]
    pairs = [
        Sentence("{line}, then {later}", line=where([item]), later=where([item["by"]]))
        for item in found[:MOST_NAMES]
        if {"path", "line", "directive"} <= item["by"].keys()
    ]
    return joined("; ", pairs) if pairs else ""


def htaccess_lines(profile: Profile, packages: Iterable[str]) -> list[Mapping[str, Any]]:
    """Lines of ``.htaccess`` files that need one of these packages."""
    removed = set(packages)
    lines = lines_of(profile, "htaccess_directives")
    return [item for item in lines if item.get("package") in removed]


def immutable_paths(profile: Profile, change: Transaction) -> list[str]:
    """What can't be replaced and would be by this change."""
    found = profile.facts.get("immutable_files")
    if not isinstance(found, Mapping) or not (change.install or change.remove):
        return []
    moved = {package.name for package in (*change.install, *change.remove)}
    return sorted(str(path) for path, package in found.items() if not package or package in moved)


_MOST_SEMAPHORES = 0.8
"""The share of them in use from which on few are left."""


def few_semaphores_left(profile: Profile) -> str:
    found = profile.facts.get("semaphores")
    if not isinstance(found, Mapping):
        return ""
    used, limit = found.get("used"), found.get("limit")
    if not isinstance(used, int) or not isinstance(limit, int) or used < limit * _MOST_SEMAPHORES:
        return ""
    return Sentence("{used} of {limit} sets are in use.", used=used, limit=limit)


_DROP_INS = frozenset({"litespeed", "lshttpd", "openlitespeed"})
"""Names of the processes of servers that take Apache's place and read its configuration."""


def _other_servers(profile: Profile, *, drop_in: bool) -> str:
    found = profile.facts.get("other_servers") or ()
    if not isinstance(found, Sequence) or isinstance(found, str):
        return ""
    servers = [
        Sentence(
            "{program} (process {pid}) listens on port {port}.",
            program=str(item["program"]),
            pid=str(item.get("pid")),
            port=str(item.get("port")),
        )
        for item in found
        if isinstance(item, Mapping)
        and "program" in item
        and (str(item["program"]) in _DROP_INS) is drop_in
    ]
    return joined(" ", servers[:MOST_NAMES]) if servers else ""


def replaced_by_another_server(profile: Profile) -> str:
    return _other_servers(profile, drop_in=True)


def server_in_front(profile: Profile) -> str:
    return _other_servers(profile, drop_in=False)


def excluded(profile: Profile) -> str:
    return ", ".join(_of_apache(profile, "excludes"))


def version_locked(profile: Profile) -> str:
    return ", ".join(_of_apache(profile, "version_locks"))


def _of_apache(profile: Profile, fact: str) -> list[str]:
    return [str(name) for name in profile.facts.get(fact) or () if "ea-" in str(name)]


def code_runs_as_nobody(profile: Profile) -> str:
    if MAIN in profile.names and not profile.names & set(_AS_USER):
        return Sentence(
            "None of {names} is installed.", names=", ".join(short(name) for name in _AS_USER)
        )
    return ""


def unchanged_limit_150(profile: Profile) -> str:
    """cPanel's limit made for prefork is what a threaded MPM runs with."""
    seen, load = profile.configured, profile.facts.get("load")
    if seen is None or seen.mpm not in ("event", "worker") or not isinstance(load, Mapping):
        return ""
    limits = (load.get("directives") or {}).get(seen.mpm) or {}
    limit = limits.get("MaxRequestWorkers", limits.get("MaxClients"))
    if limit != CPANEL_MAX_REQUEST_WORKERS:
        return ""
    return Sentence("MaxRequestWorkers is {limit} under {mpm}.", limit=limit, mpm=seen.mpm)


def crashing_itk(itk: Package | None, apache: Package | None) -> bool:
    """Whether this build of ITK crashes with this build of Apache."""
    if itk is None or apache is None:
        return False
    return compare_evr(evr_of(itk), _ITK_REPAIRED) < 0 <= compare_evr(evr_of(apache), _ITK_BROKEN)


def itk_too_old(profile: Profile) -> str:
    builds = {package.name: package for package in profile.packages}
    itk, apache = builds.get(ITK), builds.get(MAIN)
    if itk is None or apache is None or not crashing_itk(itk, apache):
        return ""
    return f"{itk.nevra}, {apache.nevra}"


def service_unmanaged(profile: Profile) -> str:
    service = profile.facts.get("service")
    if profile.running is None or not isinstance(service, Mapping):
        return ""
    pid, main, group = service.get("pid"), service.get("main"), service.get("group")
    if group:
        return Sentence(
            "httpd {pid} is in the control group {group}.", pid=str(pid), group=str(group)
        )
    return Sentence(
        "httpd.service is {state} with main process {main}; httpd is process {pid}.",
        state=str(service.get("active")),
        main=str(main),
        pid=str(pid),
    )


Evidence = Callable[[Profile], str]
