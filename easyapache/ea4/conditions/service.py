"""What systemd has to do with an httpd that serves."""

from __future__ import annotations

from easyapache.ea4.conditions.condition import RESTART, Failure
from easyapache.ea4.sentences import Sentence

SERVICE: tuple[Failure, ...] = (
    Failure(
        "service-astray",
        Sentence("Apache runs outside its service"),
        Sentence(
            "Apache serves visitors, but systemd's httpd.service isn't active or doesn't manage "
            "this Apache. Stopping the service doesn't stop Apache, and the service's limits "
            "don't apply to it."
        ),
        Sentence("Restart Apache here. httpd.service then manages it again."),
        repair=RESTART,
    ),
)
