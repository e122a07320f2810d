"""EasyApache 4 on one server: what is installed, and how packages depend on each other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from easyapache.ea4.capabilities import Capability, Entry
from easyapache.ea4.profile import Package, Profile
from easyapache.ea4.relations import Scene, load_catalogue
from easyapache.ea4.versions import compare_evr, parse_evr
from mpm.access.rights import may_read
from mpm.servers.models import Server
from mpm.servers.notices import notices_of
from mpm.servers.profile_library import stock_profiles
from mpm.web.page_context import for_server, frame_of
from mpm.web.responses import show

KINDS = ("installed", "updatable", "available", "all")


@dataclass(frozen=True, slots=True)
class Row:
    """One package in the list. ``latest`` is set if the panel's catalog has a newer one: reading
    the server's repositories would need dnf's lock."""

    name: str
    version: str
    arch: str
    installed: bool
    latest: str = ""


def scene_of(profile: Profile | None) -> Scene:
    """The catalog joined with a server's installed packages and their relations."""
    packages = profile.packages if profile else ()
    known = profile.facts.get("relations") if profile else None
    return load_catalogue().for_server(packages, known)


def catalogue_version() -> str:
    """The version of Apache in the catalog, as a measure of the catalog's age."""
    apache = load_catalogue().get("ea-apache24")
    return apache.package.evr if apache else ""


def rows(profile: Profile) -> list[Row]:
    """Every EasyApache 4 package that is installed or could be, by name."""
    catalogue = load_catalogue()
    found = {}
    for package in profile.packages:
        if not package.name.startswith("ea-"):
            continue
        found[package.name] = Row(
            name=package.name,
            version=package.evr,
            arch=package.arch,
            installed=True,
            latest=newer_version(package),
        )
    for name, entry in catalogue.entries.items():
        if name not in found and name.startswith("ea-"):
            found[name] = Row(name, entry.package.evr, entry.package.arch, installed=False)
    return [found[name] for name in sorted(found)]


def newer_version(package: Package) -> str:
    """The catalogue's version of an installed package, where that is newer, else ""."""
    known = load_catalogue().get(package.name)
    if known is None:
        return ""
    latest = known.package.evr
    return latest if compare_evr(parse_evr(latest), parse_evr(package.evr)) > 0 else ""


def _is(row: Row, kind: str) -> bool:
    if kind == "updatable":
        return bool(row.latest)
    return kind == "all" or row.installed == (kind == "installed")


def matching(all_rows: Iterable[Row], kind: str, query: str) -> list[Row]:
    words = query.casefold().replace("_", "-").split()
    return [
        row
        for row in all_rows
        if _is(row, kind) and all(word in row.name.replace("_", "-") for word in words)
    ]


@may_read
@require_GET
@for_server
def home(request: HttpRequest, server: Server) -> HttpResponse:
    """Home » Software » EasyApache 4: the server's packages, and links to its tools."""
    row = frame_of(request).installed
    profile = row.profile if row else None
    found = rows(profile) if profile else []
    return show(
        request,
        "easyapache/ea4.html",
        {
            "server": server,
            "notices": notices_of(server),
            "row": row,
            "profile": profile,
            "php": _php(found),
            "installed": [one for one in found if one.installed],
            "updatable": [one for one in found if one.latest],
            "stock": stock_profiles(),
        },
    )


_PHP = re.compile(r"ea-php\d+(-php)?")


def _php(found: Iterable[Row]) -> list[Row]:
    """Each PHP, and each that runs inside Apache: an MPM with threads would do without that."""
    return [one for one in found if one.installed and _PHP.fullmatch(one.name)]


@may_read
@require_GET
@for_server
def packages(request: HttpRequest, server: Server) -> HttpResponse:
    row = frame_of(request).installed
    kind = request.GET.get("show", "installed")
    kind = kind if kind in KINDS else "installed"
    query = request.GET.get("q", "")[:100].strip()
    found = rows(row.profile) if row else []
    return show(
        request,
        "easyapache/packages.html",
        {
            "server": server,
            "row": row,
            "kind": kind,
            "query": query,
            "rows": matching(found, kind, query),
            "catalogue": catalogue_version(),
            "counts": {one: len(matching(found, one, "")) for one in KINDS},
        },
        fragment="easyapache/_packages.html",
    )


@dataclass(frozen=True, slots=True)
class Relation:
    """What a package needs or cannot be with, and who answers to it here: all that the same
    packages answer to is one relation."""

    texts: tuple[str, ...]
    installed: tuple[str, ...]
    available: tuple[str, ...]


@may_read
@require_GET
@for_server
def package(request: HttpRequest, server: Server, name: str) -> HttpResponse:
    """One package and its relations, as they are on this server."""
    row = frame_of(request).installed
    profile = row.profile if row else None
    scene = scene_of(profile)
    entry = scene.describe(name)
    if entry is None:
        raise Http404(_("Unknown package."))
    present = next((one for one in profile.packages if one.name == name), None) if profile else None
    return show(
        request,
        "easyapache/package.html",
        {
            "server": server,
            "name": name,
            "entry": entry,
            "present": present,
            "latest": newer_version(present) if present else "",
            "requires": _relations(scene, entry.requires, name),
            "conflicts": _relations(scene, entry.conflicts, name),
            "provides": [str(one) for one in entry.provides if one.name != name],
            "needed_by": _needed_by(scene, entry),
        },
    )


def _relations(scene: Scene, wanted: Iterable[Capability], name: str) -> list[Relation]:
    """In their order, each once, those with the same answers together."""
    texts: dict[tuple[Any, ...], dict[str, None]] = {}
    for one in wanted:
        here, there = _answers(scene, one, name)
        # What nothing answers to has nothing in common.
        key = (here, there) if here or there else (here, there, str(one))
        texts.setdefault(key, {})[str(one)] = None
    return [Relation(tuple(found), key[0], key[1]) for key, found in texts.items()]


def _answers(
    scene: Scene, wanted: Capability, name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The other packages that offer this: those installed, and those that could be."""
    here = tuple(sorted(one.name for one in scene.installed.values() if one.offers(wanted)))
    there = tuple(
        sorted(
            one.name
            for one in scene.available.values()
            if one.offers(wanted) and one.name not in here
        )
    )
    return (
        tuple(one for one in here if one != name),
        tuple(one for one in there if one != name),
    )


def _needed_by(scene: Scene, entry: Entry) -> list[str]:
    """Installed packages that name something this one provides."""
    return sorted(
        other.name
        for other in scene.installed.values()
        if other.name != entry.name and any(entry.offers(wanted) for wanted in other.requires)
    )
