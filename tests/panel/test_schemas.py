"""One schema per resource: it knows the values that models and rules know, and every door shows
the same."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta, timezone

import pytest

from easyapache.ea4.conditions.repairs import REPAIR_LABELS
from easyapache.ea4.protocol import RESTART_METHODS
from mpm.changes.detail import change_detail
from mpm.changes.lifecycle import STATES
from mpm.changes.models.change import Origin
from mpm.history.export import COLUMNS, as_csv, as_json
from mpm.history.filters import ChangeFilters
from mpm.models import Change, Delivery, State
from mpm.schemas import change as change_schema
from mpm.schemas import repair, server, webhook
from mpm.schemas.change import Change as ChangeSchema
from mpm.schemas.resource import stamp
from mpm.servers import health
from mpm.servers.models import InstalledProfile, Server


@pytest.mark.parametrize(
    ("documented", "known"),
    [
        (change_schema.ORIGINS, Origin.values),
        (STATES, State.values),
        (("auto", *change_schema.METHODS), (*RESTART_METHODS, "start", "simulated")),
        (server.KINDS, Server.Kind.values),
        (server.HEALTH, [*health.State]),
        (("scan", "change", "preview"), InstalledProfile.Source.values),
        (webhook.STATES, Delivery.State.values),
        (repair.ACTIONS, REPAIR_LABELS),
    ],
)
def test_a_schema_documents_exactly_the_values_there_are(
    documented: tuple[str, ...], known: list[str]
) -> None:
    assert list(documented) == list(known)


def test_a_time_is_utc_with_milliseconds_whatever_zone_it_was_in() -> None:
    moment = datetime(2026, 3, 3, 23, 4, 11, 802_999, tzinfo=timezone(timedelta(hours=2)))
    assert stamp(moment) == "2026-03-03T21:04:11.802Z"
    assert stamp(datetime(2026, 3, 3, tzinfo=UTC)) == "2026-03-03T00:00:00.000Z"


def test_an_export_shows_a_change_as_rest_does(story_of_two: list[Change]) -> None:
    row = Change.objects.get(pk=story_of_two[0].pk)
    exported = ChangeSchema.of(row).as_json()
    assert (exported["id"], exported["uuid"]) == (row.pk, row.uuid)
    assert exported["from"]["mpm"] == row.from_mpm
    filters = ChangeFilters(server="web01")
    listed = json.loads("".join(as_json(filters)))
    assert listed[-1] == exported
    table = list(csv.DictReader(io.StringIO("".join(as_csv(filters)))))
    assert tuple(table[0]) == COLUMNS
    assert table[-1]["id"] == str(row.pk)
    assert table[-1]["from_mpm"] == row.from_mpm
    assert table[-1]["requested_at"] == exported["requested_at"]


def test_a_detail_is_the_change_and_more(
    story_of_two: list[Change],
    django_assert_max_num_queries: Callable[..., AbstractContextManager[object]],
) -> None:
    row = Change.objects.get(pk=story_of_two[0].pk)
    with django_assert_max_num_queries(3):
        detail = change_detail(row).as_json()
    assert ChangeSchema.of(row).as_json().items() <= detail.items()
    assert [item["name"] for item in detail["install"]]
    assert all(step["at"].endswith("Z") for step in detail["steps"])
    assert detail["timeline"]
