"""The instant plan is worth something only where the server's own dnf says the same."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from easyapache.agent.packages import dnf_resolve
from easyapache.agent.packages.rpm import RpmDatabase
from easyapache.agent.runner import Runner
from easyapache.ea4.mpm import ITK, MPM, Choice
from easyapache.ea4.plan import goal_of, make_plan
from easyapache.ea4.profile import Package, Profile, Transaction
from easyapache.ea4.protocol import Goal
from easyapache.ea4.relations import Unsolvable, load_catalogue
from lab.pristine import OPERATING_SYSTEM, STOCKS
from lab.repository import Repository
from lab.server import Lab
from tests.labs import MakeLab

pytestmark = pytest.mark.lab

DRIVERS = Path(dnf_resolve.__file__).parent
MPM_PACKAGES = frozenset(mpm.package for mpm in MPM)

Moves = tuple[list[str], list[str]] | str


def resolve_by_dnf(lab: Lab, goals: Sequence[Goal]) -> list[dict[str, Any]]:
    request = {
        "options": list(lab.place.package_manager()[1:]),
        "goals": [goal.as_json() for goal in goals],
    }
    script = Path(__file__).with_name("ask_dnf.py")
    done = subprocess.run(
        ["/usr/bin/python3", str(script), str(DRIVERS), json.dumps(request)],
        env={**os.environ, **lab.place.environment},
        check=True,
        capture_output=True,
        text=True,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def moves_of(transaction: Transaction) -> Moves:
    """Whole packages, versions and architecture included, both ways."""
    return (
        sorted(package.nevra for package in transaction.install),
        sorted(package.nevra for package in transaction.remove),
    )


def dnf_moves(answer: dict[str, Any]) -> Moves:
    return "impossible" if "error" in answer else moves_of(Transaction.from_json(answer))


def our_moves(profile: Profile, goal: Goal) -> Moves:
    scene = load_catalogue().for_server(profile.packages, profile.facts.get("relations"))
    try:
        return moves_of(scene.resolve(goal.install, goal.remove))
    except Unsolvable:
        return "impossible"


def put_into_database(lab: Lab, names: Sequence[str]) -> None:
    """Make rpm believe that exactly these packages are installed. rpm checks their relations
    itself, so the starting point is one that a real server could have."""
    database = lab.root / "var/lib/rpm"
    for path in database.iterdir():
        path.unlink()
    folder = Repository(Path(lab.setup.repository)).packages
    files = {path.name.rsplit("-", 2)[0]: str(path) for path in folder.glob("*.rpm")}
    wanted = [files[name] for name in sorted({*names, *OPERATING_SYSTEM})]
    lab.rpm("-i", "--justdb", "--noscripts", "--nosignature", *wanted)


def a_sound_set(rng: random.Random) -> tuple[Package, ...]:
    """Packages that go together, around one MPM, drawn from the whole catalogue."""
    relations = load_catalogue()
    scene = relations.for_server([])
    wanted = ["ea-apache24", rng.choice(list(MPM)).package]
    pool = sorted(set(relations.entries) - MPM_PACKAGES)
    for name in rng.sample(pool, rng.randint(3, 40)):
        try:
            scene.resolve([*wanted, name])
        except Unsolvable:
            continue
        wanted.append(name)
    return scene.resolve(wanted).install


def choices_for(rng: random.Random) -> list[Choice]:
    names = sorted(load_catalogue().entries)
    found = [Choice(mpm) for mpm in MPM]
    found.append(Choice(MPM.PREFORK, itk=True))
    for mpm, itk in [(MPM.EVENT, False), (MPM.WORKER, False), (MPM.PREFORK, False)] * 3:
        found.append(Choice(mpm, itk, add=frozenset(rng.sample(names, rng.randint(1, 4)))))
    for _ in range(3):
        add = frozenset(rng.sample(names, rng.randint(1, 3)))
        found.append(Choice(MPM.PREFORK, itk=True, add=add))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_any_change_of_any_sound_server_is_previewed_as_dnf_answers_it(
    seed: int, make_lab: MakeLab
) -> None:
    rng = random.Random(seed)
    lab = make_lab("minimal")
    seen: set[str] = set()
    for _ in range(5):
        packages = a_sound_set(rng)
        put_into_database(lab, [package.name for package in packages])
        profile = Profile(packages)
        choices = choices_for(rng)
        goals = [goal_of(profile, choice) for choice in choices]
        for choice, goal, answer in zip(choices, goals, resolve_by_dnf(lab, goals), strict=True):
            assert our_moves(profile, goal) == dnf_moves(answer), (choice, sorted(profile.names))
            seen |= set(goal.install)
    assert len(seen) > 40


def test_every_package_of_the_catalogue_is_brought_in_with_what_dnf_brings(
    make_lab: MakeLab,
) -> None:
    lab = make_lab("minimal")
    names = [
        package.name
        for package in load_catalogue()
        .for_server([])
        .resolve(["ea-apache24", MPM.WORKER.package])
        .install
    ]
    put_into_database(lab, names)
    profile = Profile(
        tuple(entry.package for name, entry in load_catalogue().entries.items() if name in names)
    )
    goals = [Goal(install=(name,)) for name in sorted(load_catalogue().entries)]
    for goal, answer in zip(goals, resolve_by_dnf(lab, goals), strict=True):
        assert our_moves(profile, goal) == dnf_moves(answer), goal.install


@pytest.mark.parametrize("stock", sorted(STOCKS))
def test_a_stock_server_with_its_own_php_is_previewed_as_dnf_answers_it(
    stock: str, make_lab: MakeLab
) -> None:
    lab = make_lab(stock)
    database = RpmDatabase(Runner(lab.place.environment), lab.place.rpm(), lab.root)
    profile = Profile(database.installed())
    choices = [Choice(mpm) for mpm in MPM] + [Choice(MPM.PREFORK, itk=True)]
    answers = resolve_by_dnf(lab, [goal_of(profile, choice) for choice in choices])
    for choice, answer in zip(choices, answers, strict=True):
        plan = make_plan(profile, choice, load_catalogue())
        assert not plan.blocked
        assert moves_of(plan.transaction) == dnf_moves(answer), choice.label
        assert (ITK in {item.name for item in (*plan.keep, *plan.install)}) is choice.itk
