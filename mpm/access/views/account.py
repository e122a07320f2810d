"""The user's preferences and notifications."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from mpm.access.rights import may_read
from mpm.web.dates import CLOCKS, ORDERS, Style, override, written
from mpm.web.message_storage import recent_messages
from mpm.web.preferences import THEMES, ZONES
from mpm.web.responses import back_to, show

A_YEAR = 365 * 24 * 3600
COOKIES = {
    "theme": "theme",
    "language": settings.LANGUAGE_COOKIE_NAME,
    "zone": "zone_chosen",
    "dates": "dates",
    "clock": "clock",
}
"""Where each preference is kept in the reader's browser."""


class Preferences(forms.Form):
    """All optional: a button of the account menu sends its one value only."""

    theme = forms.ChoiceField(choices=[(name, name) for name in THEMES], required=False)
    language = forms.ChoiceField(choices=settings.LANGUAGES, required=False)
    zone = forms.CharField(required=False, max_length=64)
    dates = forms.ChoiceField(choices=[(name, name) for name in ORDERS if name], required=False)
    clock = forms.ChoiceField(choices=[(name, name) for name in CLOCKS if name], required=False)

    def clean_zone(self) -> str:
        zone: str = self.cleaned_data["zone"].strip()
        if zone and zone not in ZONES:
            raise forms.ValidationError(
                _("Unknown time zone. Use a name such as America/New_York.")
            )
        return zone


@may_read
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """Kept in cookies: they belong to the browser, and need no account to be right."""
    form = Preferences(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        answer = back_to(request, "preferences")
        for field, cookie in COOKIES.items():
            if field not in request.POST:
                continue
            value = form.cleaned_data[field]
            if value:
                answer.set_cookie(
                    cookie, quote(value), max_age=A_YEAR, samesite="Lax", secure=settings.HTTPS
                )
            else:
                answer.delete_cookie(cookie)
        return answer
    return show(
        request,
        "easyapache/preferences.html",
        {
            "form": form,
            "zones": sorted(ZONES),
            "zone_chosen": request.COOKIES.get("zone_chosen"),
            "orders": _examples(Style(order) for order in ORDERS),
            "clocks": _examples(Style(clock=clock) for clock in CLOCKS),
        },
        status=422 if form.is_bound else 200,
    )


def _examples(styles: Iterable[Style]) -> list[tuple[str, str]]:
    """Each choice with this afternoon as an example; choices that look the same are listed once."""
    then = timezone.localtime().replace(hour=16, minute=11)
    found: dict[str, str] = {}
    for style in styles:
        with override(style):
            found.setdefault(written(then, "SHORT_DATETIME_FORMAT"), style.clock or style.order)
    return [(name, example) for example, name in found.items()]


@may_read
@require_GET
def messages(request: HttpRequest) -> HttpResponse:
    """The notifications of this session."""
    return show(request, "easyapache/messages.html", {"said": recent_messages(request)})
