"""One call of one function, and the table of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from easyapache.ea4.package_metadata import Particulars
from easyapache.ea4.profile import Profile
from easyapache.ea4.relations import load_catalogue
from easyapache.ea4.resolution import Scene
from mpm.access.scopes import Scope
from mpm.changes.services.planning import profile_of
from mpm.servers.inventory import particulars_of
from mpm.servers.models import Server
from mpm.whmapi.access import Caller
from mpm.whmapi.parameters import Parameters


@dataclass(frozen=True)
class Call:
    """What a function works with. ``meant`` is None where no server is meant and the function
    works without one; ``host`` is the host name that was called."""

    meant: Server | None
    caller: Caller
    parameters: Parameters
    host: str = ""

    @property
    def server(self) -> Server:
        """Of every function that is not registered as ``anywhere``."""
        if self.meant is None:
            raise LookupError("this function was registered as one that works without a server")
        return self.meant

    @cached_property
    def profile(self) -> Profile:
        """The latest installed profile. Raises Refused before the first scan."""
        return profile_of(self.server)

    @cached_property
    def particulars(self) -> Particulars:
        """The server's package metadata; empty before the first."""
        return particulars_of(self.server)

    def scene(self, profile: Profile) -> Scene:
        return load_catalogue().for_server(profile.packages, profile.facts.get("relations"))


Work = Callable[[Call], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Function:
    """``scope``: what the caller's token must have. ``anywhere``: works without a server. ``work``
    raises Failed, Refused or BadParameters, or returns the data."""

    name: str
    scope: Scope
    work: Work
    anywhere: bool = False


FUNCTIONS: dict[str, Function] = {}


def function(
    name: str, scope: Scope = Scope.READ, *, anywhere: bool = False
) -> Callable[[Work], Work]:
    """Register a function under its WHM name."""

    def register(work: Work) -> Work:
        FUNCTIONS[name] = Function(name, scope, work, anywhere)
        return work

    return register
