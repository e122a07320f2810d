"""Help: the pages of docs/, those of the version that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from mpm import VERSION
from mpm.access.rights import may_read
from mpm.web.manual import Manual, Page, manual, rendered
from mpm.web.responses import show

PARTS: tuple[tuple[str, str | Promise], ...] = (
    ("tutorial", gettext_lazy("Tutorial")),
    ("how-to", gettext_lazy("How to")),
    ("explanation", gettext_lazy("Explanation")),
    ("reference", gettext_lazy("Reference")),
    ("decisions", gettext_lazy("Decisions")),
)
"""The folders of docs/ in the order of the list, and what a reader reads for them."""


FOLDED = frozenset({"decisions"})
"""Those few readers look for; their pages are behind the title."""


@dataclass(slots=True)
class Part:
    folder: str
    title: str | Promise
    pages: list[Page] = field(default_factory=list)

    @property
    def folded(self) -> bool:
        return self.folder in FOLDED


def contents(pages: Manual) -> Iterator[Part]:
    """The list beside a page. A folder without a name of its own isn't shown."""
    for folder, title in PARTS:
        if found := [page for page in pages.values() if page.folder == folder]:
            yield Part(folder, title, found)


@may_read
@require_GET
def page(request: HttpRequest, key: str = "") -> HttpResponse:
    """Raises Http404 if it isn't a page of docs/."""
    pages = manual()
    found = pages.get(key)
    if found is None:
        raise Http404(_("Help has no page at this address."))
    return show(
        request,
        "help/page.html",
        {
            "page": found,
            "body": rendered(found, pages),
            "first": pages.get(""),
            "parts": list(contents(pages)),
            "version": VERSION,
        },
    )
