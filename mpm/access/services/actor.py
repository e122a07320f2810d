"""Who makes a request, and the ways a service refuses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from easyapache.ea4.rules.findings import Finding
from easyapache.ea4.sentences import Sentence, plain

if TYPE_CHECKING:
    from easyapache.ea4.plan import Plan
    from mpm.models import Change


@dataclass(frozen=True, slots=True)
class Actor:
    """The user, token or program that makes a request; history stores these values unchanged.

    ``origin`` is one of mpm.changes.models.change.Origin. The role ``token`` is only given to a
    request whose token has the scope of the operation.
    """

    name: str
    role: str = ""
    user_id: int | None = None
    origin: str = "web"
    token_name: str = ""
    address: str = ""
    agent_class: str = ""
    request_id: str = ""

    @property
    def may_change(self) -> bool:
        return self.role in ("administrator", "system", "token")


SYSTEM = Actor(name="panel", role="system", origin="schedule")
"""The panel itself: queues due changes, reports offline agents."""


def agent_of(server_name: str) -> Actor:
    """The agent as the author of an event."""
    return Actor(name=f"agent of {server_name}", role="agent", origin="schedule")


class Refused(Exception):
    """A request that is not carried out; nothing was changed.

    ``code`` is stable, ``message`` is for people, ``status`` is the HTTP status that fits, and
    ``field`` the field of a request that the refusal is about, where it is about one.
    """

    status = 422
    code = "refused"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        findings: Sequence[Finding] = (),
        status: int | None = None,
        remedy: str = "",
        field: str = "",
    ) -> None:
        super().__init__(message)
        self.field = field
        self.message, self.findings, self.remedy = message, tuple(findings), remedy
        self.code = code or type(self).code
        self.status = status or type(self).status

    def as_json(self) -> dict[str, Any]:
        """For programs: English, without what the sentences were made of."""
        return {
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
            "findings": [plain(finding.as_json()) for finding in self.findings],
        }


class NotAllowed(Refused):
    """This person may look, but not change."""

    status = 403
    code = "not_allowed"


class NotFound(Refused):
    """There is no such server, change, preview or package."""

    status = 404
    code = "not_found"


class Unanswered(Refused):
    """The server did not answer, or its package manager could not: nothing was refused, it
    failed."""

    code = "preview_failed"


class BadRequest(Refused):
    """A value that cannot be meant: too long, with control characters, contradictory."""

    code = "invalid"


class Busy(Refused):
    """Another change of the same server has not finished. ``change`` is that change."""

    status = 409
    code = "busy"

    def __init__(self, change: Change) -> None:
        super().__init__(
            Sentence(
                "Change #{number} on {server} ({state}) hasn't finished. Only one change can "
                "run at a time.",
                number=change.pk,
                server=change.server_name,
                state=str(change.state),
            ),
            remedy=Sentence(
                "Wait until change #{number} finishes, or cancel it.", number=change.pk
            ),
        )
        self.change = change


class UnderWay(Busy):
    """The unfinished change already does what was requested; no second one is created.

    An interface that can return that change does so. For others it blocks the request.
    """

    def __init__(self, change: Change) -> None:
        super().__init__(change)
        self.message = Sentence(
            "Change #{number} on {server} ({state}) already does this.",
            number=change.pk,
            server=change.server_name,
            state=str(change.state),
        )


class Stale(Refused):
    """The confirmed plan is out of date. ``plan`` is the current one."""

    status = 409
    code = "stale"

    def __init__(self, plan: Plan, message: str = "") -> None:
        super().__init__(
            message
            or Sentence(
                "Packages on this server changed after this plan was made. Refresh the plan, "
                "then confirm again."
            ),
            findings=plan.findings,
            remedy=Sentence("Refresh the plan."),
        )
        self.plan = plan


class NothingToDo(Refused):
    """The server already has the requested configuration."""

    status = 200
    code = "nothing_to_do"


class TooLate(Refused):
    """The change can no longer be canceled or altered; the message has the reason."""

    status = 409
    code = "too_late"
