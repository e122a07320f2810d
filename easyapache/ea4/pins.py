"""What ``exclude=`` and the versionlock plugin hold back. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from easyapache.ea4.profile import Package


def pinned(patterns: Iterable[str], package: Package) -> str | None:
    """The first pattern that fits a package, in any of the spellings dnf takes."""
    spellings = (
        package.name,
        f"{package.name}.{package.arch}",
        f"{package.name}-{package.version}",
        f"{package.name}-{package.version}-{package.release}",
        package.nevra,
        f"{package.name}-{package.epoch}:{package.version}-{package.release}.{package.arch}",
        f"{package.epoch}:{package.name}-{package.version}-{package.release}.{package.arch}",
    )
    for pattern in patterns:
        plain = pattern.removeprefix("!")
        if any(fnmatchcase(spelling, plain) for spelling in spellings):
            return pattern
        if plain.endswith(".*") and any(fnmatchcase(s, plain[:-2]) for s in spellings):
            return pattern
    return None
