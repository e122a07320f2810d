"""The shapes WHM answers in: API 1 with its ``metadata``, API 0 without it, each as JSON or XML.

Every outcome travels as HTTP 200 but refused credentials (403), a wrong method (405), a host name
that is not the panel's (400) and too many requests (429).

Sources: api.docs.cpanel.net ("Introduction to WHM API 1", the functions' own pages) and cPanel's
pages on return data of WHM API 0, where the data of a function are the top level of the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET


class Failed(Exception):
    """The function failed; ``str()`` is the reason for the caller, ``data`` the data it still
    gets."""

    def __init__(self, reason: str, *, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.data = dict(data or {})


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one call. ``version``: of the called API; ``about``: the function's additions
    to the metadata of API 1."""

    function: str
    version: int
    ok: bool
    reason: str = "OK"
    data: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        if self.version == 0:
            return _api_0(self)
        metadata = {
            "command": self.function,
            "reason": self.reason,
            "result": int(self.ok),
            "version": self.version,
            **self.about,
        }
        # WHM has no ``data`` if a function fails; ours may have some.
        return (
            {"data": dict(self.data), "metadata": metadata}
            if self.ok or self.data
            else {"metadata": metadata}
        )

    def as_xml(self) -> bytes:
        root = "result" if self.version else _tag(self.function)
        return to_xml(root, self.as_json())


def failed(function: str, reason: str, version: int = 1) -> Answer:
    return Answer(function[:100], version, ok=False, reason=reason)


def unknown(function: str, version: int) -> Answer:
    """WHM's message for an unknown function."""
    if version == 0:
        return failed(function, f"Unknown App Requested: {function}", version)
    reason = f'Unknown app ("{function}") requested for this version ({version}) of the API.'
    return failed(function, reason, version)


def denied() -> dict[str, Any]:
    """What WHM answers, with HTTP 403, to credentials that are not good; in its older shape."""
    return {
        "cpanelresult": {
            "apiversion": "2",
            "error": "Access denied",
            "data": {"reason": "Access denied", "result": "0"},
            "type": "text",
        }
    }


def bridged(module: str, answer: Answer) -> dict[str, Any]:
    """An answer in the shape of cPanel API 2, for clients that know no other."""
    result: dict[str, Any] = {
        "apiversion": 2,
        "module": module[:100],
        "func": answer.function,
        "event": {"result": int(answer.ok)},
        "data": [dict(answer.data)],
    }
    if not answer.ok:
        result["error"] = answer.reason
    return {"cpanelresult": result}


# -- API 0 -------------------------------------------------------------------------------------


def _restarted(answer: Answer) -> dict[str, Any]:
    service = answer.data.get("service", "httpd")
    output = answer.data.get("output", "") if answer.ok else answer.reason
    row = {
        "result": int(answer.ok),
        "service": service,
        "servicename": service,
        "rawout": output,
    }
    return {"restart": [row]}


_API_0: Mapping[str, Callable[[Answer], dict[str, Any]]] = {
    "myprivs": lambda answer: {"privs": answer.data["privileges"]},
    "restartservice": _restarted,
}
"""Functions whose data have other names in API 0."""
API_0 = frozenset(
    {"applist", "gethostname", "loadavg", "servicestatus", "systemloadavg", "version", *_API_0}
)
"""Functions of both versions: in API 0 their data are the top level of the answer."""
OF_ACCOUNTS = frozenset(
    (
        *("createacct", "removeacct", "suspendacct", "unsuspendacct", "modifyacct", "passwd"),
        *("changepackage", "listaccts", "accountsummary", "listsuspended", "editquota", "limitbw"),
        *("setacls", "setupreseller", "unsetupreseller", "suspendreseller", "unsuspendreseller"),
        *("terminatereseller", "adddns", "killdns", "addpkg", "editpkg", "killpkg", "listpkgs"),
        *("create_user_session", "api_token_create", "api_token_list", "api_token_revoke"),
        *("accesshash", "domainuserdata", "listips", "installssl", "reboot", "sethostname"),
    )
)
"""Functions of WHM that need privileges that do not exist here: this panel manages no accounts."""


def _api_0(answer: Answer) -> dict[str, Any]:
    """A success of a function that only API 1 has keeps that API's shape, ``metadata`` and all: a
    client that leaves out ``api.version`` there can read nothing else."""
    name = answer.function
    shaped = _API_0.get(name)
    if answer.ok:
        if shaped is not None:
            return shaped(answer)
        if name in API_0:
            return dict(answer.data)
        metadata = {"command": name, "reason": "OK", "result": 1, "version": 1, **answer.about}
        return {"data": dict(answer.data), "metadata": metadata}
    row = {"status": 0, "statusmsg": answer.reason}
    failure: dict[str, Any] = {
        **row,
        "error": answer.reason,
        "data": {**answer.data, "reason": answer.reason, "result": "0"},
        "metadata": {"command": name, "reason": answer.reason, "result": 0, "version": 0},
    }
    if name == "restartservice":
        return {**failure, **_restarted(answer)}
    # Functions of accounts answer with one row for each account.
    return {**failure, "result": [row]} if name in OF_ACCOUNTS else failure


# -- XML ---------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(root: str, data: Mapping[str, Any]) -> bytes:
    """A mapping as WHM writes it: an element for each key, and for each entry of a list."""
    top = ET.Element(root)
    _fill(top, data)
    ET.indent(top)
    text: str = ET.tostring(top, encoding="unicode")
    return f'<?xml version="1.0" ?>\n{text}\n'.encode()


def _fill(parent: ET.Element, value: Any) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            for one in inner if isinstance(inner, list) else [inner]:
                _fill(ET.SubElement(parent, _tag(str(key))), one)
    elif value is not None:
        parent.text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _tag(name: str) -> str:
    return name if _NAME.match(name) else "item"
