"""The whole way of a change: services, Redis, agent, engine, reports, history."""

from __future__ import annotations

import pytest

from easyapache.ea4.mpm import Choice
from mpm.access.services.actor import Actor
from mpm.changes.services.dispatch import message_for
from mpm.changes.services.planning import request_preview
from mpm.changes.services.request import request_change
from mpm.changes.services.rollback import roll_back
from mpm.changes.services.sweep import sweep
from mpm.history.verification.database import verify_database
from mpm.models import Change, LogChunk, Preview, Report, State
from mpm.servers.agents import wake
from mpm.servers.inventory import particulars_of
from mpm.servers.looks import rescan
from tests.panel_fixtures import House, wait_until

ADMIN = Actor(name="anna", role="administrator")


def ended(change: Change, seconds: float = 40) -> Change:
    def check() -> bool:
        sweep()
        change.refresh_from_db()
        return change.finished

    wait_until(check, seconds, f"change #{change.pk} did not end: {change.state} {change.step}")
    return change


def test_a_look_also_brings_what_the_packages_are_in_words(house: House) -> None:
    wait_until(lambda: particulars_of(house.server).metainfo, 20, "no particulars came")
    assert particulars_of(house.server) == house.simulated.particulars()


def test_a_change_goes_from_a_preview_to_a_running_httpd_and_back(house: House) -> None:
    preview = request_preview(house.server, Choice.parse("event"), ADMIN)

    def answered() -> bool:
        preview.refresh_from_db()
        return preview.state != Preview.State.PENDING

    wait_until(answered, 20, "the server did not answer the preview")
    assert preview.state == Preview.State.READY, preview.error
    assert preview.digest == preview.stored_digest
    change = request_change(
        house.server,
        Choice.parse("event"),
        actor=ADMIN,
        preview=preview,
        digest=preview.digest,
        reason="threads",
    )
    ended(change)
    assert change.state == State.SUCCEEDED, (change.sentence, house.said())
    running = house.simulated.inspect().running
    assert running is not None
    assert running.mpm == "event"
    profile = house.server.profile
    assert profile is not None
    assert profile.running == running
    assert change.refused == 0
    log = b"".join(bytes(chunk.data) for chunk in change.log_chunks.order_by("offset"))
    assert log == (house.spool / change.uuid / "log").read_bytes()

    back = ended(roll_back(change, ADMIN, "not today"))
    assert back.state == State.SUCCEEDED, back.sentence
    assert {p.name for p in house.simulated.inspect().packages} == {
        item["name"] for item in (*change.plan["keep"], *change.plan["remove"])
    }
    assert verify_database().faults == ()


def test_the_same_message_delivered_five_times_runs_the_change_once(house: House) -> None:
    change = request_change(house.server, Choice.parse("worker"), actor=ADMIN)
    for _ in range(5):
        assert wake("web01", "apply", message_for(change).as_json())
    ended(change)
    assert change.state == State.SUCCEEDED, change.sentence
    outcomes = Report.objects.filter(change=change, kind="outcome")
    assert outcomes.count() == 1
    assert change.events.filter(kind="change.succeeded").count() == 1


def test_a_flushed_redis_loses_nothing(house: House) -> None:
    house.kill("agent")
    change = request_change(house.server, Choice.parse("event"), actor=ADMIN)
    house.redis.flush()
    house.start("agent")
    Change.objects.filter(pk=change.pk).update(dispatched_at=None)
    ended(change)
    assert change.state == State.SUCCEEDED, change.sentence


def test_killing_agent_worker_and_redis_together_loses_nothing(house: House) -> None:
    change = request_change(house.server, Choice.parse("event"), actor=ADMIN)

    def begun() -> bool:
        change.refresh_from_db()
        return bool(change.step)

    wait_until(begun, 20, "the change did not begin")
    house.kill("agent")
    house.kill("control")
    house.redis.stop(9)
    house.redis.start()
    house.start("agent")
    house.start("control")
    ended(change)
    assert change.state in (State.SUCCEEDED, State.RESTORED), change.sentence
    chunks = LogChunk.objects.filter(change=change).order_by("offset")
    assert sum(chunk.size for chunk in chunks) == change.log_size


def test_a_change_made_outside_is_found_and_can_be_reverted(house: House) -> None:
    with house.simulated.state() as state:
        for package in state["packages"]:
            package["name"] = (
                package["name"]
                .replace("mod_mpm_prefork", "mod_mpm_worker")
                .replace("mod_cgi", "mod_cgid")
            )
        state["packages"] = [p for p in state["packages"] if "ruid2" not in p["name"]]
    rescan(house.server)
    wait_until(Change.objects.filter(origin="outside").exists, 20, "nobody noticed")
    outside = Change.objects.get(origin="outside")
    assert (outside.from_mpm, outside.state) == ("prefork", State.SUCCEEDED)
    back = ended(roll_back(outside, ADMIN, "was not us"))
    assert back.state == State.SUCCEEDED, back.sentence
    assert any("prefork" in p.name for p in house.simulated.inspect().packages)


@pytest.mark.parametrize("fault", ["configtest", "rehearsal", "post_scriptlet"])
def test_a_step_that_fails_ends_truthfully(house: House, fault: str) -> None:
    with house.simulated.state() as state:
        state["faults"] = {fault: 1}
    change = ended(request_change(house.server, Choice.parse("event"), actor=ADMIN))
    running = house.simulated.inspect().running
    assert running is not None
    assert running.mpm == ("event" if change.state == State.SUCCEEDED else "prefork")
    assert change.sentence
