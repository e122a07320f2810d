"""The ``package_manager_…`` functions that look: what there is, and what an action would do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from easyapache.ea4.capabilities import Entry, evr_of
from easyapache.ea4.package_metadata import Description
from easyapache.ea4.pins import pinned
from easyapache.ea4.profile import Package, Transaction
from easyapache.ea4.profile_file import ProfileFile, canonical, compare
from easyapache.ea4.resolution import Scene, Unsolvable
from easyapache.ea4.versions import compare_evr
from mpm.whmapi.call import Call, function
from mpm.whmapi.envelope import Failed
from mpm.whmapi.parameters import BadParameters

STATES = ("any", "installed", "not_installed", "updatable")


@function("package_manager_list_packages")
def list_packages(call: Call) -> dict[str, Any]:
    wanted = call.parameters.text("state", "any") or "any"
    if wanted not in STATES:
        raise BadParameters(f"“state” must be one of {', '.join(STATES)}.")
    scene = _visible(call, excludes=True)
    return {
        "packages": [
            {"package": name}
            for name in _names(scene, "ea")
            if wanted == "any" or _state(scene, name) == wanted or _also(scene, name, wanted)
        ]
    }


def _also(scene: Scene, name: str, wanted: str) -> bool:
    """An updatable package is an installed one as well."""
    return wanted == "installed" and name in scene.installed


@function("package_manager_get_package_info")
def package_info(call: Call) -> dict[str, Any]:
    """By name, or every package of a namespace, but not both.

    Descriptions and sizes are from the server's rpm database and its package manager's metadata.
    """
    spaces, names = call.parameters.many("ns"), call.parameters.many("package")
    if bool(spaces) == bool(names):
        raise BadParameters("Provide either the “ns” or the “package” argument.")
    scene = _visible(call, excludes=not call.parameters.flag("disable-excludes"))
    known = {*scene.available, *scene.installed}
    if names:
        wanted = [canonical(name, known) for name in names]
    else:
        wanted = [name for space in spaces for name in _names(scene, _space(call, space))]
    return {
        "packages": [
            _info(scene, name, call.particulars.of(name))
            for name in dict.fromkeys(wanted)
            if name in known
        ]
    }


def _visible(call: Call, *, excludes: bool) -> Scene:
    """The packages visible to the server's package manager: with ``excludes``, without builds
    hidden by its configuration. Installed packages are always included."""
    scene = call.scene(call.profile)
    patterns = call.profile.facts.get("excludes") or ()
    if not excludes or not patterns:
        return scene
    seen = {
        name: entry
        for name, entry in scene.available.items()
        if pinned(patterns, entry.package) is None
    }
    return replace(scene, available=seen)


@function("package_manager_resolve_actions")
def resolve_actions(call: Call) -> dict[str, Any]:
    """The effect of having these packages.

    With ``ns`` (one or more) the list is the complete wanted set of those namespaces, and others
    are removed; without, it is added to the installed packages.
    """
    profile = call.profile
    scene = call.scene(profile)
    known = {*scene.available, *scene.installed}
    names = [canonical(name, known) for name in call.parameters.many("package")]
    if not names:
        call.parameters.required("package")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Failed(f"There is no package “{unknown[0][:100]}”.")
    spaces = [_space(call, space) for space in call.parameters.many("ns")]
    whole = ProfileFile("", "", "", (), tuple(sorted(set(names))))
    remove = compare(whole, profile, scene, spaces).unlisted if spaces else ()
    try:
        change = scene.resolve(names, remove)
    except Unsolvable as error:
        raise Failed(" ".join(error.reasons)) from error
    return actions_of(change, scene)


def actions_of(change: Transaction, scene: Scene) -> dict[str, list[str]]:
    installed = {package.name for package in change.install}
    removed = {package.name for package in change.remove}
    return {
        "install": sorted(installed - removed),
        "upgrade": sorted(installed & removed),
        "uninstall": sorted(removed - installed),
        "unaffected": sorted(scene.installed.keys() - installed - removed),
    }


def _space(call: Call, space: str) -> str:
    allowed = ["ea", *call.particulars.prefixes]
    if space.rstrip("-") not in allowed:
        raise BadParameters(f"“ns” must be one of {', '.join(allowed)}, not “{space[:40]}”.")
    return space.rstrip("-")


def _names(scene: Scene, space: str) -> list[str]:
    return sorted(
        name for name in {*scene.available, *scene.installed} if name.startswith(f"{space}-")
    )


def _state(scene: Scene, name: str) -> str:
    there, offered = scene.installed.get(name), scene.available.get(name)
    if there is None:
        return "not_installed"
    if offered and compare_evr(evr_of(offered.package), evr_of(there.package)) > 0:
        return "updatable"
    return "installed"


def _info(scene: Scene, name: str, description: Description) -> dict[str, Any]:
    there, offered = scene.installed.get(name), scene.available.get(name)
    entry: Entry | None = there or offered
    if entry is None:
        raise Failed(f"There is no package “{name}”.")
    state = _state(scene, name)
    latest = offered.package if offered and state != "installed" else entry.package
    package: Package = entry.package
    return {
        "package": name,
        "version": package.version,
        "release": package.release,
        "architecture": package.arch,
        "version_installed": there.package.evr if there else "",
        "version_latest": latest.evr,
        "state": state,
        "size": description.size,
        "license": description.license,
        "pkg_group": description.group,
        "repo_name": "NYI",
        "short_description": description.summary,
        "long_description": description.description or description.summary,
        "more_info_url": description.url or None,
        "pkg_dep": {
            "requires": [str(item) for item in entry.requires],
            "conflicts": [str(item) for item in entry.conflicts],
        },
    }
