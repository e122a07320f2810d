"""What a server says of EasyApache 4 beyond its profile: what each package is, and what EasyApache
4's own files hold. Much, seldom another, and asked for by WHM's clients only: so it is kept once
for each server and not with every profile. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import resources
from typing import Any

from easyapache.ea4.profile import digest_of
from easyapache.ea4.schema import BadMessage, Schema, read

TOOLS = "ea-cpanel-tools"
"""The package that brings these files."""
METAINFO = "etc/cpanel/ea4/ea4-metainfo.json"
RECOMMENDATIONS = "etc/cpanel/ea4/recommendations"
"""A folder for each package that something is recommended for, with a file for each thing."""
PREFIXES = "etc/cpanel/ea4/additional-pkg-prefixes"
"""A folder with an entry for each prefix of packages, beside ``ea``, that is in use."""

_LONGEST_LINE, _LONGEST_TEXT = 300, 4000


@dataclass(frozen=True, slots=True)
class Description(Schema):
    """One package in words. ``size``: bytes once it is installed; 0 where nobody knows it."""

    summary: str = ""
    description: str = ""
    license: str = ""
    group: str = ""
    url: str = ""
    size: int = 0

    def __post_init__(self) -> None:
        """Whatever a package says of itself, cut to what can be shown."""
        for item in fields(self):
            if item.name != "size":
                longest = _LONGEST_TEXT if item.name == "description" else _LONGEST_LINE
                object.__setattr__(self, item.name, getattr(self, item.name)[:longest])
        object.__setattr__(self, "size", max(0, self.size))


Descriptions = Mapping[str, Description]


@dataclass(frozen=True, slots=True)
class Particulars(Schema):
    """``installed`` is what the rpm database says of the packages there, ``offered`` what the
    package manager's metadata says of those that could be. ``metainfo`` is the content of
    ea4-metainfo.json, ``recommendations`` that of the files for each installed package,
    ``prefixes`` whose packages are in use beside EasyApache 4's.
    """

    installed: Descriptions = field(default_factory=dict)
    offered: Descriptions = field(default_factory=dict)
    metainfo: Mapping[str, Any] = field(default_factory=dict)
    recommendations: Mapping[str, list[Any]] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()

    def of(self, name: str) -> Description:
        """A package in words: its server's, else those this project ships (without a size), else
        its name and nothing more."""
        description = self.installed.get(name) or self.offered.get(name) or shipped().get(name)
        return description or Description(summary=name)

    @property
    def digest(self) -> str:
        return digest_of(self.as_json())

    @classmethod
    def from_json(cls, data: Any) -> Particulars:
        """Raises BadMessage, also where anything is missing: it replaces what is known."""
        metadata = read(cls, data)
        if missing := [item.name for item in fields(cls) if item.name not in data]:
            raise BadMessage(f"{missing[0]} is missing")
        return metadata

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefixes", tuple(sorted(self.prefixes)))


def described(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Description]:
    return read(dict[str, Description], data)


@cache
def shipped() -> Descriptions:
    """The packages of the catalogue in this project's words; nobody has weighed them."""
    return described(json.loads(_data("descriptions.json")))


@cache
def files_of_the_tools() -> Mapping[str, str]:
    """{path: text} of what EasyApache 4's tools bring, as far as anything here reads it: for
    servers that are built or imagined here."""
    advice = _data("recommendation_dso.json")
    dso = (name for name in shipped() if name.startswith("ea-php") and name.endswith("-php"))
    return {
        METAINFO: _data("metainfo.json"),
        **{f"{RECOMMENDATIONS}/{name}/dso.json": advice for name in dso},
    }


def imagined(names: Iterable[str]) -> Particulars:
    """Those of a server that is not real and has these packages. It has no sizes, as it has no
    disk."""
    names = set(names)
    if TOOLS not in names:
        return Particulars()
    files = files_of_the_tools()
    advice = {name: f"{RECOMMENDATIONS}/{name}/dso.json" for name in sorted(names)}
    return Particulars(
        metainfo=json.loads(files[METAINFO]),
        recommendations={
            name: [json.loads(files[path])] for name, path in advice.items() if path in files
        },
    )


def _data(name: str) -> str:
    return resources.files("easyapache.ea4").joinpath(f"data/{name}").read_text("utf-8")
