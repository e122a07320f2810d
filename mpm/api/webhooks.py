"""``/webhooks``: who is told of what happens, and how telling them went."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema, Status
from pydantic import Field

from mpm.access.scopes import Scope
from mpm.access.services.actor import NotFound, Refused
from mpm.api.auth import Bearer, actor_of, reachable_names, token_of
from mpm.api.shapes import Flag, Line, Names, ProblemDetails, QueryNumber, Wish
from mpm.api.statuses import READS, WRITES
from mpm.models import Token, Webhook
from mpm.notify import webhooks
from mpm.schemas.webhook import Delivery as DeliverySchema
from mpm.schemas.webhook import NewWebhook
from mpm.schemas.webhook import Webhook as WebhookSchema

router = Router(tags=["webhooks"])


class WebhookIn(Wish):
    name: Annotated[Line, Field(min_length=1)]
    url: Annotated[str, Field(max_length=500)]
    kinds: Annotated[Names, Field(description="Empty: all of /api/docs#event-kinds.")] = Field(
        default_factory=list
    )
    servers: Annotated[Names, Field(description="Empty: every server the token reaches.")] = Field(
        default_factory=list
    )


class WebhookChange(Wish):
    name: Annotated[Line, Field(min_length=1)] | None = None
    url: Annotated[str, Field(max_length=500)] | None = None
    kinds: Names | None = None
    servers: Names | None = None
    active: Flag | None = None


class WebhookList(Schema):
    items: list[WebhookSchema]


class SecretOut(Schema):
    secret: str


class DeliveryList(Schema):
    items: list[DeliverySchema]
    next: str | None = Field(description="Send it as `before` for older ones.")


@router.get(
    "webhooks",
    auth=Bearer(Scope.ADMIN),
    response={200: WebhookList, READS: ProblemDetails},
    operation_id="listWebhooks",
    summary="Webhooks",
)
def list_webhooks(request: HttpRequest) -> dict[str, Any]:
    """All webhooks this token may manage."""
    token = token_of(request)
    return {
        "items": [WebhookSchema.of(item) for item in Webhook.objects.all() if _manages(token, item)]
    }


@router.post(
    "webhooks",
    auth=Bearer(Scope.ADMIN),
    response={201: NewWebhook, WRITES: ProblemDetails},
    operation_id="createWebhook",
    summary="Make a webhook",
)
def make_webhook(request: HttpRequest, body: WebhookIn, response: HttpResponse) -> Any:
    """It hears of everything that happens from now on. Deliveries follow Standard Webhooks:
    `webhook-id`, `webhook-timestamp` and `webhook-signature`, at least once each."""
    token = token_of(request)
    made = webhooks.make(
        actor_of(request, token),
        name=body.name,
        url=body.url,
        kinds=body.kinds,
        servers=_within(token, body.servers),
        sandbox=token.sandbox,
    )
    created = NewWebhook.with_secret(made, webhooks.secret(made))
    response["Location"] = created.href
    return Status(201, created)


@router.get(
    "webhooks/{webhook}",
    auth=Bearer(Scope.ADMIN),
    response={200: WebhookSchema, READS: ProblemDetails},
    operation_id="getWebhook",
    summary="One webhook",
)
def get_webhook(request: HttpRequest, webhook: str) -> WebhookSchema:
    return WebhookSchema.of(_named(token_of(request), webhook))


@router.patch(
    "webhooks/{webhook}",
    auth=Bearer(Scope.ADMIN),
    response={200: WebhookSchema, WRITES: ProblemDetails},
    operation_id="updateWebhook",
    summary="Alter a webhook",
)
def update_webhook(request: HttpRequest, webhook: str, body: WebhookChange) -> WebhookSchema:
    """Only what is given is altered. `active: false` stops deliveries."""
    token = token_of(request)
    row = _named(token, webhook)
    fields = {key: value for key, value in body.dict().items() if value is not None}
    if "servers" in fields:
        fields["servers"] = _within(token, fields["servers"])
    changed = webhooks.change(row, actor_of(request, token), fields) if fields else row
    return WebhookSchema.of(changed)


@router.delete(
    "webhooks/{webhook}",
    auth=Bearer(Scope.ADMIN),
    response={204: None, READS: ProblemDetails},
    operation_id="deleteWebhook",
    summary="Remove a webhook",
)
def remove_webhook(request: HttpRequest, webhook: str) -> Any:
    """It is gone at once, with its deliveries."""
    token = token_of(request)
    webhooks.remove(_named(token, webhook), actor_of(request, token))
    return Status(204, None)


@router.post(
    "webhooks/{webhook}/rotate",
    auth=Bearer(Scope.ADMIN),
    response={200: SecretOut, READS: ProblemDetails},
    operation_id="rotateWebhook",
    summary="A new secret",
)
def rotate_webhook(request: HttpRequest, webhook: str) -> dict[str, str]:
    """For a day deliveries are signed with the old secret as well."""
    token = token_of(request)
    return {"secret": webhooks.rotate(_named(token, webhook), actor_of(request, token))}


@router.post(
    "webhooks/{webhook}/test",
    auth=Bearer(Scope.ADMIN),
    response={202: DeliverySchema, READS: ProblemDetails},
    operation_id="testWebhook",
    summary="Send a test",
)
def test_webhook(request: HttpRequest, webhook: str) -> Any:
    """A delivery of the kind `webhook.test`; read its log for what became of it."""
    token = token_of(request)
    sent = webhooks.send_test(_named(token, webhook), actor_of(request, token))
    return Status(202, DeliverySchema.of(sent, webhook))


@router.get(
    "webhooks/{webhook}/deliveries",
    auth=Bearer(Scope.ADMIN),
    response={200: DeliveryList, READS: ProblemDetails},
    operation_id="listDeliveries",
    summary="What was sent, newest first",
)
def list_deliveries(
    request: HttpRequest,
    webhook: str,
    *,
    before: Annotated[str, Query(pattern=r"^[0-9a-f]{0,15}$")] = "",
    limit: Annotated[QueryNumber, Query(50, ge=1, le=200)],
) -> dict[str, Any]:
    """Each delivery with what every attempt met."""
    rows = _named(token_of(request), webhook).deliveries.order_by("-pk")
    if before:
        rows = rows.filter(pk__lt=int(before, 16))
    found = list(rows[: limit + 1])
    more = f"{found[limit - 1].pk:x}" if len(found) > limit else None
    return {"items": [DeliverySchema.of(item, webhook) for item in found[:limit]], "next": more}


@router.post(
    "webhooks/{webhook}/deliveries/{delivery}/redeliver",
    auth=Bearer(Scope.ADMIN),
    response={202: DeliverySchema, READS: ProblemDetails},
    operation_id="redeliverWebhook",
    summary="Send again",
)
def redeliver(request: HttpRequest, webhook: str, delivery: str) -> Any:
    """Once more from the first attempt, whatever became of it."""
    token = token_of(request)
    row = _named(token, webhook)
    found = row.deliveries.filter(uuid=delivery).first() if delivery.isalnum() else None
    if found is None:
        raise NotFound("There is no such delivery.")
    if not webhooks.redeliver(found, actor_of(request, token)):
        raise Refused("It is being sent at this moment.", code="being_sent", status=409)
    found.refresh_from_db()
    return Status(202, DeliverySchema.of(found, webhook))


def _manages(token: Token, webhook: Webhook) -> bool:
    """A token that reaches some servers manages webhooks that hear of no others."""
    if token.sandbox and not webhook.sandbox:
        return False
    return not token.servers or (
        bool(webhook.servers) and set(webhook.servers) <= set(token.servers)
    )


def _named(token: Token, uuid: str) -> Webhook:
    found = Webhook.objects.filter(uuid=uuid).first() if uuid.isalnum() else None
    if found is None or not _manages(token, found):
        raise NotFound("There is no such webhook.")
    return found


def _within(token: Token, servers: list[str]) -> list[str]:
    """The servers a webhook may hear of: never more than the token that makes it reaches."""
    names = reachable_names(token)
    if names is None:
        return servers
    beyond = sorted(set(servers) - set(names))
    if beyond:
        raise NotFound(f"There is no server called {beyond[0]!r} that this token can reach.")
    return servers or list(token.servers)
