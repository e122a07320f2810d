"""What clients of WHM call first: is this WHM, which functions are there, what may I do."""

from __future__ import annotations

from typing import Any

from mpm import VERSION
from mpm.access.scopes import Scope
from mpm.access.services.actor import Refused
from mpm.whmapi.call import FUNCTIONS, Call, function
from mpm.whmapi.envelope import OF_ACCOUNTS, Failed

LOAD = ("one", "five", "fifteen")
PRIVILEGES = (
    *("acct-summary", "add-pkg", "all", "basic-system-info", "basic-whm-functions", "clustering"),
    *("cpanel-api", "create-acct", "create-dns", "create-user-session", "edit-account", "edit-dns"),
    *("edit-mx", "edit-pkg", "kill-acct", "kill-dns", "list-accts", "list-pkgs", "locale-edit"),
    *("manage-api-tokens", "mysql-info", "news", "passwd", "quota", "rearrange-accts", "resftp"),
    *("restart", "show-bandwidth", "ssl", "ssl-gencrt", "ssl-info", "stats", "status"),
    *("suspend-acct", "track-email", "upgrade-account", "viewglobalpackages"),
)
"""Names of WHM's privileges that ``myprivs`` lists, of which a caller here may have a few."""


@function("version", anywhere=True)
def whm_version(call: Call) -> dict[str, Any]:
    """The version of cPanel on the server, where its agent has seen one; else this panel's."""
    try:
        found = call.profile.facts.get("cpanel_version") if call.meant else None
    except Refused:  # its agent has not reported yet
        found = None
    return {"version": str(found or VERSION)}


@function("gethostname", anywhere=True)
def gethostname(call: Call) -> dict[str, Any]:
    return {"hostname": call.meant.hostname if call.meant else call.host}


@function("applist", anywhere=True)
def applist(call: Call) -> dict[str, Any]:
    """The functions that this caller may call."""
    scopes = call.caller.scopes
    return {"app": sorted(name for name, known in FUNCTIONS.items() if known.scope in scopes)}


@function("myprivs", anywhere=True)
def myprivs(call: Call) -> dict[str, Any]:
    """Privileges by WHM's names: users who may change servers may restart services."""
    caller = call.caller
    change = Scope.CHANGE in caller.scopes
    held = {
        "basic-system-info": True,
        "basic-whm-functions": True,
        "status": True,
        "restart": change,
        "all": change and caller.token is None,
    }
    return {"privileges": [{name: int(held.get(name, False)) for name in PRIVILEGES}]}


@function("systemloadavg")
def systemloadavg(call: Call) -> dict[str, Any]:
    """The server's data at the last scan."""
    load = call.profile.facts.get("load_average")
    if not isinstance(load, list) or len(load) != len(LOAD):
        raise Failed(f"The load of {call.server} is unknown: its agent hasn't reported it.")
    return {name: f"{float(value):.2f}" for name, value in zip(LOAD, load, strict=True)}


function("loadavg")(systemloadavg)


def of_accounts(name: str) -> Failed | None:
    """The refusal of a function for accounts; None for all other names.

    A client may first request a session (``create_user_session``), only to put its security token
    into later URLs. Sessions are not created here, and such a token is ignored, so the refusal
    includes one.
    """
    if name not in OF_ACCOUNTS:
        return None
    data = {"cp_security_token": "/cpsess0000000000"} if name == "create_user_session" else {}
    return Failed(
        f"You do not have permission to call “{name}”: this panel manages the Apache MPM, "
        f"not accounts, sessions or DNS.",
        data=data,
    )
