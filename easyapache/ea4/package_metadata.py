"""A server's data about EasyApache 4 besides its profile: descriptions of packages, and the
contents of EasyApache 4's own files. It is large, rarely changes, and only WHM's clients need it:
so it is stored once per server and not with every profile. Pure.
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
"""A folder with an entry for each prefix of packages in use besides ``ea``."""

_LONGEST_LINE, _LONGEST_TEXT = 300, 4000


@dataclass(frozen=True, slots=True)
class Description(Schema):
    """The description of one package. ``size``: installed size in bytes; 0 if unknown."""

    summary: str = ""
    description: str = ""
    license: str = ""
    group: str = ""
    url: str = ""
    size: int = 0

    def __post_init__(self) -> None:
        """A package's own description, shortened for display."""
        for item in fields(self):
            if item.name != "size":
                longest = _LONGEST_TEXT if item.name == "description" else _LONGEST_LINE
                object.__setattr__(self, item.name, getattr(self, item.name)[:longest])
        object.__setattr__(self, "size", max(0, self.size))


Descriptions = Mapping[str, Description]


@dataclass(frozen=True, slots=True)
class Particulars(Schema):
    """``installed`` has the descriptions in the rpm database, ``offered`` those in the package
    manager's metadata. ``metainfo`` is the content of ea4-metainfo.json, ``recommendations`` that
    of the files of each installed package, ``prefixes`` those of other packages in use besides
    EasyApache 4's.
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
        """Raises BadMessage, also if anything is missing: it replaces the stored data."""
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
    """This project's descriptions of the packages in the catalog, without sizes."""
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
