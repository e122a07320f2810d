"""Servers to ask about: made by hand, and drawn at random by hypothesis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import strategies as st

from easyapache.ea4.mpm import ITK, MPM, RUID2, SUEXEC, Choice, installed
from easyapache.ea4.profile import Observation, Package, Profile
from easyapache.ea4.relations import Unsolvable, load_catalogue

CATALOGUE = load_catalogue()
NAMES = sorted(CATALOGUE.entries)
MPM_PACKAGES = frozenset(mpm.package for mpm in MPM)
OTHERS = sorted(set(NAMES) - MPM_PACKAGES)


def packages_of(*names: str) -> tuple[Package, ...]:
    """The packages of a server that was asked to install these."""
    return CATALOGUE.for_server([]).resolve(["ea-apache24", *names]).install


def server(
    *names: str, facts: Mapping[str, Any] | None = None, packages: Iterable[Package] = ()
) -> Profile:
    """A sound server with these packages and what they need; the three observations agree."""
    found = tuple(packages) or packages_of(*names)
    seen = installed(package.name for package in found)
    return Profile(found, configured=seen, running=seen, facts=dict(facts or {}))


def prefork(*names: str, facts: Mapping[str, Any] | None = None) -> Profile:
    """As cPanel's default profile: prefork, ruid2, cgi."""
    return server(MPM.PREFORK.package, *(names or (RUID2,)), facts=facts)


def with_itk(*names: str) -> Profile:
    return server(MPM.PREFORK.package, ITK, *names)


def event(*names: str, facts: Mapping[str, Any] | None = None) -> Profile:
    return server(MPM.EVENT.package, *(names or (SUEXEC,)), facts=facts)


def worker(*names: str) -> Profile:
    return server(MPM.WORKER.package, *(names or (SUEXEC,)))


def seen(*mpms: str, itk: bool = False) -> Observation:
    return Observation(tuple(sorted(mpms)), itk)


@st.composite
def sound_servers(draw: st.DrawFn) -> Profile:
    """Any packages of the catalogue that can be installed together, around one MPM."""
    wanted = ["ea-apache24", draw(st.sampled_from(list(MPM))).package]
    scene = CATALOGUE.for_server([])
    for name in draw(st.lists(st.sampled_from(OTHERS), max_size=30, unique=True)):
        try:
            scene.resolve([*wanted, name])
        except Unsolvable:
            continue
        wanted.append(name)
    return server(packages=scene.resolve(wanted).install)


choices = st.builds(
    Choice,
    mpm=st.sampled_from(list(MPM)),
    itk=st.booleans(),
    add=st.frozensets(st.sampled_from(NAMES), max_size=4),
    keep=st.frozensets(st.sampled_from(NAMES), max_size=2),
)
