"""The tools this product adds to the panel."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from mpm.web.platform_tools import ACCESS, SOFTWARE
from mpm.web.tools import Tool, register


def register_tools() -> None:
    register(
        (
            Tool(
                title="Apache MPM",
                route="mpm",
                group=SOFTWARE,
                order=11,
                of_server=True,
                about=_(
                    "Choose how Apache serves requests: event, worker, or prefork, and MPM ITK."
                ),
                words=_("mpm event worker prefork itk threads processes multi-processing module"),
                pages=("review", "review-confirm", "review-ask", "review-again"),
                below=True,
            ),
            Tool(
                title=_("Change history"),
                route="history",
                group=SOFTWARE,
                order=14,
                about=_("All changes with requester, time, reason, and outcome."),
                words=_("history log audit change rollback undo failed export ticket"),
                pages=("change", "rollback"),
                below=True,
            ),
            Tool(
                title=_("Diagnostics"),
                route="doctor",
                group=SOFTWARE,
                order=15,
                of_server=True,
                about=_("Known problems on this server and how to fix them."),
                words=_("doctor diagnosis failure repair broken fix httpd down"),
                pages=("doctor-repair", "doctor-result"),
                below=True,
                count=lambda page: len(page.health.problems) or None,
            ),
            Tool(
                title=_("API tokens"),
                route="tokens",
                group=ACCESS,
                order=50,
                about=_("Keys for scripts and hosting tools."),
                words=_("api token key rest whm automation"),
                pages=("token-add", "token-edit", "token-rotate"),
                only_for_change=True,
            ),
            Tool(
                title=_("Webhooks"),
                route="webhooks",
                group=ACCESS,
                order=51,
                about=_("Notify other systems about changes."),
                words=_("webhook notify callback event delivery chat"),
                pages=("webhook-add", "webhook", "webhook-edit", "webhook-alter"),
                only_for_change=True,
            ),
            Tool(
                title=_("Users and roles"),
                route="users",
                group=ACCESS,
                order=52,
                about=_("Manage users and their roles."),
                words=_("user account role administrator support password"),
                pages=("user-add", "user-alter"),
            ),
        )
    )
