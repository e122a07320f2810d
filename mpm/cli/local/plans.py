"""``status`` and ``plan``: what a server is, and what a choice would do to it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from easyapache.ea4.advice import recommend
from easyapache.ea4.mpm import DEFAULT_MPM, installed
from easyapache.ea4.plan import Plan, make_plan
from easyapache.ea4.profile import Observation, Profile
from easyapache.ea4.profile_file import MOST_BYTES, BadProfile, parse
from easyapache.ea4.relations import Unsolvable, load_catalogue
from mpm.access.services.actor import BadRequest
from mpm.changes.services.planning import plan_for, profile_of
from mpm.cli.local.terminal import (
    DONE,
    REFUSED,
    Terminal,
    chosen,
    chosen_server,
    of_a_server,
    refuse_unused,
    show_plan,
)
from mpm.cli.local.waiting import server_preview
from mpm.models import ACTIVE_STATES
from mpm.servers.health import health_of
from mpm.servers.inventory import observed_mpm


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    status = commands.add_parser("status", parents=[common], help="what a server is now")
    of_a_server(status)
    status.set_defaults(run=run_status)
    profile = commands.add_parser("profile", parents=[common], help="what is installed on a server")
    of_a_server(profile)
    profile.set_defaults(run=run_profile)
    plan = commands.add_parser("plan", parents=[common], help="what a choice would do")
    of_a_server(plan)
    add_choice(plan)
    plan.add_argument("--profile", metavar="FILE", help="plan for an EA4 profile file instead")
    plan.add_argument(
        "--source",
        choices=["stored", "server"],
        default="stored",
        help="work it out at once (stored), or ask the server's own package manager (server)",
    )
    plan.set_defaults(run=run_plan)


def add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mpm", help="event, worker or prefork")
    parser.add_argument("--itk", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--add", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--keep", action="append", default=[], metavar="PACKAGE")


def run_status(terminal: Terminal, options: dict[str, Any]) -> int:
    server = chosen_server(options)
    profile = profile_of(server)
    latest = server.installed_profiles.order_by("-pk").first()
    by_packages = installed(profile.names)
    active = server.changes.filter(state__in=ACTIVE_STATES).first()
    advice = recommend(profile)
    seen = observed_mpm(profile)
    health = health_of(server)
    terminal.answer(
        {
            "server": server.name,
            "hostname": server.hostname,
            "kind": server.kind,
            "mpm": seen.mpm,
            "itk": seen.itk,
            "installed": by_packages.as_json(),
            "configured": profile.configured.as_json() if profile.configured else None,
            "running": profile.running.as_json() if profile.running else None,
            "digest": profile.digest,
            "observed_at": latest.confirmed_at.isoformat() if latest else None,
            "last_seen_at": server.last_seen_at.isoformat() if server.last_seen_at else None,
            "active_change": active.pk if active else None,
            "recommended": advice.as_json(),
            "health": health.as_json(),
        }
    )
    terminal.say(f"{server.name} ({server.get_kind_display()})")
    for title, observation in (
        ("installed", by_packages),
        ("configured", profile.configured),
        ("running", profile.running),
    ):
        terminal.say(f"  {title:11} {_words(observation)}")
    terminal.say(f"  {'recommended':11} {advice.mpm.value}: {' '.join(advice.why)}")
    terminal.say(f"  {'health':11} {health.word}")
    for problem in health.problems:
        terminal.say(f"  {'':11} {problem.sentence}")
    if health.critical:
        terminal.say(f"  {'':11} Run: manage.py mpm doctor --server {server.name}")
    if active:
        terminal.say(f"  {'change':11} #{active.pk} {active.state} {active.step}")
    seen_at = f"{latest.confirmed_at:%Y-%m-%d %H:%M:%S} UTC" if latest else "never"
    terminal.say(f"  {'looked at':11} {seen_at}, digest {profile.digest}")
    return DONE


def _words(observation: Observation | None) -> str:
    if observation is None:
        return "cannot be told"
    return (" and ".join(observation.mpms) or "none") + (" with ITK" if observation.itk else "")


def run_profile(terminal: Terminal, options: dict[str, Any]) -> int:
    """The installed profile as last seen."""
    server = chosen_server(options)
    profile = profile_of(server)
    latest = server.installed_profiles.order_by("-pk").first()
    terminal.answer(
        {
            "server": server.name,
            "digest": profile.digest,
            "observed_at": latest.observed_at.isoformat() if latest else None,
            "confirmed_at": latest.confirmed_at.isoformat() if latest else None,
            "source": latest.source if latest else "",
            **profile.as_json(),
        }
    )
    for package in profile.packages:
        terminal.say(f"{package.name} {package.evr} {package.arch}")
    terminal.say(f"{len(profile.packages)} packages, digest {profile.digest}")
    return DONE


def run_plan(terminal: Terminal, options: dict[str, Any]) -> int:
    unplanned: tuple[str, ...] = ()
    if options["profile"]:
        refuse_unused(options, "with --profile", server=None, source="stored")
        profile, unplanned = profile_in(Path(options["profile"]))
        choice = chosen(options, installed(profile.names).itk)
        plan = make_plan(profile, choice, load_catalogue())
    else:
        server = chosen_server(options)
        choice = chosen(options, observed_mpm(profile_of(server)).itk)
        if options["source"] == "server":
            plan = Plan.from_json(server_preview(server, choice).plan or {})
        else:
            plan = plan_for(server, choice)
    told = plan.as_json()
    told["keep"] += [_untouched(name) for name in unplanned]
    terminal.answer(told)
    show_plan(terminal, plan)
    if unplanned:
        terminal.say(
            f"{len(unplanned)} more packages of the profile have no relations to an MPM that this "
            "panel knows of; they stay."
        )
    return REFUSED if plan.blocked else DONE


def _untouched(name: str) -> dict[str, Any]:
    """A package of a profile that no plan moves, as plans list what stays."""
    reason = "not among the packages that this panel knows the relations of"
    return {"name": name, "evr": "", "arch": "", "action": "keep", "reason": reason, "cause": ""}


def profile_in(path: Path) -> tuple[Profile, tuple[str, ...]]:
    """What a server provisioned with the profile in ``path`` would have installed, and the names
    it lists that the catalogue does not. A profile that lists no MPM gets the default one.

    Raises BadRequest for a file that cannot be read, is too large, is no profile, or whose
    packages cannot be together.
    """
    catalogue = load_catalogue()
    try:
        with path.open("rb") as handle:
            raw = handle.read(MOST_BYTES + 1)
        wanted = parse(raw, catalogue.entries)
        known = [name for name in wanted.packages if name in catalogue]
        if not wanted.mpms:
            known += [DEFAULT_MPM.package, DEFAULT_MPM.cgi_package]
        found = catalogue.for_server(()).resolve(known).install
    except OSError as error:
        raise BadRequest(f"{path}: {error.strerror}", code="bad_profile") from error
    except BadProfile as error:
        raise BadRequest(f"{path}: {error}", code="bad_profile") from error
    except Unsolvable as error:
        raise BadRequest(
            f"{path}: its packages cannot be together: {'; '.join(error.reasons)}",
            code="bad_profile",
        ) from error
    unplanned = tuple(name for name in wanted.packages if name not in catalogue)
    return Profile(packages=tuple(sorted(found))), unplanned
