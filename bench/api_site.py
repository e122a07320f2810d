"""Settings of a panel with an additional bare view; as a program, prepares the measurement.

``python -m bench.api_site`` adds one server with its profile and prints a token for it.
"""

from __future__ import annotations

from typing import Any

from easyapache.settings import *  # noqa: F403

ROOT_URLCONF = "bench.api_site_urls"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}


def prepare() -> str:
    """Returns the text of a token that may read."""
    import django

    django.setup()
    from django.utils import timezone

    from easyapache.ea4.profile import Observation, Profile
    from easyapache.ea4.relations import load_catalogue
    from mpm.access.services.actor import Actor
    from mpm.access.tokens import issue
    from mpm.servers.inventory import record_scan
    from mpm.servers.models import Server

    names = ("ea-apache24", "ea-apache24-mod_mpm_event", "ea-apache24-mod_cgid")
    packages = load_catalogue().for_server(()).resolve(names).install
    seen = Observation(("event",))
    facts: dict[str, Any] = {"threads": True, "safe_thread_polling": True}
    now = timezone.now()
    server = Server.objects.create(name="web", created_at=now)
    record_scan(server, Profile(packages, seen, seen, facts), now, "scan")
    actor = Actor(name="bench", role="administrator", origin="cli")
    return issue(actor, name="bench", scopes=["read"]).text


if __name__ == "__main__":
    import sys

    sys.stdout.write(prepare() + "\n")
