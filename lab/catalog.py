"""Which packages the lab's repository holds, and what each of them puts on disk.

Names, versions, requirements, conflicts, provides and module file names are those of
EasyApache 4, from ``easyapache/ea4/data/packages.json``. The modules themselves are the
distribution's own. What EasyApache 4 takes from outside (openssl, libcap, …) and the further
PHP packages of the stock profiles are there as packages without content, so that whole stock
profiles install.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from easyapache.ea4.package_metadata import TOOLS, Description, files_of_the_tools, shipped
from lab.system import Distribution

DATA = Path(__file__).resolve().parent.parent / "easyapache" / "ea4" / "data"
APACHE_VERSION = "2.4.67-2"
NEXT_APACHE_VERSION = "2.4.68-1"
"""What the *second release* of the repository gives everything built from Apache's source."""

CONF = "/etc/apache2/conf.modules.d"
CONF_D = "/etc/apache2/conf.d"
MODULES = "/usr/lib64/apache2/modules"

STATIC_IN_DEBIAN = frozenset({"log_config", "logio", "unixd", "version", "watchdog"})
"""Debian builds these into httpd itself; elsewhere each is a file."""

_SESSION_CHILDREN = frozenset({"session_cookie", "session_dbd", "session_crypto", "auth_form"})
_CONF_NAME = re.compile(r"(?:\d+[_-])?(?:mod_)?(?P<module>[a-z0-9_]+)\.conf\Z")


@dataclass(frozen=True)
class LabPackage:
    """One package of the repository.

    ``texts``: path → content; those under /etc are configuration that survives edits
    (``%config(noreplace)``). ``copies``: path → file of this machine. ``links``: path → target.
    """

    name: str
    version: str
    release: str
    requires: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, Path] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    description: Description = field(default_factory=Description)

    @property
    def evr(self) -> str:
        return f"{self.version}-{self.release}"


@cache
def relations() -> dict[str, Any]:
    """``easyapache/ea4/data/packages.json`` as it is."""
    data: dict[str, Any] = json.loads((DATA / "packages.json").read_text(encoding="utf-8"))
    return data


@cache
def profile_packages(name: str) -> tuple[str, ...]:
    """The packages a stock profile names. Raises FileNotFoundError for an unknown profile."""
    data = json.loads((DATA / "profiles" / f"{name}.json").read_text(encoding="utf-8"))
    return tuple(data["pkgs"])


def profile_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (DATA / "profiles").glob("*.json")))


def catalogue(place: Distribution, *, next_release: bool = False) -> list[LabPackage]:
    """Every package of the repository, sorted by name."""
    packages = [_from_catalog(name, entry, place) for name, entry in relations().items()]
    packages += [_empty(name) for name in _named_elsewhere()]
    if next_release:
        packages = [_moved_on(package) for package in packages]
    return sorted(packages, key=lambda package: package.name)


def _from_catalog(name: str, entry: Mapping[str, Any], place: Distribution) -> LabPackage:
    version, release = entry["evr"].split("-")
    package = LabPackage(
        name=name,
        version=version,
        release=release,
        requires=tuple(entry["requires"]),
        conflicts=tuple(entry["conflicts"]),
        provides=tuple(entry["provides"]),
        description=shipped().get(name, Description()),
    )
    texts: dict[str, str] = {}
    copies: dict[str, Path] = {}
    for conf in entry.get("conf") or ():
        module = _module_of(conf)
        texts[f"{CONF}/{conf}"] = _load_line(module, place)
        found = place.module(_file_of(module))
        if found is not None:
            copies[f"{MODULES}/{found.name}"] = found
    package = replace(package, texts=texts, copies=copies)
    if name in _MORE_CONF:
        path, text = _MORE_CONF[name]
        return replace(package, texts={**texts, path: text})
    if name == "ea-apache24":
        return _apache(package, place)
    if name == TOOLS:
        files = {f"/{path}": text for path, text in files_of_the_tools().items()}
        return replace(package, texts={**texts, **files})
    if name == "ea-documentroot":
        return replace(package, folders=("/var/www", "/var/www/html"))
    if re.fullmatch(r"ea-php\d\d-php", name):
        return _php_dso(package, place)
    return package


def _empty(name: str) -> LabPackage:
    php = re.match(r"ea-php(\d)(\d)", name)
    version = f"{php[1]}.{php[2]}.0" if php else "3.0"
    return LabPackage(name=name, version=version, release="1")


def _named_elsewhere() -> list[str]:
    """Names that a requirement or a stock profile uses and the relations do not define."""
    packages = relations()
    given = set(packages) | {
        capability.split()[0] for entry in packages.values() for capability in entry["provides"]
    }
    wanted = {need.split()[0] for entry in packages.values() for need in entry["requires"]}
    for profile in profile_names():
        wanted.update(profile_packages(profile))
    return sorted(wanted - given)


def _moved_on(package: LabPackage) -> LabPackage:
    """The same package one Apache version later, with all relations to that version."""

    def moved(items: Iterable[str]) -> tuple[str, ...]:
        return tuple(item.replace(APACHE_VERSION, NEXT_APACHE_VERSION) for item in items)

    version, release = package.version, package.release
    if package.evr == APACHE_VERSION:
        version, release = NEXT_APACHE_VERSION.split("-")
    return replace(
        package,
        version=version,
        release=release,
        requires=moved(package.requires),
        conflicts=moved(package.conflicts),
        provides=moved(package.provides),
    )


def _module_of(conf: str) -> str:
    """``005_mod_cgi.conf`` → ``cgi``, ``900-mpm_itk.conf`` → ``mpm_itk``."""
    match = _CONF_NAME.fullmatch(conf)
    if match is None:
        raise ValueError(f"{conf!r} does not name a module")
    return match["module"]


def _file_of(module: str) -> str:
    return module if module == "mpm_itk" else f"mod_{module}"


def _load_line(module: str, place: Distribution) -> str:
    file = _file_of(module)
    if place.module(file) is None:
        if module in STATIC_IN_DEBIAN:
            return f"# mod_{module} is built into this machine's httpd\n"
        return f"# the lab has no payload for {file}: {place.name} does not ship it\n"
    line = f"LoadModule {module}_module modules/{file}.so\n"
    if module in _SESSION_CHILDREN:
        return f"<IfModule session_module>\n    {line}</IfModule>\n"
    if module == "mpm_prefork":
        # EasyApache 4's prefork package has the same. On a machine where httpd was killed often
        # enough this is what runs out ("No space left on device: AH00023").
        return f"{line}Mutex sysvsem\n"
    return line


def _apache(package: LabPackage, place: Distribution) -> LabPackage:
    """httpd itself, and EasyApache 4's folders and links. The links are relative, so they
    hold both inside the folder and seen from outside."""
    copies = {**package.copies, "/usr/sbin/httpd": place.httpd}
    return replace(
        package,
        copies=copies,
        texts={**package.texts, "/etc/apache2/conf/mime.types": _MIME_TYPES},
        links={
            "/etc/apache2/modules": "../../usr/lib64/apache2/modules",
            "/etc/apache2/logs": "../../var/log/apache2",
            "/etc/apache2/run": "../../run/apache2",
        },
        folders=(
            "/etc/apache2",
            "/etc/apache2/conf",
            CONF_D,
            CONF,
            MODULES,
            "/var/log/apache2",
            "/run/apache2",
        ),
    )


def _php_dso(package: LabPackage, place: Distribution) -> LabPackage:
    """PHP inside httpd. The distribution's only library is used for every version: what matters is
    a real module that is not thread-safe.

    On a cPanel server the LoadModule line is in a file that its hooks write (conf.d/php.conf); the
    lab has no such hooks, so the package has its own.
    """
    version = package.name.removeprefix("ea-php").removesuffix("-php")
    conf = f"{CONF}/790_lab_php{version}.conf"
    if place.libphp is None:
        text = f"# the lab has no payload for libphp: {place.name} does not ship it\n"
        return replace(package, texts={conf: text})
    symbol = "php7_module" if place.libphp.name.startswith("libphp7") else "php_module"
    library = f"{MODULES}/libphp{version}.so"
    return replace(
        package,
        texts={conf: f"LoadModule {symbol} modules/libphp{version}.so\n"},
        copies={library: place.libphp},
    )


_MORE_CONF = {
    # Relative to DefaultRuntimeDir, which httpd.conf sets: an absolute path would lie outside.
    "ea-apache24-mod_cgid": (
        f"{CONF_D}/cgid.conf",
        "<IfModule cgid_module>\n    ScriptSock cgid_sock\n</IfModule>\n",
    ),
    "ea-apache24-mod_http2": (
        f"{CONF_D}/http2.conf",
        "<IfModule http2_module>\n    Protocols h2 h2c http/1.1\n</IfModule>\n",
    ),
}

_MIME_TYPES = """\
text/html html htm
text/plain txt
text/css css
text/javascript js
image/png png
image/svg+xml svg
application/json json
application/octet-stream bin
"""
