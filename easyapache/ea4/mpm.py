"""What exists: the three MPMs, ITK, and what a person can choose."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from easyapache.ea4.profile import MOST_PACKAGES, Observation
from easyapache.ea4.schema import Schema
from easyapache.ea4.sentences import Sentence, joined

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
LSAPI = f"{PREFIX}mod_lsapi"
NGINX = "ea-nginx"
PROXY_BALANCER = f"{PREFIX}mod_proxy_balancer"

MPM_CAPABILITY = "ea-apache24-mpm"
"""Provided by every MPM package, with ``forked`` or ``threaded`` for its version."""
AS_USER_CAPABILITY = "ea-apache24-exec_code_asuser"
"""Provided by what runs a site's code as the account's user: suexec, suphp, ruid2, ITK."""
DSO_CAPABILITY = "ea-mod_php"
"""Provided by PHP as an Apache module (DSO); it exists up to PHP 7.4 and is not thread-safe."""

PHP_DSO = re.compile(r"ea-php([57][0-9])-php\Z")

PACKAGE_NAME = re.compile(r"ea-[a-z0-9][a-z0-9_.+-]{0,126}\Z")
"""A package name that may be requested. It cannot start with a dash or contain a slash, a blank or
a shell character, and must be one of EasyApache 4's own."""
PackageSet = Annotated[
    frozenset[
        Annotated[
            str,
            Meta(pattern=f"^{PACKAGE_NAME.pattern}", description="an EasyApache 4 package name"),
        ]
    ],
    Meta(max_length=MOST_PACKAGES),
]


class MPM(StrEnum):
    """A Multi-Processing Module. ``prefork`` is the default of httpd."""

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
    def kind(self) -> str:
        return "threaded" if self.threaded else "forked"

    @property
    def summary(self) -> str:
        return _SUMMARIES[self.value]

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

_SUMMARIES = {
    "event": (
        "Worker threads serve active connections; a listener thread parks idle keep-alive ones. "
        "Suits occasional bursts and long keep-alive."
    ),
    "worker": (
        "Several processes with many threads each. A crash takes one process with it, "
        "not the whole service."
    ),
    "prefork": (
        "One process per request. Needed by modules that are not thread-safe; uses the most memory."
    ),
}
ITK_SUMMARY = (
    "Runs each virtual host under its own user. Not an MPM: it can only be added to prefork "
    "on Apache 2.4."
)


def short(package: str) -> str:
    """The short name for people: ``ea-apache24-mod_cgid`` is mod_cgid, ``ea-php82`` is php82."""
    for prefix in (PREFIX, "ea-"):
        if package.startswith(prefix):
            return package.removeprefix(prefix)
    return package


def installed(names: Iterable[str]) -> Observation:
    """Which MPMs, and whether ITK, a set of package names holds: the first of the three
    observations of a server."""
    have = frozenset(names)
    return Observation(
        mpms=tuple(sorted(mpm.value for mpm in MPM if mpm.package in have)), itk=ITK in have
    )


class BadChoice(ValueError):
    """The requested MPM or package does not exist. The message lists what does."""


@dataclass(frozen=True, slots=True)
class Choice(Schema):
    """The selection of a person.

    ``add``: packages to install along with the change; ``keep``: packages that must not be removed
    (a plan that would remove one of them is blocked).
    """

    mpm: MPM
    itk: bool = False
    add: PackageSet = field(default_factory=frozenset)
    keep: PackageSet = field(default_factory=frozenset)

    @property
    def label(self) -> str:
        return Sentence("{mpm} with ITK", mpm=self.mpm.value) if self.itk else self.mpm.value

    def with_fix(
        self,
        *,
        add: Iterable[str] = (),
        unkeep: Iterable[str] = (),
        mpm: str | None = None,
        itk: bool | None = None,
    ) -> Choice:
        """This choice after a fix that a finding offered. ITK that is to be left off is not added
        as a package either."""
        off = {ITK} if itk is False else frozenset()
        return replace(
            self,
            mpm=MPM(mpm) if mpm else self.mpm,
            itk=self.itk if itk is None else itk,
            add=(self.add | frozenset(add)) - off,
            keep=self.keep - frozenset(unkeep),
        )

    @classmethod
    def parse(
        cls,
        mpm: str | None,
        itk: bool = False,
        add: Iterable[str] = (),
        keep: Iterable[str] = (),
    ) -> Choice:
        """Make a choice from user input.

        An empty ``mpm`` means the default. Raises BadChoice for an MPM that does not exist
        and for a package name that EasyApache 4 could not have.
        """
        name = (mpm or DEFAULT_MPM.value).strip().lower()
        if name not in set(MPM):
            names = ", ".join(item.value for item in MPM)
            message = Sentence(
                "{name!r} is not an MPM. Select one of {known}.",
                name=name[:60],
                known=names,
            )
            hint = Sentence(
                "MPM ITK is an add-on, not an MPM of its own: select prefork and enable MPM ITK."
            )
            raise BadChoice(joined(" ", [message, hint] if "itk" in name else [message]))
        wanted, kept = frozenset(add), frozenset(keep)
        for package in sorted(wanted | kept):
            if not PACKAGE_NAME.match(package):
                raise BadChoice(
                    Sentence(
                        "{package!r} is not the name of an EasyApache 4 package. Names start "
                        "with ea- and contain lower-case letters, digits, dots, +, _, and -.",
                        package=package[:80],
                    )
                )
        return cls(mpm=MPM(name), itk=itk, add=wanted, keep=kept)
