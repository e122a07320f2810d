"""Reads a filled history as people do, and times it, in a process of its own.

    python -m bench.history_reader pages       first how many rows each reading shows, by name;
                                               then for each name on a line of its own its seconds
    python -m bench.history_reader csv|json    {"seconds", "bytes", "rows", "grown"}

DATABASE_URL names the database. Pages are the panel's own, through every middleware and with
their templates, signed in as an administrator; ``rows`` is the list alone, as REST and the
command line read it. ``grown`` is by how many bytes the process grew while it exported.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import django

from bench.fill_history import RARE, RARE_TICKET

HISTORY = "/software/easyapache4/history/"
LINK = re.compile(rb'href="/software/easyapache4/history/(\d+)/"')
SHORT = "text: two letters of no change"
"""No index has words of less than three letters; the worst case is one without any match."""


def readings() -> dict[str, dict[str, str]]:
    """The pages by name: their query strings."""
    from mpm.models import Change

    newest = Change.objects.order_by("-pk").values_list("pk", flat=True)[0]
    some = Change.objects.get(pk=max(1, newest // 2))
    month = {"since": f"{some.requested_at:%Y-%m-01}", "until": f"{some.requested_at:%Y-%m-28}"}
    deep = {
        f"{percent} % deep": {"cursor": f"b{max(1, newest - newest * percent // 100) + 51}"}
        for percent in (10, 50, 100)
    }
    return {
        "first page": {},
        **deep,
        "one server": {"of": some.server_name},
        "one server, 50 % deep": {"of": some.server_name, "cursor": f"b{some.pk + 1}"},
        "one person": {"person": some.actor_name},
        "way in: REST": {"origin": "rest"},
        "result: failed": {"result": "failed"},
        "result: failed, 50 % deep": {"result": "failed", "cursor": f"b{some.pk + 1}"},
        "from worker to event": {"mpm_from": "worker", "mpm_to": "event"},
        "with ITK": {"itk": "yes"},
        "one ticket (10 changes)": {"ticket": RARE_TICKET},
        "one month": month,
        "one month, one server": {**month, "of": some.server_name},
        "text: a word of many": {"text": "shop"},
        "text: a word of many, 50 % deep": {"text": "shop", "cursor": f"b{some.pk + 1}"},
        "text: a word of many, one server": {"text": "shop", "of": some.server_name},
        "text: a word of one change": {"text": RARE},
        "text: a word of one change, one server": {"text": RARE, "of": some.server_name},
        "text: words of no change": {"text": "nobody ever wrote this"},
        SHORT: {"text": "qq"},
    }


class WrongAnswer(Exception):
    """A page was not shown: its time would mean nothing."""


def pages() -> dict[str, Callable[[], int]]:
    """Everything that can be read, by name; reading returns how many changes were listed."""
    from django.contrib.auth.models import User
    from django.test import Client

    from mpm.access.services.actor import Actor
    from mpm.access.services.users import add_user
    from mpm.history.filters import ChangeFilters
    from mpm.history.pages import changes
    from mpm.models import Change

    client = Client(SERVER_NAME="localhost")
    user = User.objects.filter(username="bench-reader").first()
    if user is None:
        actor = Actor(name="bench", role="administrator", origin="cli")
        user, _ = add_user("bench-reader", "administrator", actor=actor)
    client.force_login(user)

    def page(address: str) -> int:
        answer = client.get(address)
        if answer.status_code != 200:
            raise WrongAnswer(f"{address}: {answer.status_code}")
        return len(set(LINK.findall(answer.content)))

    def rows(cursor: str = "") -> int:
        return len(changes(ChangeFilters(), cursor).items)

    found: dict[str, Callable[[], int]] = {}
    for name, query in readings().items():
        found[name] = partial(page, f"{HISTORY}?{urlencode(query)}")
    newest = Change.objects.order_by("-pk").values_list("pk", flat=True)[0]
    found["page of one change"] = partial(page, f"{HISTORY}{newest // 2}/")
    found["rows: first"] = rows
    found["rows: the oldest"] = partial(rows, "b51")
    return found


def serve() -> None:
    """Read the page named on each line of input, and print the seconds it took."""
    pages_by_name = pages()
    _report({name: read() for name, read in pages_by_name.items()})
    for line in sys.stdin:
        read = pages_by_name[line.strip()]
        began = time.perf_counter()
        read()
        _report(time.perf_counter() - began)


def _report(value: Any) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def export(kind: str) -> dict[str, float]:
    from mpm.history.export import as_csv, as_json
    from mpm.history.filters import ChangeFilters

    pieces = {"csv": as_csv, "json": as_json}[kind](ChangeFilters())
    before, began = _peak(), time.perf_counter()
    size = lines = 0
    for piece in pieces:
        size += len(piece.encode())
        lines += piece.count("\n")
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "bytes": size, "rows": lines, "grown": _peak() - before}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(kind: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
    django.setup()
    if kind == "pages":
        serve()
    else:
        _report(export(kind))


if __name__ == "__main__":
    main(sys.argv[1])
