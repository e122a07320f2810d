"""EasyApache 4 profile files: the packages a server should have, as JSON.

A file holds ``name``, ``desc``, ``version``, ``tags`` and ``pkgs`` (the whole list of packages);
``pre`` and ``os_upgrade`` are optional. Provisioning a profile means: the listed packages and their
requirements are installed, and every other ``ea-`` package is removed. This panel does not
provision; it reads, writes and compares such files, and uses the MPM part of one as a choice.

Package names are kept as rpm has them (``mod_mpm_event``); names of Debian's packages
(``mod-mpm-event``) are translated.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from easyapache.ea4.profile import Profile
from easyapache.ea4.relations import Scene
from easyapache.ea4.sentences import Sentence

MOST_BYTES = 1024 * 1024
"""Bytes. A list of every EasyApache 4 package is 40 kB; a larger file is no profile."""
MOST_PACKAGES = 5000
REQUIRED = ("name", "desc", "version", "tags", "pkgs")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,127}\Z")
_FILE_NAME = re.compile(r"[^\x00-\x1f/\\\ud800-\udfff]{1,120}\Z")
_BUILD = re.compile(
    r"(.+?)(?:-\d[^-]*-[^-]+)?\.(?:x86_64|aarch64|noarch|i[3-6]86|src)\Z"
    r"|(.+?)-\d[^-]*-\d[^-]*\Z"
)
"""A name as ``rpm -qa`` and ``yum list`` print it, with a version or an architecture."""
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")
MPM_PREFIX = "ea-apache24-mod_mpm_"
MPMS = ("event", "prefork", "worker")


class BadProfile(ValueError):
    """A file that is not an EasyApache 4 profile. ``message`` has the problem."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """One profile as a value. ``packages`` is sorted and holds each name once."""

    name: str
    desc: str
    version: str
    tags: tuple[str, ...]
    packages: tuple[str, ...]
    pre: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.packages)

    @property
    def mpms(self) -> tuple[str, ...]:
        """The MPMs it lists (one, in a file that can be provisioned); ITK is none."""
        return tuple(name for name in MPMS if f"{MPM_PREFIX}{name}" in self.packages)

    @property
    def itk(self) -> bool:
        return f"{MPM_PREFIX}itk" in self.packages

    def as_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "name": self.name,
            "desc": self.desc,
            "version": self.version,
            "tags": list(self.tags),
            "pkgs": list(self.packages),
        }
        if self.pre:
            data["pre"] = list(self.pre)
        return data | dict(self.extra)

    def as_text(self) -> str:
        return json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A profile compared with the installed packages.

    ``missing``: listed but not installed. ``unlisted``: installed, but neither listed nor required
    by a listed package; provisioning would remove them. ``needed``: installed and not listed, but
    required by a listed package. ``unknown``: listed, but in no repository.
    """

    missing: tuple[str, ...]
    unlisted: tuple[str, ...]
    needed: tuple[str, ...]
    unknown: tuple[str, ...]
    same: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return not (self.missing or self.unlisted or self.unknown)


def check_file_name(name: str) -> str:
    """A name for ``name.json``, without the ending. Raises BadProfile."""
    bare = name.strip().removesuffix(".json")
    if bare in ("", ".", "..") or not _FILE_NAME.match(bare):
        raise BadProfile(
            Sentence("A file name has 1 to 120 characters, is not . or .., and contains no slash.")
        )
    return bare


def canonical(name: str, known: Iterable[str]) -> str:
    """The rpm name of a package that may have its Debian name; unknown names are kept."""
    names = set(known)
    if name in names:
        return name
    dashed = {item.replace("_", "-"): item for item in names}
    return dashed.get(name.replace("_", "-"), name)


def parse(raw: bytes, known: Iterable[str] = ()) -> ProfileFile:
    """Read a profile file. ``known``: every package name the repositories have.

    Raises BadProfile with a sentence for the person who sent the file.
    """
    if len(raw) > MOST_BYTES:
        raise BadProfile(
            Sentence(
                "The file is larger than {size} kB, the limit for a profile.",
                size=MOST_BYTES // 1024,
            )
        )
    try:
        data = json.loads(raw.decode("utf-8-sig"))  # editors on Windows begin a file with a BOM
    except UnicodeDecodeError as error:
        raise BadProfile(Sentence("The file is not UTF-8 text.")) from error
    except (ValueError, RecursionError) as error:  # JSON, or a number of thousands of digits
        message = (
            Sentence("The file is not JSON (line {line}).", line=error.lineno)
            if isinstance(error, json.JSONDecodeError)
            else Sentence("The file is not JSON.")
        )
        raise BadProfile(message) from error
    if not _is_plain(data):
        raise BadProfile(Sentence("The file contains characters or numbers that can't be stored."))
    if not isinstance(data, dict):
        raise BadProfile(Sentence("A profile must be a JSON object."))
    missing = [key for key in REQUIRED if key not in data]
    if missing:
        raise BadProfile(Sentence("The profile is missing {names}.", names=", ".join(missing)))
    tags = data["tags"]
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadProfile(Sentence("“tags” must be a list of strings."))
    if not isinstance(data["version"], str | int | float) or isinstance(data["version"], bool):
        raise BadProfile(Sentence("“version” must be a string or a number."))
    if not isinstance(data["name"], str) or not data["name"].strip():
        raise BadProfile(Sentence("“name” must be a non-empty string."))
    if ".." in re.split(r"[/\\]", data["name"]):
        raise BadProfile(Sentence("“name” must not contain “../”."))
    if not isinstance(data["desc"], str):
        raise BadProfile(Sentence("“desc” must be a string."))
    names = tuple(known)
    return ProfileFile(
        name=data["name"].strip()[:200],
        desc=data["desc"][:2000],
        version=str(data["version"])[:40],
        tags=tuple(tag[:100] for tag in tags[:50]),
        packages=_packages(data["pkgs"], "pkgs", names),
        pre=_packages(data.get("pre", []), "pre", names),
        extra={"os_upgrade": data["os_upgrade"]} if "os_upgrade" in data else {},
    )


def _is_plain(data: Any) -> bool:
    """Whether every database and every download can hold it: JSON may name half a character, a
    NUL, and a number that is none."""
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, float):
            if not math.isfinite(item):
                return False
        elif isinstance(item, str) and _NO_TEXT.search(item):
            return False
    return True


def _packages(items: Any, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(items, list):
        raise BadProfile(Sentence("“{key}” must be a list of package names.", key=key))
    if len(items) > MOST_PACKAGES:
        raise BadProfile(
            Sentence("“{key}” lists more than {most} packages.", key=key, most=MOST_PACKAGES)
        )
    for item in items:
        if not isinstance(item, str) or not _PACKAGE.match(item):
            raise BadProfile(
                Sentence(
                    "“{key}” contains {name!r}, which is not a package name.",
                    key=key,
                    name=str(item)[:60],
                )
            )
    names = {str(item) for item in items}
    exact = set(known)
    dashed = {name.replace("_", "-"): name for name in exact}
    renamed = {_known_as(name, dashed) for name in names - exact}
    return tuple(sorted((names & exact) | renamed))


def _known_as(name: str, dashed: Mapping[str, str]) -> str:
    """The package that is known and meant by a name as Debian has it, or as a package manager
    lists it with its version and architecture; else the name as it is."""
    found = dashed.get(name.replace("_", "-"))
    if found is None and (listed := _BUILD.match(name)):
        found = dashed.get((listed[1] or listed[2]).replace("_", "-"))
    return found or name


def of_installed(profile: Profile, name: str, desc: str = "") -> ProfileFile:
    """The current state as a profile: every EasyApache 4 package but the profiles' own."""
    tags = []
    httpd = profile.facts.get("httpd_version")
    if httpd:
        tags.append(f"Apache {'.'.join(str(httpd).split('.')[:2])}")
    packages = tuple(
        sorted(
            item.name
            for item in profile.packages
            if item.name.startswith("ea-") and item.name != "ea-profiles-cpanel"
        )
    )
    tags += [f"MPM {item.removeprefix(MPM_PREFIX)}" for item in packages if MPM_PREFIX in item]
    tags += [
        f"PHP {digits[0]}.{digits[1:]}"
        for digits in sorted(
            {
                found.group(1)
                for found in (re.match(r"ea-php(\d{2,3})\Z", p) for p in packages)
                if found
            }
        )
    ]
    return ProfileFile(name=name, desc=desc, version="1.0", tags=tuple(tags), packages=packages)


def compare(
    wanted: ProfileFile, installed: Profile, scene: Scene, spaces: Iterable[str] = ("ea",)
) -> Comparison:
    """``wanted`` compared with the packages in ``installed`` of these namespaces. ``scene`` has the
    relations and the available packages."""
    prefixes = tuple(f"{space}-" for space in spaces)
    present = frozenset(name for name in installed.names if name.startswith(prefixes))
    unknown = {name for name in wanted.names - present if scene.describe(name) is None}
    needed = _required_by(wanted.names, present, scene)
    return Comparison(
        missing=tuple(sorted(wanted.names - present - unknown)),
        unlisted=tuple(sorted(present - wanted.names - needed)),
        needed=tuple(sorted(needed - wanted.names)),
        unknown=tuple(sorted(unknown)),
        same=tuple(sorted(wanted.names & present)),
    )


def _required_by(listed: frozenset[str], present: frozenset[str], scene: Scene) -> frozenset[str]:
    """The installed packages that the listed ones need, at any distance. What a listed package
    itself provides needs no other: with worker listed, nothing needs prefork to have an MPM."""
    entries = {name: scene.describe(name) for name in present | listed}
    offering: dict[str, list[str]] = {}
    for name, entry in entries.items():
        for offer in entry.provides if entry else ():
            offering.setdefault(offer.name, []).append(name)
    found: set[str] = set()
    waiting = list(listed & present)
    while waiting:
        entry = entries.get(waiting.pop())
        for wanted in entry.requires if entry else ():
            able = [
                name
                for name in offering.get(wanted.name, ())
                if (other := entries[name]) is not None and other.offers(wanted)
            ]
            if listed.isdisjoint(able):
                fresh = set(able) - found
                found |= fresh
                waiting += fresh
    return frozenset(found)


__all__ = [
    "BadProfile",
    "Comparison",
    "ProfileFile",
    "canonical",
    "check_file_name",
    "compare",
    "of_installed",
    "parse",
]
