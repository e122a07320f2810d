"""The page of one change by a share link, without an account.

It shows what a customer may know (mpm.history.customer), and the parts added by the creator of the
link: no log, path, command, address or account, and no link to other pages. It must not be stored
by caches or search engines, nor sent as a referrer.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from mpm.access.services.actor import Refused
from mpm.changes.services.sharing import Link, shared_change
from mpm.changes.views.change import strips_of
from mpm.changes.views.steps import journal_of
from mpm.history.customer import customer_facts, headline
from mpm.history.story import before_and_after, simulated
from mpm.models import Change
from mpm.web.responses import show

PRIVATE = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
}


@login_not_required
@require_GET
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """The page of the link, or why it is not valid. No sign-in is needed; nothing is written."""
    try:
        one, link = shared_change(token, timezone.now())
    except Refused as refused:
        answer = show(request, "mpm/shared_not.html", {"refused": refused}, status=refused.status)
    else:
        answer = show(request, "mpm/shared.html", _about(one, link) | {"link": link})
    for name, value in PRIVATE.items():
        answer.headers[name] = value
    return answer


def _about(one: Change, link: Link) -> dict[str, Any]:
    journal = journal_of(list(one.reports.order_by("seq")))
    seen = journal.decisive
    passed = (sum(check.ok for check in seen), len(seen))
    return {
        "change": one,
        "headline": headline(one),
        "facts": customer_facts(one, link.include, checks=passed),
        "changed": [row for row in before_and_after(one) if row.moved],
        "strips": [] if simulated(one) else strips_of(one, journal),
    }
