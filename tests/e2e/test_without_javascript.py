"""The same job over plain HTTP, as a browser without JavaScript does it, on a simulated server."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from demo.panel import Panel

MPM = "software/easyapache4/mpm/"
OURS = "server=sandbox"
"""The server of the panel that has an agent, whatever other tests have added."""
PATIENCE = 60.0


class Visitor:
    """Follows links and sends forms; knows nothing but the HTML it gets."""

    def __init__(self, panel: Panel, role: str) -> None:
        self.client = httpx.Client(base_url=panel.address, timeout=20, follow_redirects=True)
        name, password = panel.accounts[role]
        self.get("login/")
        self.post("login/", username=name, password=password)

    def get(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def post(self, path: str, **form: str) -> httpx.Response:
        form["csrfmiddlewaretoken"] = self.client.cookies["csrftoken"]
        return self.client.post(path, data=form)

    def until(self, path: str, seen: Callable[[str], bool]) -> str:
        """Load a page again and again, as its refresh header makes a browser do."""
        end = time.monotonic() + PATIENCE
        while not seen(text := self.get(path)):
            assert time.monotonic() < end, re.sub(r"<[^>]+>|\s+", " ", text)[:3000]
            time.sleep(0.2)
        return text


@pytest.fixture
def visitor(simulated_panel: Panel) -> Iterator[Callable[[str], Visitor]]:
    made: list[Visitor] = []

    def make(role: str) -> Visitor:
        made.append(Visitor(simulated_panel, role))
        return made[-1]

    yield make
    for one in made:
        one.client.close()


def digest_in(text: str) -> str:
    found = re.search(r'name="digest" value="([0-9a-f]+)"', text)
    assert found, "the page offers nothing to confirm"
    return html.unescape(found[1])


def test_a_change_is_chosen_reviewed_confirmed_and_told_without_javascript(
    visitor: Callable[[str], Visitor],
) -> None:
    administrator = visitor("administrator")
    chooser = f"{MPM}?{OURS}&mpm=event"
    before = administrator.until(chooser, lambda text: 'name="mpm"' in text)
    target = "worker" if "No changes needed" in before else "event"
    asked = administrator.post(f"{MPM}review/", server="sandbox", mpm=target)
    address = asked.url.path
    review = administrator.until(address, lambda text: 'name="digest"' in text)
    form = {"reason": "by hand", "ticket": "P-1", "when": "now", "digest": digest_in(review)}
    form["acknowledged"] = "yes"
    confirmed = administrator.post(f"{address}confirm/", **form)
    assert re.search(r"/history/\d+/$", confirmed.url.path), confirmed.text[:500]
    told = administrator.until(confirmed.url.path, lambda text: "What happened" in text)
    assert "succeeded" in told.lower()
    assert "by hand" in told
    again = administrator.post(f"{address}confirm/", **form)
    assert again.status_code == 200
    assert "Nothing was started" in again.text or "No changes needed" in again.text


def test_a_support_reader_sees_everything_and_changes_nothing(
    visitor: Callable[[str], Visitor],
) -> None:
    support = visitor("support")
    text = support.until(f"{MPM}?{OURS}&mpm=worker", lambda text: 'name="mpm"' in text)
    assert "Review change" not in text
    assert support.get("software/easyapache4/history/")
    assert support.post(f"{MPM}review/", mpm="worker").status_code == 403
