"""History as a stream: resumed anywhere, waited for, and complete whoever commits first."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from mpm.history import event_cursor
from mpm.history.services.events import append
from mpm.models import Event
from mpm.servers.models import Server
from tests.api.conftest import AddServer, AddToken, Call

SOON = timedelta(seconds=1)


def settled() -> int:
    """The last event, once the stream takes it for granted that nothing is missing before it."""
    last = happen().pk
    event_cursor.horizon(timezone.now() - 2 * event_cursor.SETTLED_AFTER)
    return last


def happen(kind: str = "test.event", server: str = "", **values: object) -> Event:
    with transaction.atomic():
        return append(kind, timezone.now(), server_name=server, data=values)


def test_a_cursor_is_taken_up_again_without_loss_or_repetition(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("read")
    settled()
    wanted = [happen(number=number).pk for number in range(7)]
    seen: list[int] = []
    after = f"{wanted[0] - 1:x}"
    for _ in range(9):
        page = call("GET", f"events?cursor={after}&limit=3", token=token).body
        seen += [item["id"] for item in page["items"]]
        after = page["next"]
    assert seen == wanted
    assert call("GET", f"events?cursor={after}", token=token).body == {"items": [], "next": after}
    late = happen(number=8).pk
    page = call("GET", f"events?cursor={after}", token=token).body
    assert [item["id"] for item in page["items"]] == [late]


def test_filters_leave_out_and_the_cursor_moves_over_what_they_left_out(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    for name in ("web01", "web02"):
        add_server(name)
    token, narrow = add_token("read"), add_token("read", servers=["web01"])
    start = f"{settled():x}"
    for kind, name in (
        ("server.created", "web01"),
        ("server.updated", "web01"),
        ("server.created", "web02"),
        ("server.repaired", "web02"),
    ):
        happen(kind, name)
    for query, who, expected in (
        ("kind=server.created", token, ["server.created", "server.created"]),
        (
            "kind=server.created&kind=server.repaired",
            token,
            ["server.created", "server.created", "server.repaired"],
        ),
        ("server=web02", token, ["server.created", "server.repaired"]),
        ("", narrow, ["server.created", "server.updated"]),
    ):
        page = call("GET", f"events?cursor={start}&{query}", token=who).body
        assert [item["kind"] for item in page["items"]] == expected, query
        assert page["next"] == f"{event_cursor.last_id():x}", query
    for query in ("cursor=xyz", "cursor=-1", "limit=0", "wait=31", "server=%00", "server=nowhere"):
        assert call("GET", f"events?{query}", token=token).status == 422, query


def test_what_happened_names_the_request_that_caused_it(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change", name="deploy")
    start = f"{settled():x}"
    body = {"mpm": "event"}
    made = call("PUT", "servers/web03/mpm", body, token=token, X_Request_Id="ticket-4471-a")
    assert made.headers["X-Request-Id"] == "ticket-4471-a"
    event = call("GET", f"events?cursor={start}&kind=change.queued", token=token).body["items"][0]
    assert event["request_id"] == "ticket-4471-a"
    assert event["change"] == made.body["change"]["id"]
    assert (event["actor"]["token"], event["actor"]["origin"]) == ("deploy", "rest")


@pytest.mark.django_db(transaction=True)
def test_a_long_poll_answers_with_the_next_event(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server()
    token = add_token("read")
    start = f"{settled():x}"

    def later() -> None:
        time.sleep(0.6)
        happen("server.created", "web03")
        connection.close()

    writer = threading.Thread(target=later)
    began = time.monotonic()
    writer.start()
    page = call("GET", f"events?cursor={start}&wait=20", token=token).body
    writer.join()
    assert [item["kind"] for item in page["items"]] == ["server.created"]
    assert 0.4 < time.monotonic() - began < 10


def placed(identity: int, at_offset: timedelta = timedelta(0)) -> Event:
    """An event with a number of our choosing, as if its transaction ended just now."""
    event = Event(
        id=identity,
        server_name=f"s{identity}",
        seq=1,
        at=timezone.now() + at_offset,
        kind="test.placed",
        hash=f"{identity:064x}",
    )
    event.save(force_insert=True)
    return event


@pytest.mark.parametrize("at_offset", [timedelta(0), timedelta(hours=-3)])
def test_the_stream_ends_before_a_number_that_may_still_come(
    db: None, at_offset: timedelta
) -> None:
    """Whatever time the later event tells: an agent may report hours late."""
    first = settled()
    now = timezone.now()
    placed(first + 2, at_offset)
    placed(first + 3)
    assert [event.pk for event in event_cursor.events_after(first - 1, 10, now)[0]] == [first]
    position = event_cursor.events_after(first - 1, 10, now)[1]
    assert position == first
    placed(first + 1)
    found, position = event_cursor.events_after(position, 10, now + SOON)
    assert [event.pk for event in found] == [first + 1, first + 2, first + 3]
    assert position == first + 3


def test_a_number_that_never_comes_is_waited_for_a_few_seconds_only(db: None) -> None:
    first = settled()
    now = timezone.now()
    placed(first + 5)
    assert event_cursor.events_after(first, 10, now) == ([], first)
    found, position = event_cursor.events_after(first, 10, now + event_cursor.SETTLED_AFTER + SOON)
    assert ([event.pk for event in found], position) == ([first + 5], first + 5)
    later = now + event_cursor.SETTLED_AFTER + 2 * SOON
    placed(first + 7)
    assert event_cursor.events_after(first + 5, 10, later) == ([], first + 5)


@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_while_slow_and_quick_writers_commit_in_any_order(
    add_server: AddServer,
) -> None:
    """On PostgreSQL later numbers become visible first; SQLite lets one writer in at a time."""
    add_server()
    start = settled()

    def write(name: str, pause: float, times: int) -> None:
        try:
            for number in range(times):
                with transaction.atomic():
                    append("test.race", timezone.now(), server_name=name, data={"n": number})
                    time.sleep(pause)
        finally:
            connection.close()

    writers = [
        threading.Thread(target=write, args=("slow", 0.12, 6)),
        threading.Thread(target=write, args=("middle", 0.03, 14)),
        threading.Thread(target=write, args=("quick", 0.0, 40)),
    ]
    seen: list[int] = []
    position = start
    for writer in writers:
        writer.start()

    def read() -> None:
        nonlocal position
        found, position = event_cursor.events_after(position, 7, timezone.now())
        seen.extend(event.pk for event in found)

    while any(writer.is_alive() for writer in writers):
        read()
        time.sleep(0.005)
    end = time.monotonic() + event_cursor.SETTLED_AFTER.total_seconds() + 5
    while position < event_cursor.last_id() and time.monotonic() < end:
        read()
        time.sleep(0.05)
    written = list(Event.objects.filter(id__gt=start).order_by("id").values_list("pk", flat=True))
    assert len(written) == 60
    assert seen == written
