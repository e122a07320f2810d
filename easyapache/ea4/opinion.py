"""The plan of WHM's own package manager: a second opinion besides dnf."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from easyapache.ea4.profile import Package, Transaction
from easyapache.ea4.schema import Schema

OF_EA4 = r"^ea-[a-z0-9][a-z0-9_.+-]{0,126}\Z"
Names = Annotated[
    tuple[Annotated[str, Meta(pattern=OF_EA4, description="a package of EasyApache 4")], ...],
    Meta(max_length=2000),
]


@dataclass(frozen=True, slots=True)
class Opinion(Schema):
    """The names to install and to remove. Updates are in neither: WHM updates on its own
    schedule."""

    install: Names = ()
    remove: Names = ()


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Where WHM and dnf differ, each sorted: what only WHM or only dnf would install or remove."""

    only_whm_installs: tuple[str, ...]
    only_dnf_installs: tuple[str, ...]
    only_whm_removes: tuple[str, ...]
    only_dnf_removes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        every = (
            *(self.only_whm_installs, self.only_dnf_installs),
            *(self.only_whm_removes, self.only_dnf_removes),
        )
        return tuple(sorted({name for names in every for name in names}))


def disagreement(opinion: Opinion, transaction: Transaction) -> Disagreement | None:
    """None if both plans are the same. Only packages of EasyApache 4 count: WHM's answer has no
    others."""
    comes, goes = _of_ea4(transaction.install), _of_ea4(transaction.remove)
    new, gone = comes - goes, goes - comes
    whm_new, whm_gone = set(opinion.install), set(opinion.remove)
    found = Disagreement(
        tuple(sorted(whm_new - new)),
        tuple(sorted(new - whm_new)),
        tuple(sorted(whm_gone - gone)),
        tuple(sorted(gone - whm_gone)),
    )
    return found if found.names else None


def wanted_set(installed: Iterable[Package], transaction: Transaction) -> list[str]:
    """All packages of EasyApache 4 after a transaction: the input for WHM."""
    names = _of_ea4(installed) - _of_ea4(transaction.remove)
    return sorted(names | _of_ea4(transaction.install))


def _of_ea4(packages: Iterable[Package]) -> set[str]:
    return {package.name for package in packages if package.name.startswith("ea-")}
