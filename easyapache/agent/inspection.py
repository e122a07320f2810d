"""Everything that is known of a server, read without changing or locking anything."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from easyapache.agent.change.spool import Spool
from easyapache.agent.config import HostConfig
from easyapache.agent.httpd.after_a_module import as_the_user, local_templates, module_directives
from easyapache.agent.httpd.apache_config import ApacheConfig, Directive
from easyapache.agent.httpd.error_log import lines_of_httpd, reloads_a_day
from easyapache.agent.httpd.front import other_servers
from easyapache.agent.httpd.htaccess import directives_in, patterns_for
from easyapache.agent.httpd.httpd import Httpd
from easyapache.agent.httpd.load import measure, semaphores
from easyapache.agent.httpd.processes import Identity
from easyapache.agent.packages.dnf_history import HISTORY, last_transaction
from easyapache.agent.packages.held_back import excludes, repository_filters, version_locks
from easyapache.agent.packages.immutable import immutable_files
from easyapache.agent.packages.manager_locks import manager_at_work
from easyapache.agent.packages.rpm import RpmDatabase, Verified, by_owner
from easyapache.agent.server import HostError
from easyapache.ea4.conditions.diagnosis import error_log_conditions
from easyapache.ea4.directives import MPMS
from easyapache.ea4.profile import Profile

_CPANEL_VERSION = re.compile(r"\d{1,4}(?:\.\d{1,4}){1,4}")
_MOST_PLACES = 50
"""The most configuration lines of one kind that are reported."""
_DSO_HANDLER = "application/x-httpd-php"


@cache
def catalogue_names() -> frozenset[str]:
    """Names of the packages whose relations the project knows."""
    text = resources.files("easyapache.ea4").joinpath("data/packages.json").read_text()
    return frozenset(json.loads(text))


def inspect(config: HostConfig, httpd: Httpd, rpm: RpmDatabase) -> Profile:
    """The profile of the server now. The queries are independent and mostly wait for programs, so
    they run in parallel."""
    with ThreadPoolExecutor(max_workers=6) as pool:
        installed = pool.submit(rpm.installed)
        configured = pool.submit(httpd.configured)
        running = pool.submit(httpd.running)
        build = pool.submit(httpd.build)
        packages = installed.result()
        names = {package.name for package in packages}
        modules = [name for name in names if is_module(name)]
        altered = pool.submit(rpm.altered, modules)
        owned = pool.submit(rpm.owned_paths, modules)
        unknown = pool.submit(rpm.relations, names - catalogue_names())
        conf = httpd.read()
        seen_config, config_error, warned = configured.result()
        seen_running, running_error = running.result()
        facts: dict[str, Any] = {
            "httpd_version": build.result().version,
            "os": operating_system(config.root),
            "threads": build.result().threads,
            "safe_thread_polling": build.result().safe_thread_polling,
            **file_facts(by_owner(altered.result(), owned.result())),
            **config_facts(config, conf, set(owned.result()), names),
            "module_directives": module_directives(config, conf, owned.result(), _place_of),
            **as_the_user(config, conf, names, _place_of),
            "local_templates": local_templates(config, conf),
            "immutable_files": immutable_files(config, owned.result()),
            "semaphores": semaphores(),
            **htaccess_facts(config, conf, names),
            "excludes": excludes(config.root),
            "repository_filters": repository_filters(config.root),
            "version_locks": version_locks(config.root),
            "relations": unknown.result(),
            "last_transaction": last_transaction(config.root),
            "load": measure(httpd, conf),
            "load_average": [round(value, 2) for value in os.getloadavg()],
            "cpanel_version": cpanel_version(config.root),
        }
    parent = httpd.parent()
    if parent is not None:
        facts["httpd_started"] = start_of(parent)
        facts["listeners"] = [list(item) for item in httpd.held()]
        facts["service"] = service_astray(httpd)
    if config.root == Path("/"):
        facts["other_servers"] = other_servers(parent.pid if parent else None)
    lines = "\n".join([warned, lines_of_httpd(config.error_log, parent)])
    facts["reloads_a_day"] = reloads_a_day(lines)
    facts["httpd_said"] = error_log_conditions(lines, frozenset(names), running=parent is not None)
    unfinished = unfinished_transaction(config.root, config.spool)
    if unfinished:
        facts["unfinished_transaction"] = unfinished
    if config_error:
        facts["configured_error"] = config_error
    if running_error:
        facts["running_error"] = running_error
    kept = {name: value for name, value in facts.items() if value not in ("", [], {}, None)}
    return Profile(packages, seen_config, seen_running, kept)


def service_astray(httpd: Httpd) -> dict[str, Any]:
    """How the running httpd differs from systemd's service; empty if it does not, if there is no
    service, while either starts or stops, and if systemd does not answer."""
    try:
        state, parent = httpd.service_state(), httpd.parent()
    except HostError:
        return {}
    if state is None or parent is None or state.moving or not state.active:
        return {}
    elsewhere = httpd.other_group(state, parent)
    if state.up and httpd.is_main(state, parent) and not elsewhere:
        return {}
    group = elsewhere if state.up else ""
    return {"active": state.active, "main": state.main, "pid": parent.pid, "group": group}


def start_of(parent: Identity) -> str:
    """Another text after every full start of httpd, the same after a graceful reload."""
    return f"{parent.boot}:{parent.pid}:{parent.started}"


def is_module(name: str) -> bool:
    """Whether a package can bring a module of httpd."""
    return name.startswith("ea-apache24") or (name.startswith("ea-php") and name.endswith("-php"))


def operating_system(root: Path) -> str:
    """PRETTY_NAME of os-release; empty when there is none."""
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            lines = (root / name).read_text(errors="replace").splitlines()
        except (FileNotFoundError, PermissionError):
            continue
        for line in lines:
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip("\"'")
    return ""


def cpanel_version(root: Path) -> str:
    """The version from cPanel's own file, as ``11.136.0.13``; empty if cPanel is not installed."""
    try:
        with (root / "usr/local/cpanel/version").open(encoding="utf-8", errors="replace") as file:
            found = file.read(64).strip()
    except OSError:
        return ""
    return found if _CPANEL_VERSION.fullmatch(found) else ""


def file_facts(verified: Mapping[str, Iterable[Verified]]) -> dict[str, Any]:
    edited: dict[str, str] = {}
    missing: dict[str, list[str]] = {}
    for package, items in verified.items():
        for item in items:
            if item.lost:
                missing.setdefault(package, []).append(item.path)
            elif item.edited:
                edited[item.path] = package
    return {"edited_config_files": edited, "missing_files": missing}


def config_facts(
    config: HostConfig, conf: ApacheConfig, owned: set[str], names: set[str]
) -> dict[str, Any]:
    """Facts from the configuration files besides the MPM. Paths are those on the server."""
    refused: dict[tuple[str, int, str], list[str]] = {}
    for mpm in MPMS:
        for item in conf.refused_by(mpm):
            refused.setdefault(_placed(config, item), []).append(mpm)
    lines = [item for _, item in conf.mpm_lines()]
    if conf.loads_itk():
        modules = conf.named("LoadModule")
        lines += [item for item in modules if item.arguments[:1] == ("mpm_itk_module",)]
    foreign = [
        server_path(config.root, item.path)
        for item in lines
        if not is_owned(config.root, item.path, owned)
    ]
    only: list[dict[str, Any]] = [
        {"path": path, "line": line, "directive": text, "refused_by": mpms}
        for (path, line, text), mpms in sorted(refused.items())[:_MOST_PLACES]
    ]
    prefork_only = [item for item in only if "spareservers" in item["directive"]]
    return {
        "foreign_mpm_files": sorted(set(foreign)),
        "guarded_mpm_lines": guarded_mpm_lines(config, conf, owned),
        "prefork_only_directives": prefork_only,
        "threaded_only_directives": [item for item in only if item not in prefork_only],
        "misnamed_sections": [
            {**_place_of(config, item), "name": name, "right": right}
            for item, name, right in conf.misnamed()[:_MOST_PLACES]
        ],
        "overridden_limits": overridden_limits(config, conf),
        "config_unread": list(conf.problems),
        "php_dso_sites": php_dso_sites(conf, names),
    }


def guarded_mpm_lines(
    config: HostConfig, conf: ApacheConfig, owned: set[str]
) -> list[dict[str, Any]]:
    """Lines outside the packages that load an MPM and do not hold now, each with the MPMs under
    which it would: there, httpd would load two."""
    under = {mpm: {_line(item) for _, item in conf.under(mpm).mpm_lines()} for mpm in MPMS}
    now = {_line(item) for _, item in conf.mpm_lines()}
    found = {}
    after = (item for mpm in MPMS for _, item in conf.under(mpm).mpm_lines())
    for item in (*conf.idle, *after):
        loads = item.name == "loadmodule" and item.arguments[:1] != ()
        if not loads or item.arguments[0] not in {f"mpm_{mpm}_module" for mpm in MPMS}:
            continue
        if _line(item) in now or is_owned(config.root, item.path, owned):
            continue
        found[_line(item)] = {
            **_place_of(config, item),
            "under": [mpm for mpm in MPMS if _line(item) in under[mpm]],
        }
    return [found[place] for place in sorted(found)][:_MOST_PLACES]


_GENERATED = {
    "startservers": "startservers",
    "serverlimit": "serverlimit",
    "maxrequestworkers": "maxrequestworkers",
    "maxclients": "maxrequestworkers",
    "maxconnectionsperchild": "maxconnectionsperchild",
    "maxrequestsperchild": "maxconnectionsperchild",
}
"""Limits that cPanel writes into httpd.conf, after pre_main_global.conf, each with what its older
name means."""


def overridden_limits(config: HostConfig, conf: ApacheConfig) -> list[dict[str, Any]]:
    """Limits in an included file that the main file sets again later, to another value: the last
    one counts."""
    earlier: list[Directive] = []
    pairs: list[tuple[Directive, Directive]] = []
    effective: dict[str, tuple[str, ...]] = {}
    for item in conf.named(*_GENERATED):
        if item.virtual_host is not None:
            continue
        limit = _GENERATED[item.name]
        effective[limit] = item.arguments
        if item.path == conf.main:
            pairs += [(one, item) for one in earlier if _GENERATED[one.name] == limit]
            earlier = [one for one in earlier if _GENERATED[one.name] != limit]
        else:
            earlier.append(item)
    return [
        {**_place_of(config, one), "by": _place_of(config, later)}
        for one, later in pairs
        if one.arguments != effective[_GENERATED[one.name]]
    ][:_MOST_PLACES]


def htaccess_facts(config: HostConfig, conf: ApacheConfig, names: set[str]) -> dict[str, Any]:
    """What sites' ``.htaccess`` files need of modules that a change of the MPM may remove."""
    patterns = patterns_for(names)
    if not patterns:
        return {}
    found = directives_in((host.root for host in conf.virtual_hosts()), patterns)
    directives = [
        {**item, "path": server_path(config.root, Path(item["path"]))} for item in found.directives
    ]
    return {"htaccess_directives": directives, "htaccess_incomplete": not found.complete}


def _line(item: Directive) -> tuple[Path, int]:
    return item.path, item.line


def _placed(config: HostConfig, item: Directive) -> tuple[str, int, str]:
    text = " ".join([item.name, *item.arguments])[:200]
    return server_path(config.root, item.path), item.line, text


def _place_of(config: HostConfig, item: Directive) -> dict[str, Any]:
    path, line, text = _placed(config, item)
    return {"path": path, "line": line, "directive": text}


def php_dso_sites(conf: ApacheConfig, names: set[str]) -> dict[str, list[str]]:
    """{package: [virtual host]} of the sites that run PHP inside httpd.

    A handler named ``application/x-httpd-php…`` is mod_php's own when a DSO package is there;
    cPanel names its CGI and FPM handlers ``x-httpd-ea-php…`` instead. Set server-wide, it
    serves every site.
    """
    packages = sorted(n for n in names if n.startswith("ea-php") and n.endswith("-php"))
    if not packages:
        return {}
    hosts = conf.hosts()
    everywhere = any(_runs_dso(item) and item.virtual_host is None for item in conf.directives)
    sites = {
        _name_of(opening, inside)
        for opening, inside in hosts
        if everywhere or any(map(_runs_dso, inside))
    }
    return {package: sorted(sites) for package in packages}


def _runs_dso(item: Directive) -> bool:
    handled = item.name in ("addhandler", "sethandler", "addtype")
    return handled and item.arguments[:1] != () and item.arguments[0].startswith(_DSO_HANDLER)


def _name_of(opening: Directive, inside: Iterable[Directive]) -> str:
    """What a person calls a virtual host: its ServerName, else its address."""
    named = (item.arguments[0] for item in inside if item.name == "servername" and item.arguments)
    return next(named, " ".join(opening.arguments))


def unfinished_transaction(root: Path, spool: Path) -> str:
    """A sentence about an interrupted package transaction; empty if there is none.

    One that a later change or repair has checked or fixed is in the spool as settled (see
    ``Spool.settle``) and is not reported again, although it stays in dnf's history.

    dnf writes a transaction's end into its history; yum 3 kept lists of what was left to do. Only
    the last one counts: a later one that completed has fixed it, or the packages show the damage.
    One that is still running is not unfinished.
    """
    text = _never_ended(root)
    return "" if Spool(spool).settled == text else text


def _never_ended(root: Path) -> str:
    for left in sorted((root / "var/lib/yum").glob("transaction-all*")):
        return f"yum left {server_path(root, left)} behind"
    path = root / HISTORY
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as history:
            row = history.execute(
                "select id, dt_begin, dt_end, state from trans order by id desc limit 1"
            ).fetchone()
    except sqlite3.Error as error:
        return f"dnf's history cannot be read: {error}"
    if row is None or row[2] or manager_at_work(root):
        return ""
    return f"dnf's transaction {row[0]} was begun and never ended"


def is_owned(root: Path, path: Path, owned: Collection[str]) -> bool:
    """Whether a file of the configuration is a package's (``owned``: their paths), be it included
    through a link or its folder one: conf.modules.d moved elsewhere is still the packages'."""
    if server_path(root, path) in owned:
        return True
    same = (name for name in owned if name.rpartition("/")[2] == path.name)
    return any((root / name.lstrip("/")).resolve() == path.resolve() for name in same)


def server_path(root: Path, path: Path) -> str:
    """A path of this machine as the server itself would name it."""
    try:
        return (
            "/" + str(path.resolve().relative_to(root.resolve()))
            if root != Path("/")
            else str(path)
        )
    except ValueError:
        return str(path)
