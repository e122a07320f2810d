"""The ``package_manager_…`` functions that look: what there is, and what an action would do."""

from __future__ import annotations

from typing import Any

from easyapache.capabilities import Entry, evr_of
from easyapache.profile import Package, Transaction
from easyapache.profile_file import ProfileFile, canonical, compare
from easyapache.resolution import Scene, Unsolvable
from easyapache.versions import compare_evr
from mpm.whmapi.call import Call, function
from mpm.whmapi.envelope import Failed
from mpm.whmapi.parameters import BadParameters
from mpm.whmapi.profiles import prefixes_of

STATES = ("any", "installed", "not_installed", "updatable")


@function("package_manager_list_packages")
def list_packages(call: Call) -> dict[str, Any]:
    wanted = call.parameters.text("state", "any") or "any"
    if wanted not in STATES:
        raise BadParameters(f"“state” must be one of {', '.join(STATES)}.")
    scene = call.scene(call.profile)
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
    """By name, or every package of a namespace; one of the two and not both."""
    spaces, names = call.parameters.many("ns"), call.parameters.many("package")
    if bool(spaces) == bool(names):
        raise BadParameters("Provide either the “ns” or the “package” argument.")
    call.parameters.flag("disable-excludes")
    profile = call.profile
    scene = call.scene(profile)
    known = {*scene.available, *scene.installed}
    if names:
        wanted = [canonical(name, known) for name in names]
    else:
        wanted = [name for space in spaces for name in _names(scene, _space(call, space))]
    return {"packages": [_info(scene, name) for name in dict.fromkeys(wanted) if name in known]}


@function("package_manager_resolve_actions")
def resolve_actions(call: Call) -> dict[str, Any]:
    """What would follow from having these packages.

    With ``ns`` the list is the whole wanted set of that namespace, and what is not in it goes;
    without, it is what should be added to what is there.
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
    space = call.parameters.text("ns")
    remove: tuple[str, ...] = ()
    if space:
        prefix = f"{_space(call, space)}-"
        whole = ProfileFile("", "", "", (), tuple(sorted(set(names))))
        remove = tuple(
            name for name in compare(whole, profile, scene).unlisted if name.startswith(prefix)
        )
    try:
        change = scene.resolve(names, remove)
    except Unsolvable as error:
        raise Failed(" ".join(error.reasons)) from error
    return actions_of(change, scene)


def actions_of(change: Transaction, scene: Scene) -> dict[str, list[str]]:
    coming = {package.name for package in change.install}
    leaving = {package.name for package in change.remove}
    return {
        "install": sorted(coming - leaving),
        "upgrade": sorted(coming & leaving),
        "uninstall": sorted(leaving - coming),
        "unaffected": sorted(
            name
            for name in scene.installed
            if name.startswith("ea-") and name not in coming | leaving
        ),
    }


def _space(call: Call, space: str) -> str:
    allowed = ["ea", *prefixes_of(call)]
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


def _info(scene: Scene, name: str) -> dict[str, Any]:
    there, offered = scene.installed.get(name), scene.available.get(name)
    entry: Entry | None = there or offered
    if entry is None:
        raise Failed(f"There is no package “{name}”.")
    state = _state(scene, name)
    latest = offered.package if offered and state != "installed" else entry.package
    package: Package = entry.package
    short = name.removeprefix("ea-")
    return {
        "package": name,
        "version": package.version,
        "release": package.release,
        "architecture": package.arch,
        "version_installed": there.package.evr if there else "",
        "version_latest": latest.evr,
        "state": state,
        # Not in the profile the panel keeps of a server: unknown, rather than nothing.
        "size": None,
        "license": None,
        "pkg_group": "",
        "repo_name": "NYI",
        "short_description": short,
        "long_description": f"{short}, as EasyApache 4 packages it.",
        "more_info_url": None,
        "pkg_dep": {
            "requires": [str(item) for item in entry.requires],
            "conflicts": [str(item) for item in entry.conflicts],
        },
    }
