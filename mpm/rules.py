"""What is allowed, and what a person ought to know before they allow it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """``block`` stops the change, ``warn`` asks for thought, ``note`` informs, ``gain`` pleases."""

    BLOCK = "block"
    WARN = "warn"
    NOTE = "note"
    GAIN = "gain"


@dataclass(frozen=True, slots=True)
class Fix:
    """A way out of a finding that is itself a choice: what to add to it or alter in it."""

    label: str
    add: tuple[str, ...] = ()
    unkeep: tuple[str, ...] = ()
    mpm: str | None = None
    itk: bool | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "add": list(self.add),
            "unkeep": list(self.unkeep),
            "mpm": self.mpm,
            "itk": self.itk,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a rule has to say about a choice on a server.

    ``code`` never changes once released: scripts match on it.
    """

    code: str
    severity: Severity
    title: str
    message: str
    remedy: str = ""
    packages: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity.value,
            "title": self.title,
            "message": self.message,
            "remedy": self.remedy,
            "packages": list(self.packages),
            "fixes": [fix.as_json() for fix in self.fixes],
        }
