"""Plans: the instant one, and the one the server itself is asked for."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from easyapache.agents import wake
from easyapache.host.protocol import PreviewRequest
from easyapache.models import Server
from easyapache.profile import Profile
from easyapache.relations import load_catalogue
from easyapache.sentences import Sentence
from mpm.catalog import Choice
from mpm.models import Preview
from mpm.plan import Plan, make_plan
from mpm.services.actor import Actor, Refused
from mpm.services.lookup import must_be_allowed


def profile_of(server: Server) -> Profile:
    """The latest known profile. Raises Refused ``no_profile`` before the first scan."""
    profile = server.profile
    if profile is None:
        raise Refused(
            Sentence(
                "{server} has not been looked at yet, so nothing can be planned for it.",
                server=str(server),
            ),
            code="no_profile",
            status=409,
            remedy=Sentence("Check that its agent runs; it is asked for a scan every minute."),
        )
    return profile


def plan_for(server: Server, choice: Choice) -> Plan:
    """What ``choice`` would do, worked out at once from the stored profile. Writes nothing."""
    return make_plan(profile_of(server), choice, load_catalogue())


def request_preview(server: Server, choice: Choice, actor: Actor) -> Preview:
    """Ask the server's own package manager what ``choice`` would do; the answer arrives later.

    Raises NotAllowed (a preview costs the server a solver run, so it needs the right to
    change) and Refused ``no_profile``. What rules block is asked nevertheless: the page
    shows both answers, and only the confirm is refused.
    """
    must_be_allowed(actor, Sentence("ask servers for a preview"))
    plan = plan_for(server, choice)
    preview = Preview.objects.create(
        server=server,
        choice=choice.as_json(),
        base_digest=plan.base_digest,
        stored_digest=plan.digest,
        goal=plan.goal.as_json(),
        actor_name=actor.name,
        requested_at=timezone.now(),
    )
    transaction.on_commit(lambda: ask_again(preview))
    return preview


def ask_again(preview: Preview) -> bool:
    """Send the question of a pending preview to its server; asking twice does no harm."""
    from easyapache.host.protocol import Goal

    request = PreviewRequest(preview=preview.uuid, goal=Goal.from_json(preview.goal))
    return wake(preview.server.name, "preview", request.as_json())
