"""What a server's configuration has that depends on a module which a change may remove: directives
that only it knows, and what it permitted sites to do as their own users."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from easyapache.agent.config import HostConfig
from easyapache.agent.httpd.apache_config import ApacheConfig, Directive, read_piece
from easyapache.agent.httpd.section_conditions import directives_in
from easyapache.ea4.directives import MPMS, SUPPORTED_BY
from easyapache.ea4.mpm import ITK, MPM, PHP_DSO, RUID2

Placed = Callable[[HostConfig, Directive], dict[str, Any]]
MOST_LINES = 20
"""Lines that are reported of each package."""
MOST_ROOTS = 50
SECONDS = 0.5
"""How long document roots are looked at."""
TEMPLATES = "var/cpanel/templates/apache2_4"
PER_USER = frozenset(
    {
        *("secauditlogstoragedir", "secdatadir", "sectmpdir", "secuploaddir", "cacheroot"),
        *("modpagespeedfilecachepath", "pagespeedfilecachepath", "cascookiepath", "fcgidipcdir"),
    }
)
"""Directives that name a folder in which httpd's processes write."""
_TAG = re.compile(r"\[%.*?%\]", re.DOTALL)
"""Of the Template Toolkit."""
_TEMPLATE_BYTES = 1 << 20
_PHP = frozenset({"php_value", "php_flag", "php_admin_value", "php_admin_flag", "phpinidir"})
"""PHP's file may be too large to be looked through."""
_WORKER_PARAMETERS = ("hcmethod=", "hcpasses=", "hcfails=", "hcinterval=", "hcuri=", "hcexpr=")
_KEPT_OR_KNOWN = frozenset({"ea-apache24", *(mpm.package for mpm in MPM)})
"""Apache itself is not removed, and directives of MPMs are compared with the MPM that comes."""
_OF_BOTH_CGI_MODULES = frozenset({"scriptlog", "scriptlogbuffer", "scriptloglength"})


def module_directives(
    config: HostConfig, conf: ApacheConfig, owned: Mapping[str, str], placed: Placed
) -> dict[str, list[dict[str, Any]]]:
    """{package: [{path, line, directive}]} of the lines that httpd refuses without the package,
    which are those outside of any section that might not hold then. ``owned``: {path on the server:
    package}; ``placed`` describes a directive."""
    by_package: dict[str, set[str]] = {}
    elsewhere = set(_OF_BOTH_CGI_MODULES)
    known = _owners(config, owned)
    for file in conf.modules().values():
        package = known.get(file.resolve(), "")
        names = directives_in(file)
        if package and package not in _KEPT_OR_KNOWN:
            of_php = _PHP if PHP_DSO.match(package) else frozenset()
            by_package.setdefault(package, set()).update(names, of_php)
        else:
            elsewhere |= names
    if program := conf.surroundings.program:
        elsewhere |= directives_in(program)
    index: dict[str, list[str]] = {}
    for package, brought in by_package.items():
        for name in brought - elsewhere:
            index.setdefault(name, []).append(package)
    found: dict[str, list[dict[str, Any]]] = {}
    for item in conf.directives:
        needed = index.get(item.name) or _of_parameters(item, by_package)
        if len(needed) != 1 or _guarded(item) or _owner_of(item.path, config, owned) == needed[0]:
            continue
        lines = found.setdefault(needed[0], [])
        if len(lines) < MOST_LINES:
            lines.append(placed(config, item))
    return {package: lines for package, lines in found.items() if lines}


def _owners(config: HostConfig, owned: Mapping[str, str]) -> dict[Path, str]:
    """{file of a module on this machine: its package}."""
    return {
        (config.root / path.lstrip("/")).resolve(): package
        for path, package in owned.items()
        if path.endswith(".so")
    }


def _owner_of(path: Path, config: HostConfig, owned: Mapping[str, str]) -> str:
    """The package of a configuration file, which takes it along."""
    same = (name for name in owned if name.rpartition("/")[2] == path.name)
    found = (n for n in same if (config.root / n.lstrip("/")).resolve() == path.resolve())
    return owned.get(next(found, ""), "")


def _guarded(item: Directive) -> bool:
    return any(
        name.startswith("if") and name not in ("if", "ifversion") for name, _ in item.sections
    )


def _of_parameters(item: Directive, by_package: Iterable[str]) -> list[str]:
    """mod_proxy_hcheck brings parameters for a directive of another module."""
    if item.name not in ("balancermember", "proxyset") or not any(
        word.lower().startswith(_WORKER_PARAMETERS) for word in item.arguments
    ):
        return []
    return [name for name in by_package if name.endswith("proxy_hcheck")]


def as_the_user(
    config: HostConfig, conf: ApacheConfig, names: Collection[str], placed: Placed
) -> dict[str, Any]:
    """What changes where mod_ruid2 or MPM ITK, which serve every site as its own user, leaves."""
    if not {ITK, RUID2} & set(names):
        return {}
    return {
        "closed_roots": closed_roots(conf),
        "folders_of_users": [
            placed(config, item) for item in conf.directives if item.name in PER_USER
        ][:MOST_LINES],
        "userdir_returns": userdir_returns(conf),
    }


def userdir_returns(conf: ApacheConfig) -> bool:
    """Whether UserDir is off only because of these modules: cPanel's template writes so into
    httpd.conf, and writes another one without them."""
    if "userdir_module" not in conf.modules():
        return False
    own = [
        item
        for item in conf.named("UserDir")
        if item.virtual_host is None and item.path != conf.main and not _guarded(item)
    ]
    return not any([word.lower() for word in item.arguments] == ["disabled"] for item in own)


def closed_roots(conf: ApacheConfig, seconds: float = SECONDS) -> list[str]:
    """Document roots that httpd's own user can't enter or read, by their modes and owners. Those
    with an access control list are left out: the modes don't tell."""
    end = time.monotonic() + seconds
    user, groups = account_of(conf)
    if user is None:
        return []
    found: list[str] = []
    written = (item.arguments[0] for item in conf.named("DocumentRoot") if item.arguments)
    for root in dict.fromkeys(written):
        if time.monotonic() > end or len(found) >= MOST_ROOTS:
            break
        if _closed_to(Path(root), user, groups):
            found.append(root)
    return found


def account_of(conf: ApacheConfig) -> tuple[int | None, frozenset[int]]:
    """The user that httpd's processes change to, and its groups; None if there is no such user."""
    name, group = conf.value("User") or "nobody", conf.value("Group") or "nobody"
    try:
        entry = pwd.getpwuid(int(name[1:])) if name.startswith("#") else pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None, frozenset()
    try:
        main = int(group[1:]) if group.startswith("#") else grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        main = entry.pw_gid
    # httpd calls initgroups: all groups of the user count as well.
    return entry.pw_uid, frozenset({main, *os.getgrouplist(entry.pw_name, main)})


def _closed_to(root: Path, user: int, groups: frozenset[int]) -> bool:
    if not root.is_absolute():
        return False
    try:
        for place in (root, *root.parents):
            facts = place.stat()
            if "system.posix_acl_access" in _attributes(place):
                return False
            needed = 5 if place == root else 1  # to read and to enter, and to pass
            if not _permits(facts, user, groups, needed):
                return True
    except OSError:  # not there: no business of a module that leaves
        return False
    return False


def _attributes(place: Path) -> Iterable[str]:
    try:
        return os.listxattr(place)
    except OSError:  # a file system without them
        return ()


def _permits(facts: os.stat_result, user: int, groups: frozenset[int], needed: int) -> bool:
    mode = stat.S_IMODE(facts.st_mode)
    if facts.st_uid == user:
        mode >>= 6
    elif facts.st_gid in groups:
        mode >>= 3
    return mode & needed == needed


def local_templates(config: HostConfig, conf: ApacheConfig) -> list[dict[str, Any]]:
    """cPanel's templates that an administrator has replaced: [{path, lines: [{path, line,
    directive, refused_by}]}]. rebuildhttpdconf writes httpd.conf from them after the packages have
    moved. Which of a template's own conditions hold is not known here."""
    found = []
    for path in sorted((config.root / TEMPLATES).glob("*.local"))[:MOST_ROOTS]:
        shown = f"/{TEMPLATES}/{path.name}"
        text = _TAG.sub(lambda tag: "\n" * tag[0].count("\n"), _beginning(path))
        refused: dict[tuple[int, str], list[str]] = {}
        for mpm in MPMS:
            for item in read_piece(conf.under(mpm), text, path):
                if mpm not in SUPPORTED_BY.get(item.name, MPMS):
                    line = item.line, " ".join((item.name, *item.arguments))[:200]
                    refused.setdefault(line, []).append(mpm)
        lines = [
            {"path": shown, "line": line, "directive": directive, "refused_by": mpms}
            for (line, directive), mpms in sorted(refused.items())
        ]
        found.append({"path": shown, "lines": lines[:MOST_LINES]})
    return found


def _beginning(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        return file.read(_TEMPLATE_BYTES).decode(errors="replace")
