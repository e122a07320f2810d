"""How pages write times, durations, sizes and package names."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from easyapache.ea4.profile import Profile
from easyapache.ea4.relations import MAIN
from mpm.servers.health import Health, health_of
from mpm.servers.models import Server
from mpm.web.dates import written

register = template.Library()

FORMS = {
    "moment": "SHORT_DATETIME_FORMAT",
    "exact": "EXACT_FORMAT",
    "clock": "CLOCK_FORMAT",
    "day": "SHORT_DATE_FORMAT",
}
"""The names of the formats in mpm.web.formats, by what a template calls them."""


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if timezone.is_aware(value) else timezone.make_aware(value)


@register.simple_tag
def moment(value: Any, form: str = "moment") -> SafeString | str:
    """A time in the reader's zone; the exact one, with zone, when pointed at."""
    at = _moment(value)
    if at is None:
        return "–"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" data-form="{}" title="{}">{}</time>',
        at.isoformat(),
        form,
        exact(local),
        written(local, FORMS[form]),
    )


def exact(local: datetime) -> str:
    """Down to the millisecond, with the name of the zone."""
    zone = timezone.get_current_timezone_name()
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} {zone}"


@register.filter(name="written")
def in_format(value: Any, name: str) -> str:
    """A day, or a time in the reader's zone, in a format of mpm.web.formats."""
    if not isinstance(value, date):
        return ""
    return written(timezone.localtime(value) if isinstance(value, datetime) else value, name)


@register.simple_tag
def ago(value: Any) -> SafeString | str:
    """How long ago, in one unit; the exact time when pointed at."""
    at = _moment(value)
    if at is None:
        return _("never")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        exact(timezone.localtime(at)),
        in_words(timezone.now() - at),
    )


def in_words(gap: timedelta) -> str:
    seconds = max(0, int(gap.total_seconds()))
    if seconds < 60:
        return _("%(count)d s ago") % {"count": seconds}
    if seconds < 3600:
        return _("%(count)d min ago") % {"count": seconds // 60}
    if seconds < 48 * 3600:
        return _("%(count)d h ago") % {"count": seconds // 3600}
    days = seconds // 86400
    return ngettext("%(count)d day ago", "%(count)d days ago", days) % {"count": days}


@register.simple_tag
def until(value: Any) -> str:
    """How long it is until a moment: ``starts in 5 h 57 min``."""
    at = _moment(value)
    if at is None:
        return ""
    seconds = int((at - timezone.now()).total_seconds())
    if seconds < 60:
        return _("starts in less than a minute")
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86400
    if days:
        words = ngettext("%(count)d day", "%(count)d days", days) % {"count": days}
        time = f"{words} {hours} h" if hours else words
    else:
        time = f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return _("starts in %(time)s") % {"time": time}


def window_in_words(start: datetime, end: datetime | None) -> str:
    """``Dec 1, 2026, 3:00 AM–4:00 AM EST``; the start alone where there is no end."""
    first = timezone.localtime(start)
    if end is None:
        return written(first, "SHORT_DATETIME_FORMAT")
    last = timezone.localtime(end)
    if first.date() != last.date():
        whole = (written(one, "SHORT_DATETIME_FORMAT") for one in (first, last))
        return " – ".join(map(str, whole))
    words = {
        "date": written(first, "SHORT_DATE_FORMAT"),
        "start": written(first, "CLOCK_WITHOUT_ZONE"),
        "end": written(last, "TIME_FORMAT"),
    }
    return _("%(date)s, %(start)s–%(end)s") % words


@register.filter
def milliseconds(value: Any) -> str:
    """``842 ms``, ``4.2 s``, ``3 min 20 s``, ``7 h 5 min`` from a number of milliseconds."""
    if value is None or value == "":
        return "–"
    amount = float(value)
    if amount < 1:
        return "0 ms" if amount <= 0 else "< 1 ms"
    if amount < 1000:
        return f"{amount:.0f} ms"
    if amount < 60_000:
        return f"{number_format(amount / 1000, 1)} s"
    minutes, rest = divmod(int(amount // 1000), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


@register.simple_tag
def span(start: Any, end: Any = None) -> str:
    """The time between two moments (or until now)."""
    first, last = _moment(start), _moment(end) or timezone.now()
    return milliseconds((last - first).total_seconds() * 1000) if first else "–"


@register.filter
def bare(name: str) -> str:
    """A package name without ``ea-`` and ``ea-apache24-``, as WHM shows them."""
    return name.removeprefix("ea-apache24-").removeprefix("ea-")


@register.filter
def apache_version(profile: Profile) -> str:
    """``2.4.67-2``: the version of the package, with that of the program if it differs, such as for
    an Apache built from source."""
    package = next((one for one in profile.packages if one.name == MAIN), None)
    program = str(profile.facts.get("httpd_version") or "")
    if package is None:
        return program or "–"
    version = f"{package.version}-{package.release}"
    if not program or program == package.version:
        return version
    words = {"package": version, "program": program}
    return _("%(package)s (package) · %(program)s (running binary)") % words


@register.filter
def bytes_in_words(value: Any) -> str:
    """``1.4 MB`` from a number of bytes."""
    if value is None or value == "":
        return "–"
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{number_format(amount, 0 if unit == 'B' else 1)} {unit}"
        amount /= 1000
    return ""


@register.filter(name="health")
def health(server: Server) -> Health:
    """What keeps a server from being whole."""
    return health_of(server)


@register.filter
def unlocalised(value: Any) -> str:
    """A number for SVG, with a decimal point in every language."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)


@register.filter
def item(mapping: Any, key: Any) -> Any:
    """``mapping[key]`` where the key is a variable; "" when there is none."""
    return mapping.get(key, "") if mapping else ""
