"""Why each package is installed, removed or kept, in sentences for people."""

from __future__ import annotations

from dataclasses import dataclass

from easyapache.ea4.mpm import ITK, MPM, MPM_CAPABILITY, Choice, short
from easyapache.ea4.protocol import Goal
from easyapache.ea4.relations import Scene, Why
from easyapache.ea4.sentences import Sentence


@dataclass(frozen=True)
class Reasons:
    """Turns the solver's reasons into sentences for people."""

    choice: Choice
    scene: Scene
    goal: Goal

    def keep_reason(self, name: str) -> str:
        if name in self.choice.keep:
            return Sentence("kept at your request")
        if name in self.goal.install:
            return Sentence("required, already installed")
        return Sentence("not affected")

    def change_reason(self, name: str, why: Why, action: str) -> str:
        if why.kind == "update":
            return (
                Sentence("{name} requires another version", name=short(why.by))
                if why.by
                else Sentence("update")
            )
        return (
            self._install_reason(name, why) if action == "in" else self._removal_reason(name, why)
        )

    def _install_reason(self, name: str, why: Why) -> str:
        if name == self.choice.mpm.package or (name == ITK and self.choice.itk):
            return Sentence("selected")
        if name in self.choice.add:
            return Sentence("extra package")
        if name == self.choice.mpm.cgi_package:
            return Sentence("required by {mpm}", mpm=self.choice.mpm.value)
        return (
            Sentence("required by {name}", name=short(why.by)) if why.by else Sentence("required")
        )

    def _removal_reason(self, name: str, why: Why) -> str:
        mpms = {mpm.package for mpm in MPM}
        if name in mpms:
            return Sentence("only one MPM can be installed")
        if name == ITK and why.kind == "asked":
            return Sentence("MPM ITK is disabled")
        if name in {mpm.cgi_package for mpm in MPM}:
            return Sentence("replaced by {name}", name=short(self.choice.mpm.cgi_package))
        entry = self.scene.installed.get(name)
        for relation in entry.requires if entry else ():
            if relation.name == MPM_CAPABILITY and relation.evr:
                if relation.evr.version != self.choice.mpm.kind:
                    return Sentence("requires a {kind} MPM", kind=relation.evr.version)
            elif relation.name in mpms and relation.name != self.choice.mpm.package:
                return Sentence(
                    "requires {name}", name=short(relation.name).removeprefix("mod_mpm_")
                )
        if why.kind == "conflict":
            other = "MPM ITK" if why.by == ITK else short(why.by).removeprefix("mod_mpm_")
            return Sentence("conflicts with {other}", other=other)
        if why.kind == "dependent" and why.relation:
            return (
                Sentence("requires {name}", name=short(why.by))
                if why.by
                else Sentence("requires {relation}", relation=why.relation)
            )
        return Sentence("no longer possible")
