"""Two playbooks at once on one real server, each as ``docs/how-to/change-the-mpm.yml`` does it:
whoever is told that it is done has the truth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.api.test_live import settled, token_for
from tests.stack import Panel

pytestmark = pytest.mark.lab
SERVER = "lab"
SECONDS = 180


@dataclass(frozen=True, slots=True)
class Play:
    """One playbook that ended green. ``changed``: by a change of its own."""

    mpm: str
    changed: bool
    number: int
    put_at: float
    """When the answer that it believed arrived."""


class Playbook:
    """The tasks of the playbook, by one token."""

    def __init__(self, panel: Panel, token: str) -> None:
        self.client = httpx.Client(
            base_url=f"{panel.address}api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )

    def run(self, mpm: str) -> Play:
        """Raises AssertionError where the playbook would be red."""
        end = time.monotonic() + SECONDS
        while True:
            put = self.client.put(f"servers/{SERVER}/mpm", json={"mpm": mpm, "reason": "play"})
            at = time.time()
            if put.status_code in (200, 202):
                break
            assert put.status_code == 409, put.text
            assert time.monotonic() < end, put.text
            time.sleep(0.2)
        body: dict[str, Any] = put.json()
        if not body["changed"]:
            return Play(mpm, changed=False, number=0, put_at=at)
        number = body["change"]["id"]
        change: dict[str, Any] = {"finished": False}
        while not change["finished"]:
            assert time.monotonic() < end
            change = self.client.get(f"changes/{number}", params={"wait": 30}).json()
        assert change["state"] == "succeeded", change
        return Play(mpm, changed=True, number=number, put_at=at)

    def changes(self) -> list[dict[str, Any]]:
        """Oldest first."""
        items = self.client.get("changes", params={"server": SERVER, "limit": 500}).json()["items"]
        return list(reversed(items))

    def mpm(self) -> str:
        return str(self.client.get(f"servers/{SERVER}/mpm").json()["mpm"])


@pytest.fixture
def playbooks(panel: Panel) -> Iterator[tuple[Playbook, Playbook]]:
    tokens = [token_for(panel, "change") for _ in "ab"]
    settled(panel, tokens[0], SERVER)
    one, other = (Playbook(panel, token) for token in tokens)
    yield one, other
    one.client.close()
    other.client.close()


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def was_true(play: Play, changes: list[dict[str, Any]], first: str) -> bool:
    """Whether the server was what the playbook was told, or became it by its own change."""
    if play.changed:
        own = next(one for one in changes if one["id"] == play.number)
        return bool(own["state"] == "succeeded" and own["to"]["mpm"] == play.mpm)
    mpm = first
    for change in changes:
        if moment(change["requested_at"]) > play.put_at:
            break
        if moment(change["finished_at"]) > play.put_at:
            return False  # "no changes needed" while one was under way
        mpm = change["to"]["mpm"]
    return mpm == play.mpm


@pytest.mark.parametrize(
    "wishes",
    [("event", "prefork"), ("worker", "event"), ("worker", "worker"), ("prefork", "event")],
    ids="-".join,
)
def test_two_playbooks_at_once_are_never_both_green_with_one_wrong(
    playbooks: tuple[Playbook, Playbook], wishes: tuple[str, str]
) -> None:
    before = len(playbooks[0].changes())
    first = playbooks[0].mpm()
    with ThreadPoolExecutor(2) as pool:
        plays = list(
            pool.map(lambda pair: pair[0].run(pair[1]), zip(playbooks, wishes, strict=True))
        )
    changes = playbooks[0].changes()[before:]
    assert [was_true(play, changes, first) for play in plays] == [True, True], (plays, changes)
    last = changes[-1]["to"]["mpm"] if changes else first
    assert playbooks[0].mpm() == last
    assert last in wishes
    if len(set(wishes)) == 1:
        assert len(changes) <= 1, "the same wish twice is one change"
