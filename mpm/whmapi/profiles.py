"""The ``ea4_…`` functions: installed packages, profiles, and EasyApache 4's own metadata."""

from __future__ import annotations

import re
from typing import Any

from django.utils import timezone

from easyapache.ea4.profile_file import BadProfile, ProfileFile, canonical, check_file_name, compare
from easyapache.ea4.relations import load_catalogue
from mpm.access.scopes import Scope
from mpm.servers.models import SavedProfile
from mpm.servers.profile_library import NameTaken, Shelved, save, saved_profiles, stock_profiles
from mpm.whmapi.call import Call, function
from mpm.whmapi.envelope import Failed

PREFIX = "ea-"
FOLDER = "/etc/cpanel/ea4/profiles/custom"
"""Where a cPanel server keeps them: clients show this path, none opens it."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,127}\Z")


@function("ea4_get_currently_installed_packages")
def installed_packages(call: Call) -> dict[str, Any]:
    return {"packages": sorted(name for name in call.profile.names if name.startswith(PREFIX))}


@function("ea4_list_profiles")
def list_profiles(call: Call) -> dict[str, Any]:
    return {
        "cpanel": [_profile(call, item) for item in stock_profiles()],
        "custom": [_profile(call, item) for item in saved_profiles()],
    }


def _profile(call: Call, item: Shelved) -> dict[str, Any]:
    profile = call.profile
    comparison = compare(item.file, profile, call.scene(profile))
    return {
        "name": item.file.name,
        "desc": item.file.desc,
        "version": str(item.file.version),
        "pkgs": list(item.file.packages),
        "tags": list(item.file.tags),
        "path": f"{item.file_name}.json",
        "active": int(comparison.equal),
        "validation_data": {"not_on_server": list(comparison.unknown)},
    }


@function("ea4_save_profile", Scope.CHANGE)
def save_profile(call: Call) -> dict[str, Any]:
    """Keeps a profile among the panel's own; stock profiles are never touched."""
    call.caller.must_reach_everything("ea4_save_profile")
    parameters = call.parameters
    known = [*load_catalogue().entries, *call.profile.names]
    names = [canonical(name, known) for name in parameters.many("pkg")]
    if not names:
        parameters.required("pkg")
    wrong = [name for name in names if not _NAME.match(name)]
    if wrong:
        raise Failed(f"“{wrong[0][:60]}” is not the name of a package.")
    try:
        bare = check_file_name(parameters.required("filename"))
        shelved = save(
            ProfileFile(
                name=parameters.required("name").strip()[:200],
                desc=parameters.text("desc")[:2000],
                version=(parameters.text("version") or "0")[:40],
                tags=tuple(tag[:100] for tag in parameters.many("tag")[:50]),
                packages=tuple(sorted(set(names))),
            ),
            file_name=bare,
            origin=SavedProfile.Origin.CUSTOM,
            by=call.caller.actor.name,
            at=timezone.now(),
            overwrite=parameters.flag("overwrite"),
            who=call.caller.actor,
        )
    except NameTaken as error:
        raise Failed(str(error), data={"already_exists": 1}) from error
    except BadProfile as error:
        raise Failed(str(error)) from error
    return {"path": f"{FOLDER}/{shelved.file_name}.json"}


@function("ea4_recommendations")
def recommendations(call: Call) -> dict[str, Any]:
    """EasyApache 4's recommendations for the installed packages, by package name."""
    names = call.profile.names
    found = call.particulars.recommendations
    return {name: found[name] for name in sorted(found) if name in names}


@function("ea4_metainfo")
def metainfo(call: Call) -> dict[str, Any]:
    """The content of the server's own ``ea4-metainfo.json``; nothing where it has none."""
    return dict(call.particulars.metainfo)


@function("ea4_get_additional_pkg_prefixes")
def additional_prefixes(call: Call) -> dict[str, Any]:
    """Of other vendors' packages on that server."""
    return {"additional_pkg_prefixes": list(call.particulars.prefixes)}
