"""A past for a panel: servers that nobody runs, and changes that ended in every way there is.

Nearly nothing here writes a row by itself. Services are asked as a person would ask them, the
project's own engine carries the changes out on simulated servers, and what it tells goes in
through the doors of agents. Only the clock is set back, so that the past is one.

``tests.stack.make_past`` does all of it inside a running panel, in two seconds.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from django.db import transaction
from django.utils import timezone

from easyapache.ea4.profile_file import of_installed
from easyapache.ea4.protocol import Failure, Report
from mpm.access import tokens
from mpm.access.services.actor import Actor
from mpm.access.services.users import add_user
from mpm.changes.services.cancel import cancel
from mpm.changes.services.outside import adopt
from mpm.changes.services.record import record_reports
from mpm.changes.services.repairs import record_repair, repair
from mpm.changes.services.rollback import roll_back
from mpm.changes.services.sharing import share, take_back
from mpm.changes.services.sweep import sweep
from mpm.models import Change, Delivery, Preview
from mpm.notify import webhooks
from mpm.servers import profile_library
from mpm.servers.models import SavedProfile, Server
from mpm.servers.services.inspection import record_preview
from mpm.servers.services.servers import add_server
from tests.past.machine import ADA, DSO, Machine, ago, replace_mpm

BEN = Actor(name="ben", role="administrator", origin="cli")
DEPLOY = Actor(name="deploy", role="token", origin="rest", token_name="Deploy")
LONG_LOG = 4000
"""Lines of the change "long": more than its page may hold."""


def more_log(count: int, wrong: int) -> bytes:
    """Lines as dnf writes them with -v, one of which looks like an error."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    lines = [f"{stamp} verify  looked at file number {n}" for n in range(count)]
    lines[wrong] = f"{stamp} verify  error: <b>file number {wrong}</b> had another owner"
    return ("\n".join(lines) + "\n").encode()


# -- what happened -------------------------------------------------------------------------------


def two_months(machines: list[Machine]) -> None:
    """Many small changes, so that history has pages and its chart has days."""
    people = (ADA, BEN, DEPLOY)
    for number in range(54):
        machine, who = machines[number % len(machines)], people[number % 5 % 3]
        with ago(days=58 - number, minutes=number * 97 % 600):
            change = machine.change(
                ("event", "worker")[number % 2],
                who,
                reason=("HTTP/2 for the shop", "memory runs out in the evening")[number % 2],
                ticket=f"OPS-{300 + number}" if number % 3 == 0 else "",
            )
            outcome = "restored" if number % 9 == 4 else "succeeded"
            ending = {"outcome": outcome, "decided_by": "verification", "sentence": ""}
            report = Report(1, timezone.now().isoformat(), "outcome", ending)
            record_reports(machine.name, change.uuid, [report])


def endings(folder: Path, web03: Machine, web04: Machine, db1: Machine) -> dict[str, Any]:
    """Changes that are over, one for each way to end."""
    found: dict[str, Any] = {}
    with ago(days=3):
        silent = Machine.add(folder, "web05")
        found["silent"] = silent.carry_out(silent.change("event"), "restart")
    with ago(days=2, hours=4):
        found["succeeded"] = web03.carry_out(
            web03.change(
                "event",
                reason="The shop’s pages wait for each other; HTTP/2 needs a threaded MPM.",
                ticket="HOST-4471",
            ),
            more_log=more_log(30, wrong=7),
        )
    with ago(days=1, hours=7), web04.broken("site_differs"):
        found["restored"] = web04.ended("event", DEPLOY, reason="as on the other servers")
    with ago(days=1, hours=6), web04.broken("pre_scriptlet", "undo_packages"):
        found["failed"] = web04.ended("event", reason="once more", ticket="HOST-4472")
    with ago(days=1, hours=2):
        later = timezone.now() + timedelta(hours=8)
        found["canceled"] = web03.change("worker", BEN, not_before=later)
        cancel(found["canceled"], ADA)
    web07 = Machine.add(folder, "web07")
    with ago(hours=20):
        change = web07.change("worker", reason="asked for while somebody else was at work")
        replace_mpm(web07.host, "event")
        found["moved"] = web07.carry_out(change)
        web07.look()
    with ago(hours=19):
        told = {"id": 218, "user": "root", "at": timezone.now().isoformat()}
        told["command"] = "dnf swap ea-apache24-mod_mpm_event ea-apache24-mod_mpm_worker"
        found["adopted"] = web07.changed_by_hand("worker", last_transaction=told)
        adopt(found["adopted"], BEN)
    with ago(hours=3):
        found["review_moved"] = web07.answered(web07.preview("event"))
        found["outside"] = web07.changed_by_hand("prefork")
    with ago(hours=2):
        change = db1.change("event", BEN, reason="as on the other servers")
        found["long"] = db1.carry_out(change, more_log=more_log(LONG_LOG, wrong=700))
    with ago(hours=1):
        found["taken_back"] = web03.carry_out(roll_back(found["succeeded"], ADA))
    return found


def at_work(folder: Path) -> dict[str, Any]:
    """Changes that have not ended. What the panel has heard of the spare one is told, so that a
    test can speak for its agent."""
    found: dict[str, Any] = {}
    for name, server, up_to in (
        ("running", "web08", "packages"),
        ("cancelable", "web09", "rehearsal"),
        ("spare_running", "web10", "packages"),
        ("spare_cancelable", "web11", "rehearsal"),
    ):
        machine = Machine.add(folder, server)
        if name == "running":
            found["review_busy"] = machine.answered(machine.preview("worker"))
        change = machine.change("event", reason="HTTP/2 for the shop", ticket="HOST-4480")
        found[name] = machine.carry_out(change, up_to)
    told = found["spare_running"]
    found |= {"uuid": told.uuid, "log_size": told.log_size, "last_report": told.last_report}
    web12 = Machine.add(folder, "web12")
    night = timezone.now() + timedelta(hours=9)
    found["scheduled"] = web12.change(
        "worker", not_before=night, not_after=night + timedelta(hours=2), reason="in the night"
    )
    return found


def reviews(web03: Machine) -> dict[str, Any]:
    found: dict[str, Any] = {
        "asked": web03.preview("worker"),
        "answered": web03.answered(web03.preview("event")),
        "blocked": web03.answered(web03.preview("event", keep=(DSO,))),
        "differs": web03.answered(web03.preview("worker"), without=DSO),
        "satisfied": web03.answered(web03.preview("prefork")),
        "unanswered": web03.preview("event"),
        "broken": web03.preview("event"),
    }
    record_preview(
        web03.name,
        found["unanswered"].uuid,
        error=Failure(
            "repository",
            "The repository EA4 can't be reached.",
            "Check the network and the repository's address.",
        ),
    )
    # Of no use to any version of the panel: the page of a fault has to be seen as well.
    Preview.objects.filter(pk=found["broken"].pk).update(plan={"nothing": "known"})
    return {f"review_{name}": one for name, one in found.items()}


def sick(folder: Path) -> dict[str, str]:
    """A server whose httpd does not run and whose machine is small, and what was done about it."""
    machine = Machine.add(folder, "web06")
    with machine.host.state() as state:
        state["running"] = None
    machine.look()
    asked = {}
    for name, ok in (("repaired", True), ("not_repaired", False)):
        number = repair(machine.row, "start-httpd", ADA)
        message = "httpd runs with prefork." if ok else "httpd does not answer. See its error log."
        record_repair(machine.name, number, "start-httpd", ok=ok, message=message, log="Syntax OK")
        asked[name] = number
    return asked


def roomy(machine: Machine) -> None:
    """A server with memory for every MPM."""
    load = machine.host.inspect().facts["load"]
    machine.look(load={**load, "memory_total": 32 << 30})


def small(folder: Path) -> Preview:
    """A server with less memory than prefork could take. Returns a review of it."""
    machine = Machine.add(folder, "web14")
    answered = machine.answered(machine.preview("event"))
    load = machine.host.inspect().facts["load"]
    machine.look(load={**load, "memory_total": 2 << 30, "other_bytes": 900 << 20})
    return answered


def belongings(web03: Machine) -> dict[str, str]:
    """A profile, tokens, a webhook that is switched off and what it was told before."""
    file = of_installed(web03.host.inspect(), "As the shop needs it", "Before the sale in March.")
    kept = profile_library.save(
        file,
        file_name="as_the_shop_needs_it",
        origin=SavedProfile.Origin.CUSTOM,
        by="ada",
        at=timezone.now(),
    )
    night = timezone.now() + timedelta(days=30)
    kept_token = tokens.issue(
        ADA, name="Deploy", purpose="nightly roll-out", scopes=["read", "change"], expires_at=night
    )
    old = tokens.issue(BEN, name="Monitoring", scopes=["read"], networks=["198.51.100.0/24"])
    tokens.revoke(old.token, ADA)
    add_user("sue", "support", actor=ADA)
    now = timezone.now()
    with transaction.atomic():
        # Switched off before anything could be sent to it.
        hook = webhooks.make(ADA, name="Chat", url="https://8.8.8.8/hook", kinds=[])
        webhooks.change(hook, ADA, {"active": False})
        attempt = {"at": now.isoformat(), "ms": 41, "status": 500, "answer": "<b>no room</b>"}
        attempt["error"] = "The receiver answered 500."
        for state, log in (("given_up", [attempt] * 3), ("delivered", [{**attempt, "error": ""}])):
            Delivery.objects.create(
                webhook=hook, kind="webhook.test", body={}, created_at=now, state=state, log=log
            )
    return {"own_profile": kept.key, "webhook": hook.uuid, "token": kept_token.token.key_id}


def wait_for_first_looks() -> str:
    """Until every server that the panel really has was looked at; returns the first one's name."""
    end = time.monotonic() + 60
    unseen = Server.objects.filter(installed_profiles=None)
    while unseen.exists():
        if time.monotonic() > end:
            raise RuntimeError(f"nobody looked at {unseen.first()}")
        time.sleep(0.05)
    return Server.objects.order_by("name")[0].name


def make(folder: Path) -> dict[str, str]:
    """Everything, in the order in which it happened. ``folder``: where the servers' states are."""
    server = wait_for_first_looks()
    with ago(days=60):
        web03, web04 = (Machine.add(folder, name) for name in ("web03", "web04"))
        many = [Machine.add(folder, f"db{number}") for number in (1, 2)]
    two_months([*many, web04])
    past = endings(folder, web03, web04, many[0])
    over = share(past["succeeded"], ADA, 1).token
    take_back(past["succeeded"], ADA)
    found = {
        "server": server,
        **past,
        **at_work(folder),
        **reviews(web03),
        **belongings(web03),
        **sick(folder),
        "shared": share(past["succeeded"], ADA, 7).token,
        "shared_over": over,
        "review_later": small(folder),
    }
    add_server("web13", actor=ADA, hostname="web13.example.net")
    roomy(web03)
    # Who is silent is found out now, and not while somebody looks.
    with ago(seconds=20):
        sweep()
    sweep()
    return {name: number_of(one) for name, one in found.items()}


def number_of(one: Any) -> str:
    if isinstance(one, Change):
        return str(one.pk)
    return one.uuid if isinstance(one, Preview) else str(one)


def main() -> None:
    """Print by name what there is then: numbers of changes and reviews, tokens of links."""
    with (
        tempfile.TemporaryDirectory(prefix="ea4past") as folder,
        # Nothing of this outlives the panel: waiting for the disk would be most of its time.
        mock.patch.object(os, "fsync"),
    ):
        sys.stdout.write(json.dumps(make(Path(folder))) + "\n")
