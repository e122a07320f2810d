"""The platform's own tools."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from mpm.web.tools import Page, Tool, register

SOFTWARE, FLEET, ACCESS = _("Software"), _("Servers"), _("Access")


def server_count(page: Page) -> int | None:
    return page.server_count


def register_tools() -> None:
    register(
        (
            Tool(
                title="EasyApache 4",
                route="ea4",
                group=SOFTWARE,
                order=10,
                of_server=True,
                about=_("Overview of what’s installed on this server."),
                words="apache php easyapache web server",
            ),
            Tool(
                title=_("Installed packages"),
                route="packages",
                group=SOFTWARE,
                order=12,
                of_server=True,
                about=_("Search packages and see their requirements and conflicts."),
                words=_("package rpm module version update relations requires conflicts"),
                pages=("package",),
                below=True,
            ),
            Tool(
                title=_("Profiles"),
                route="profiles",
                group=SOFTWARE,
                order=13,
                of_server=True,
                about=_("Compare, save, upload, and download EasyApache 4 profiles."),
                words=_("profile provision upload download compare convert current state"),
                pages=("profile", "profile-save", "profile-upload"),
                below=True,
            ),
            Tool(
                title=_("All servers"),
                route="servers",
                group=FLEET,
                order=30,
                about=_("All servers with their MPM, health, and agent status."),
                words=_("fleet host agent"),
                pages=("server",),
                count=server_count,
            ),
        )
    )
