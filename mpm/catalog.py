"""What exists: the three MPMs, ITK, and what a person can choose."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

PREFIX = "ea-apache24-"
CGI = f"{PREFIX}mod_cgi"
CGID = f"{PREFIX}mod_cgid"
ITK = f"{PREFIX}mod_mpm_itk"
RUID2 = f"{PREFIX}mod_ruid2"
SUEXEC = f"{PREFIX}mod_suexec"
SUPHP = f"{PREFIX}mod_suphp"
FCGID = f"{PREFIX}mod_fcgid"
HTTP2 = f"{PREFIX}mod_http2"
HCHECK = f"{PREFIX}mod_proxy_hcheck"
QOS = f"{PREFIX}mod-qos"

PACKAGE_NAME = re.compile(r"ea-[a-z0-9][a-z0-9_.+-]{0,126}\Z")
"""A name that may be asked for. It cannot start with a dash, hold a slash, a blank or a
shell character, and it must be one of EasyApache 4's own."""


class MPM(StrEnum):
    """A Multi-Processing Module. ``prefork`` is what httpd gets when nobody chooses."""

    EVENT = "event"
    WORKER = "worker"
    PREFORK = "prefork"

    @property
    def package(self) -> str:
        return f"{PREFIX}mod_mpm_{self.value}"

    @property
    def threaded(self) -> bool:
        return self is not MPM.PREFORK

    @property
    def cgi_package(self) -> str:
        """The CGI module that goes with it: mod_cgid with threads, mod_cgi without."""
        return CGID if self.threaded else CGI

    @property
    def manual(self) -> str:
        """Apache's own page about it."""
        page = "prefork" if self is MPM.PREFORK else self.value
        return f"https://httpd.apache.org/docs/2.4/mod/{page}.html"


DEFAULT_MPM = MPM.PREFORK


class BadChoice(ValueError):
    """What was asked for does not exist. The message says what does."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person asks for.

    ``add``: packages to install along with the change; ``keep``: packages that must still be
    there afterwards (a plan that would take one of them is blocked).
    """

    mpm: MPM
    itk: bool = False
    add: frozenset[str] = field(default_factory=frozenset)
    keep: frozenset[str] = field(default_factory=frozenset)

    def as_json(self) -> dict[str, Any]:
        return {
            "mpm": self.mpm.value,
            "itk": self.itk,
            "add": sorted(self.add),
            "keep": sorted(self.keep),
        }

    @property
    def label(self) -> str:
        return f"{self.mpm.value} with ITK" if self.itk else self.mpm.value

    @classmethod
    def parse(
        cls,
        mpm: str | None,
        itk: bool = False,
        add: Iterable[str] = (),
        keep: Iterable[str] = (),
    ) -> Choice:
        """Make a choice from what somebody typed.

        An empty ``mpm`` means the default. Raises BadChoice for an MPM that does not exist
        and for a package name that EasyApache 4 could not have.
        """
        name = (mpm or DEFAULT_MPM.value).strip().lower()
        if name not in set(MPM):
            hint = " ITK is not an MPM: choose prefork and switch ITK on." if "itk" in name else ""
            known = ", ".join(item.value for item in MPM)
            raise BadChoice(f"There is no MPM called {name[:60]!r}. Choose one of {known}.{hint}")
        wanted, kept = frozenset(add), frozenset(keep)
        for package in sorted(wanted | kept):
            if not PACKAGE_NAME.match(package):
                raise BadChoice(
                    f"{package[:80]!r} is not the name of an EasyApache 4 package. "
                    "Names start with ea- and hold lower-case letters, digits, dots, + _ and -."
                )
        return cls(mpm=MPM(name), itk=itk, add=wanted, keep=kept)
