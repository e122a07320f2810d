"""Old history goes in small steps, and what stays still proves itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from easyapache.models import Server
from mpm import services
from mpm.history import events_as_json
from mpm.models import Change, Event, LogChunk, Report
from mpm.models.guards import install_guards, remove_guards
from mpm.seal import PRUNED
from mpm.verification import verify_database, verify_export
from tests.panel.told import EVENT, carried_out


@pytest.mark.django_db
def test_pruning_keeps_the_first_and_the_last_and_a_chain_that_proves_itself(
    story_of_two: list[Change], tmp_path: Path
) -> None:
    web01 = [change.pk for change in story_of_two[:6]]
    later = timezone.now() + timedelta(days=400)
    assert services.prune(later, 0).events == 0
    assert services.prune(later, 500).events == 0
    pruned = services.prune(later, 365)
    assert pruned.changes == 4
    assert not pruned.more
    left = set(Change.objects.values_list("pk", flat=True))
    assert left == {web01[0], web01[-1], story_of_two[-1].pk}
    assert set(Report.objects.values_list("change_id", flat=True)) <= left
    assert set(LogChunk.objects.values_list("change_id", flat=True)) <= left
    assert verify_database().faults == ()
    assert services.prune(later, 365).events == 0
    # Life goes on, and the next pruning leaves a gap beside a gap.
    server = Server.objects.get(name="web01")
    carried_out(server, EVENT)
    assert services.prune(later + timedelta(days=800), 365).changes == 1
    assert verify_database().faults == ()
    export = tmp_path / "export.json"
    export.write_text("".join(events_as_json()))
    assert verify_export(export).faults == ()


@pytest.mark.django_db
def test_a_pruning_that_nobody_wrote_down_is_a_fault(story_of_two: list[Change]) -> None:
    services.prune(timezone.now() + timedelta(days=400), 365)
    remove_guards(connection)
    Event.objects.filter(kind=PRUNED, server_name="web01").prune()
    install_guards(connection)
    assert verify_database().faults
