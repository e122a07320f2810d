"""Notices about a server."""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext as _

from mpm.history.outside import undecided_of
from mpm.history.story import opening_from_outside
from mpm.servers.models import Server
from mpm.servers.notices import Notice, register


def changed_outside(server: Server) -> Notice | None:
    """An external change that was not accepted yet."""
    change = undecided_of(server)
    if change is None:
        return None
    return Notice(
        f"{opening_from_outside(change)} {_('This external change hasn’t been reviewed yet.')}",
        reverse("change", args=[change.pk]),
        _("Review external change"),
    )


def register_notices() -> None:
    register(changed_outside)
