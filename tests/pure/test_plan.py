from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings

from easyapache.ea4.mpm import CGI, CGID, HTTP2, ITK, MPM, RUID2, SUEXEC, Choice, installed
from easyapache.ea4.plan import SERVER, Plan, differences, make_plan, plan_from_transaction
from easyapache.ea4.profile import Observation, Package, Profile, Transaction
from easyapache.ea4.protocol import Goal
from easyapache.ea4.relations import collisions
from tests.pure.servers import (
    CATALOGUE,
    choices,
    event,
    packages_of,
    prefork,
    server,
    sound_servers,
    with_itk,
    worker,
)

PHP = "ea-php74-php"


def plan(profile: Profile, choice: Choice) -> Plan:
    return make_plan(profile, choice, CATALOGUE)


def reasons(plan: Plan) -> dict[str, str]:
    return {item.name: item.reason for item in (*plan.install, *plan.remove)}


def applied(profile: Profile, transaction: Transaction) -> set[Package]:
    return (set(profile.packages) - set(transaction.remove)) | set(transaction.install)


def test_every_package_that_moves_has_a_reason_in_plain_words() -> None:
    assert reasons(plan(prefork(RUID2, PHP), Choice(MPM.EVENT, add=frozenset({SUEXEC})))) == {
        MPM.EVENT.package: "selected",
        CGID: "required by event",
        SUEXEC: "extra package",
        MPM.PREFORK.package: "only one MPM can be installed",
        CGI: "replaced by mod_cgid",
        RUID2: "requires a forked MPM",
        PHP: "requires a forked MPM",
    }
    qos = "ea-apache24-mod-qos"
    assert reasons(plan(worker(qos), Choice(MPM.EVENT)))[qos] == "requires worker"
    assert reasons(plan(with_itk(), Choice(MPM.PREFORK)))[ITK] == "MPM ITK is disabled"
    assert reasons(plan(worker(SUEXEC), Choice(MPM.PREFORK, itk=True)))[SUEXEC] == (
        "conflicts with MPM ITK"
    )
    assert reasons(plan(event(HTTP2), Choice(MPM.PREFORK)))[HTTP2] == ("conflicts with prefork")


def test_may_remove_is_exactly_what_leaves() -> None:
    made = plan(prefork(), Choice(MPM.EVENT))
    assert set(made.goal.may_remove) == {MPM.PREFORK.package, CGI, RUID2} == made.removed
    assert made.goal.install == tuple(sorted((MPM.EVENT.package, CGID)))
    assert made.goal.remove == ()


def test_itk_is_asked_to_leave_only_where_it_could_stay() -> None:
    assert plan(with_itk(), Choice(MPM.PREFORK)).goal.remove == (ITK,)
    assert plan(with_itk(), Choice(MPM.EVENT)).goal.remove == ()
    assert ITK in plan(with_itk(), Choice(MPM.EVENT)).removed


def test_an_mpm_switch_keeps_all_that_can_stay() -> None:
    made = plan(prefork("ea-apache24-mod_proxy_ajp", "ea-php82-php-fpm"), Choice(MPM.WORKER))
    assert {item.name for item in made.remove} == {MPM.PREFORK.package, CGI}


def test_itk_with_threads_is_a_blocked_plan_and_not_an_exception() -> None:
    made = plan(prefork(), Choice(MPM.EVENT, itk=True))
    assert made.blocked
    assert made.empty
    assert [finding.code for finding in made.blocks] == ["itk_needs_prefork"]


def test_the_headline_says_the_whole_change() -> None:
    assert plan(prefork(), Choice(MPM.EVENT)).headline == (
        "prefork → event · 2 to install · 3 to remove"
    )
    assert plan(prefork(), Choice(MPM.PREFORK)).headline == "prefork · no package changes"
    assert plan(with_itk(), Choice(MPM.PREFORK)).headline.startswith("prefork with ITK → prefork")


def test_the_digest_covers_state_choice_and_packages() -> None:
    base = plan(prefork(), Choice(MPM.EVENT))
    assert base.digest == plan(prefork(), Choice(MPM.EVENT)).digest
    others = [
        plan(prefork(), Choice(MPM.WORKER)),
        plan(prefork(), Choice(MPM.EVENT, keep=frozenset({CGI}))),
        plan(prefork(RUID2, PHP), Choice(MPM.EVENT)),
        plan(Profile(prefork().packages, running=Observation(("event",))), Choice(MPM.EVENT)),
    ]
    assert len({base.digest, *(made.digest for made in others)}) == 5


def test_facts_that_are_not_state_leave_the_digest_alone() -> None:
    one = plan(prefork(facts={"os": "AlmaLinux 9.4"}), Choice(MPM.EVENT))
    assert one.digest == plan(prefork(), Choice(MPM.EVENT)).digest


def test_the_servers_own_answer_gives_the_same_plan_when_it_is_the_same() -> None:
    stored = plan(prefork(), Choice(MPM.EVENT))
    answered = plan_from_transaction(prefork(), Choice(MPM.EVENT), stored.transaction, CATALOGUE)
    assert answered.source == SERVER
    assert answered.digest == stored.digest
    assert reasons(answered) == reasons(stored)
    assert differences(stored, answered) == ()


def test_where_the_server_disagrees_every_package_is_named() -> None:
    stored = plan(prefork(), Choice(MPM.EVENT))
    newer = tuple(
        Package(p.name, "2.4.68", "1", p.arch) if p.name == CGID else p
        for p in stored.transaction.install
    )
    lost = Package("ea-vendor-module", "1.0", "1", "x86_64")
    moves = Transaction(install=newer, remove=(*stored.transaction.remove, lost))
    answered = plan_from_transaction(prefork(), Choice(MPM.EVENT), moves, CATALOGUE)
    assert [item.sentence for item in differences(stored, answered)] == [
        f"{CGID}: expected install 2.4.67-2, the server plans install 2.4.68-1.",
        "ea-vendor-module: expected no change, the server plans remove 1.0-1.",
    ]
    assert lost.name in answered.goal.may_remove


def test_two_mpms_end_in_the_one_that_was_chosen() -> None:
    torn = Profile(
        tuple(sorted({*packages_of(MPM.EVENT.package), *packages_of(MPM.PREFORK.package)}))
    )
    for mpm in (MPM.EVENT, MPM.PREFORK):
        made = plan(torn, Choice(mpm))
        assert [finding.code for finding in made.blocks] == ["several_mpms"]
        after = {package.name for package in applied(torn, made.transaction)}
        assert installed(after).mpms == (mpm.value,)
        assert {CGI, CGID} & after == {mpm.cgi_package}
        assert made.inverse.blocked


def test_no_mpm_ends_in_the_one_that_was_chosen() -> None:
    torn = Profile(tuple(p for p in prefork().packages if "mpm" not in p.name))
    made = plan(torn, Choice(MPM.WORKER))
    assert [finding.code for finding in made.blocks] == ["no_mpm"]
    after = {package.name for package in applied(torn, made.transaction)}
    assert installed(after).mpms == ("worker",)


def test_a_plan_takes_well_under_twenty_milliseconds() -> None:
    everything = server(
        MPM.WORKER.package,
        *[
            name
            for name in CATALOGUE.entries
            if name.startswith("ea-apache24-mod_")
            and "mpm" not in name
            and name not in (CGI, RUID2)
        ],
    )
    assert len(everything.packages) > 90
    best = min(_seconds(everything, mpm) for mpm in MPM for _ in range(5))
    assert best < 0.02


def _seconds(profile: Profile, mpm: MPM) -> float:
    start = time.process_time()
    plan(profile, Choice(mpm))
    return time.process_time() - start


def plain(choice: Choice) -> bool:
    """A choice that no sound server may refuse: nothing added, nothing kept, no contradiction."""
    return not (choice.add or choice.keep or (choice.itk and choice.mpm.threaded))


@settings(max_examples=150, deadline=None)
@given(sound_servers(), choices)
def test_any_plan_is_sound_or_blocked(profile: Profile, choice: Choice) -> None:
    made = plan(profile, choice)
    if made.blocked:
        assert not plain(choice), made.blocks
        return
    after = applied(profile, made.transaction)
    names = {package.name for package in after}
    assert len(names) == len(after)
    assert installed(names).mpms == (choice.mpm.value,)
    assert installed(names).itk is choice.itk
    assert choice.mpm.cgi_package in names
    assert choice.add <= names
    assert not choice.keep & made.removed
    scene = CATALOGUE.for_server(after)
    assert scene.unmet(scene.installed) == []
    assert collisions(scene.installed) == []
    assert {item.package for item in (*made.keep, *made.install)} == after
    assert all(item.reason for item in (*made.install, *made.remove, *made.keep))


@settings(max_examples=100, deadline=None)
@given(sound_servers(), choices)
def test_the_inverse_restores_exactly_what_was(profile: Profile, choice: Choice) -> None:
    made = plan(profile, choice)
    if made.blocked:
        assert not plain(choice), made.blocks
        return
    after = applied(profile, made.transaction)
    back = made.inverse
    assert not back.blocked
    assert (after - set(back.transaction.remove)) | set(back.transaction.install) == set(
        profile.packages
    )
    assert back.choice.label == f"{made.before.mpm}{' with ITK' if made.before.itk else ''}"
    # A package manager that is asked the inverse's goal comes to the same.
    answer = CATALOGUE.for_server(after).resolve(back.goal.install, back.goal.remove)
    assert answer.digest == back.transaction.digest
    assert back.inverse.transaction.digest == made.transaction.digest


@settings(max_examples=80, deadline=None)
@given(sound_servers(), choices)
def test_a_plan_survives_json(profile: Profile, choice: Choice) -> None:
    made = plan(profile, choice)
    again = Plan.from_json(json.loads(json.dumps(made.as_json())))
    assert again == made
    assert again.digest == made.digest
    assert again.transaction == made.transaction
    assert Goal.from_json(json.loads(json.dumps(made.goal.as_json()))) == made.goal


@pytest.mark.parametrize("mpm", list(MPM))
def test_the_state_after_the_change_is_the_base_of_its_inverse(mpm: MPM) -> None:
    made = plan(prefork(), Choice(mpm))
    after = Profile(
        tuple(sorted(applied(prefork(), made.transaction))),
        configured=Observation((mpm.value,)),
        running=Observation((mpm.value,)),
    )
    assert made.inverse.base_digest == after.digest
