from __future__ import annotations

from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyapache.ea4.mpm import CGI, CGID, HTTP2, ITK, MPM, RUID2, SUEXEC
from easyapache.ea4.profile import Package, Profile, Transaction
from easyapache.ea4.relations import (
    BadRelation,
    Unsolvable,
    collisions,
    meets,
    parse_capability,
    relations_from,
)
from tests.pure.servers import CATALOGUE, NAMES, packages_of, sound_servers

P = "ea-apache24-"


def test_a_relation_is_read_as_rpm_prints_it() -> None:
    assert str(parse_capability("ea-apr >= 1.7.0-1")) == "ea-apr >= 1.7.0-1"
    assert parse_capability("ea-apache24-mpm") == ("ea-apache24-mpm", "", None)
    for bad in ("", "a b", "a ~ 1", "a = 1 2"):
        with pytest.raises(BadRelation):
            parse_capability(bad)


@pytest.mark.parametrize(
    ("offer", "wanted", "met"),
    [
        ("ea-apache24-mpm = forked", "ea-apache24-mpm", True),
        ("ea-apache24-mpm = forked", "ea-apache24-mpm = forked", True),
        ("ea-apache24-mpm = forked", "ea-apache24-mpm = threaded", False),
        ("ea-apr = 1.7.5-1", "ea-apr >= 1.7.0-1", True),
        ("ea-apr = 1.6.9-1", "ea-apr >= 1.7.0-1", False),
        ("ea-mod_php = 7.4", "ea-mod_php > 7.2", True),
        ("ea-mod_php = 7.4", "ea-mod_php < 7.4", False),
        ("ea-mod_php", "ea-mod_php = 7.4", False),
        ("other", "ea-mod_php", False),
    ],
)
def test_an_offer_meets_what_rpm_says_it_meets(offer: str, wanted: str, met: bool) -> None:
    assert meets(parse_capability(offer), parse_capability(wanted)) is met


def names(packages: tuple[Package, ...]) -> set[str]:
    return {package.name for package in packages}


def test_event_replaces_prefork_and_what_needs_it() -> None:
    scene = CATALOGUE.for_server(packages_of(MPM.PREFORK.package, RUID2))
    change = scene.resolve([MPM.EVENT.package])
    assert names(change.install) == {MPM.EVENT.package, CGID}
    assert names(change.remove) == {MPM.PREFORK.package, CGI, RUID2}
    assert change.reasons == {
        MPM.EVENT.package: "asked",
        CGID: "dependency",
        MPM.PREFORK.package: "conflict",
        CGI: "conflict",
        RUID2: "dependent",
    }


def test_itk_from_event_brings_prefork_and_takes_suexec() -> None:
    scene = CATALOGUE.for_server(packages_of(MPM.EVENT.package, SUEXEC, HTTP2))
    change = scene.resolve([ITK])
    assert names(change.install) == {ITK, MPM.PREFORK.package, CGI}
    assert names(change.remove) == {MPM.EVENT.package, CGID, SUEXEC, HTTP2}


def test_what_contradicts_itself_is_refused_with_the_reasons() -> None:
    scene = CATALOGUE.for_server([])
    with pytest.raises(Unsolvable) as error:
        scene.resolve([ITK, HTTP2])
    assert any("conflicts with" in reason for reason in error.value.reasons)
    with pytest.raises(Unsolvable, match="No known repository offers ea-nothing"):
        scene.resolve(["ea-nothing"])


def test_removing_what_others_need_takes_them_along_or_finds_another_provider() -> None:
    scene = CATALOGUE.for_server(packages_of(MPM.WORKER.package, f"{P}mod-qos"))
    change = scene.resolve([], remove=[MPM.WORKER.package])
    assert f"{P}mod-qos" in names(change.remove)
    after = scene.after(change)
    assert len({mpm.package for mpm in MPM} & set(after)) == 1


def test_a_server_of_another_build_keeps_its_build() -> None:
    """An MPM change is never meant to update Apache."""
    there = tuple(
        Package(p.name, "2.4.66", "7", p.arch) if p.version == "2.4.67" else p
        for p in packages_of(MPM.PREFORK.package)
    )
    change = CATALOGUE.for_server(there).resolve([MPM.EVENT.package])
    assert {p.evr for p in change.install} == {"2.4.66-7"}
    assert not names(change.install) & names(change.remove)


def test_an_arm_server_gets_arm_packages() -> None:
    there = tuple(
        Package(p.name, p.version, p.release, "aarch64") for p in packages_of(MPM.PREFORK.package)
    )
    change = CATALOGUE.for_server(there).resolve([MPM.EVENT.package])
    assert {p.arch for p in change.install} == {"aarch64"}


def test_what_the_server_knows_of_its_own_packages_counts() -> None:
    own = Package("ea-vendor-module", "1.0", "1", "x86_64")
    known = {own.name: {"requires": ["ea-apache24-mpm = forked", "libc.so.6()(64bit)"]}}
    scene = CATALOGUE.for_server((*packages_of(MPM.PREFORK.package), own), known)
    change = scene.resolve([MPM.EVENT.package])
    assert own.name in names(change.remove)
    assert change.reasons[own.name] == "dependent"
    silent = CATALOGUE.for_server((*packages_of(MPM.PREFORK.package), own))
    assert own.name not in names(silent.resolve([MPM.EVENT.package]).remove)


@pytest.mark.parametrize(
    "condition",
    [
        "(rocket-nginx-pre or ea-apache24-mod_remoteip)",
        "(ea-apache24-mod_remoteip if ea-apache24)",
        "((a and b) or c)",
        "(",
    ],
)
def test_a_condition_of_a_package_upsets_no_plan(condition: str) -> None:
    """As ea-nginx has one. What it means is the package manager's to say."""
    proxy = Package("ea-nginx", "1.27.0", "1", "x86_64")
    known = {proxy.name: {"requires": [condition, "ea-apache24"]}}
    scene = CATALOGUE.for_server((*packages_of(MPM.PREFORK.package), proxy), known)
    change = scene.resolve([MPM.EVENT.package])
    assert proxy.name not in names(change.remove)
    assert scene.unmet(scene.installed) == []


def test_a_package_that_needs_a_newer_one_updates_it() -> None:
    catalogue = relations_from(
        {
            "ea-a": {"evr": "2-1", "requires": ["ea-b = 2-1"]},
            "ea-b": {"evr": "2-1", "requires": []},
        }
    )
    old = Package("ea-b", "1", "1", "x86_64")
    change = catalogue.for_server([old]).resolve(["ea-a"])
    assert {p.nevra for p in change.install} == {"ea-a-2-1.x86_64", "ea-b-2-1.x86_64"}
    assert change.remove == (old,)


def test_what_is_broken_already_is_left_alone() -> None:
    there = tuple(p for p in packages_of(MPM.EVENT.package) if p.name != "ea-documentroot")
    scene = CATALOGUE.for_server(there)
    assert scene.resolve([MPM.EVENT.package]).empty
    assert [name for name, _ in scene.unmet(scene.installed)] == ["ea-apache24"]


def test_two_mpms_collide() -> None:
    both = {**CATALOGUE.for_server(packages_of(MPM.EVENT.package)).installed}
    both[MPM.PREFORK.package] = CATALOGUE.entries[MPM.PREFORK.package]
    assert (MPM.EVENT.package, MPM.PREFORK.package) in collisions(both)


goals = st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=4)


@settings(max_examples=120, deadline=None)
@given(sound_servers(), goals, st.frozensets(st.sampled_from(NAMES), max_size=2))
def test_an_answer_meets_every_requirement_and_has_no_conflict(
    profile: Profile, install: frozenset[str], remove: frozenset[str]
) -> None:
    scene = CATALOGUE.for_server(profile.packages)
    try:
        change = scene.resolve(install, remove)
    except Unsolvable:
        return
    after = scene.after(change)
    assert install <= set(after)
    assert not remove & set(after)
    # Looked at from the data itself, without the solver's own eyes.
    for one, other in combinations(after.values(), 2):
        assert not one.conflicts_with(other)
    for entry in after.values():
        for relation in entry.requires:
            if relation.name not in CATALOGUE.outside:
                assert any(item.offers(relation) for item in after.values()), (entry.name, relation)


@settings(max_examples=60, deadline=None)
@given(sound_servers(), goals, st.randoms(use_true_random=False))
def test_the_same_question_has_the_same_answer_in_any_order(
    profile: Profile, install: frozenset[str], random: Random
) -> None:
    shuffled = list(profile.packages)
    random.shuffle(shuffled)

    def answer(packages: list[Package]) -> Transaction | tuple[str, ...]:
        try:
            return CATALOGUE.for_server(packages).resolve(install)
        except Unsolvable as error:
            return error.reasons

    assert answer(list(profile.packages)) == answer(shuffled)
    assert answer(shuffled) == answer(shuffled)


@settings(max_examples=60, deadline=None)
@given(sound_servers())
def test_asking_for_what_is_there_changes_nothing(profile: Profile) -> None:
    assert CATALOGUE.for_server(profile.packages).resolve(profile.names).empty
