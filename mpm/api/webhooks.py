"""``/webhooks``: who is notified of events, and the deliveries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema, Status
from pydantic import Field

from mpm.access.scopes import Scope
from mpm.access.services.actor import NotFound, Refused
from mpm.api.auth import Bearer, actor_of, checked_name, reachable_names, token_of
from mpm.api.paging import Cursor, Limit, cut, link_next
from mpm.api.problems import invalid
from mpm.api.shapes import (
    LINE,
    Flag,
    Line,
    Names,
    QueryFlag,
    ServerName,
    Wish,
    unset,
)
from mpm.api.statuses import DESCRIBED, problems
from mpm.history.event_kinds import matching, unknown_kind
from mpm.models import Token, Webhook
from mpm.notify import webhooks
from mpm.schemas.event import TEST
from mpm.schemas.webhook import Delivery as DeliverySchema
from mpm.schemas.webhook import NewWebhook
from mpm.schemas.webhook import Webhook as WebhookSchema

router = Router(tags=["webhooks"], by_alias=True)
Form = Literal["generic", "slack", "teams", "email"]
Url = Annotated[
    str,
    Field(
        max_length=500,
        description="https:// (or http://), or for the format email mailto: and one address.",
    ),
]
Kinds = Annotated[
    Names,
    Field(description="From /api/docs#event-kinds, or a prefix such as `change.*`. Empty: all."),
]
Servers = Annotated[Names, Field(description="Empty: all servers that the token can access.")]
DeliveryStates = Annotated[
    list[Literal["pending", "sending", "delivered", "given_up"]] | None,
    Query(None, max_length=10, description="Repeat it, or separate several with commas."),
]


class WebhookIn(Wish):
    """A webhook to create."""

    name: Annotated[Line, Field(min_length=1)]
    url: Url
    format: Form = "generic"
    kinds: Kinds = Field(default_factory=list)
    servers: Servers = Field(default_factory=list)


class WebhookUpdate(Wish):
    """What to change. Fields that are left out stay as they are."""

    name: Annotated[Line, Field(min_length=1)] = unset()
    url: Url = unset()
    format: Form = unset()
    kinds: Kinds = unset()
    servers: Servers = unset()
    active: Flag = unset()


class WebhookList(Schema):
    """Webhooks, newest first."""

    items: list[WebhookSchema]
    next: str | None = Field(description="`cursor` of the next page.")


class Secret(Schema):
    """A new secret."""

    secret: str = Field(description="Shown only once.")


class DeliveryList(Schema):
    """Deliveries, newest first."""

    items: list[DeliverySchema]
    next: str | None = Field(description="`cursor` of the next page.")


@router.get(
    "webhooks",
    auth=Bearer(Scope.ADMIN),
    response={200: WebhookList, problems(Scope.ADMIN, named=False): DESCRIBED},
    operation_id="listWebhooks",
    summary="List webhooks",
)
def list_webhooks(
    request: HttpRequest,
    response: HttpResponse,
    *,
    active: QueryFlag | None = None,
    format: Form | None = None,  # noqa: A002
    kind: Annotated[str, Query(max_length=40, description="Webhooks that receive this kind.")] = "",
    server: ServerName = "",
    cursor: Cursor,
    limit: Limit,
) -> dict[str, Any]:
    """All webhooks that this token can manage, newest first."""
    token = token_of(request)
    server = checked_name(token, server)
    if kind and unknown_kind([kind]) is not None:
        raise invalid(f"Unknown event {kind!r}.", "unknown_kind", parameter="kind")
    rows = [
        row
        for row in Webhook.objects.order_by("-pk")
        if _manages(token, row)
        and (active is None or row.active == active)
        and (format is None or row.format == format)
        and (not kind or not row.kinds or kind in matching(row.kinds))
        and (not server or not row.servers or server in row.servers)
    ]
    found, more = cut(rows, cursor, limit, lambda row: row.pk)
    return {
        "items": [WebhookSchema.of(row) for row in found],
        "next": link_next(request, response, more),
    }


@router.post(
    "webhooks",
    auth=Bearer(Scope.ADMIN),
    response={201: NewWebhook, problems(Scope.ADMIN, named=False, body=True): DESCRIBED},
    operation_id="createWebhook",
    summary="Create a webhook",
)
def create_webhook(request: HttpRequest, body: WebhookIn, response: HttpResponse) -> Any:
    """It receives every event from now on, at least once. Deliveries follow
    Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`."""
    token = token_of(request)
    made = webhooks.make(
        actor_of(request, token),
        name=body.name,
        url=body.url,
        format=body.format,
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
    response={200: WebhookSchema, problems(Scope.ADMIN): DESCRIBED},
    operation_id="getWebhook",
    summary="Get a webhook",
)
def get_webhook(request: HttpRequest, webhook: str) -> WebhookSchema:
    """A webhook without its secret."""
    return WebhookSchema.of(_named(token_of(request), webhook))


@router.patch(
    "webhooks/{webhook}",
    auth=Bearer(Scope.ADMIN),
    response={200: WebhookSchema, problems(Scope.ADMIN, body=True): DESCRIBED},
    operation_id="updateWebhook",
    summary="Update a webhook",
)
def update_webhook(request: HttpRequest, webhook: str, body: WebhookUpdate) -> WebhookSchema:
    """Fields that are left out stay as they are. `active: false` stops deliveries."""
    token = token_of(request)
    row = _named(token, webhook)
    fields = body.dict(exclude_unset=True)
    if "servers" in fields:
        fields["servers"] = _within(token, fields["servers"])
    changed = webhooks.change(row, actor_of(request, token), fields) if fields else row
    return WebhookSchema.of(changed)


@router.delete(
    "webhooks/{webhook}",
    auth=Bearer(Scope.ADMIN),
    response={204: None, problems(Scope.ADMIN): DESCRIBED},
    operation_id="deleteWebhook",
    summary="Delete a webhook",
)
def delete_webhook(request: HttpRequest, webhook: str) -> Any:
    """Immediately, with its deliveries."""
    token = token_of(request)
    webhooks.remove(_named(token, webhook), actor_of(request, token))
    return Status(204, None)


@router.post(
    "webhooks/{webhook}/rotate",
    auth=Bearer(Scope.ADMIN),
    response={200: Secret, problems(Scope.ADMIN): DESCRIBED},
    operation_id="rotateWebhook",
    summary="Rotate the secret of a webhook",
)
def rotate_webhook(request: HttpRequest, webhook: str) -> dict[str, str]:
    """For a day, deliveries are signed with the old secret as well."""
    token = token_of(request)
    return {"secret": webhooks.rotate(_named(token, webhook), actor_of(request, token))}


@router.post(
    "webhooks/{webhook}/test",
    auth=Bearer(Scope.ADMIN),
    response={202: DeliverySchema, problems(Scope.ADMIN): DESCRIBED},
    operation_id="testWebhook",
    summary="Test a webhook",
)
def test_webhook(request: HttpRequest, webhook: str) -> Any:
    """One delivery of the kind `webhook.test`. Its result is in the list of deliveries."""
    token = token_of(request)
    sent = webhooks.send_test(_named(token, webhook), actor_of(request, token))
    return Status(202, DeliverySchema.of(sent, webhook))


@router.get(
    "webhooks/{webhook}/deliveries",
    auth=Bearer(Scope.ADMIN),
    response={200: DeliveryList, problems(Scope.ADMIN): DESCRIBED},
    operation_id="listDeliveries",
    summary="List deliveries",
)
def list_deliveries(
    request: HttpRequest,
    response: HttpResponse,
    webhook: str,
    *,
    state: DeliveryStates,
    kind: Annotated[str, Query(max_length=40, pattern=LINE)] = "",
    cursor: Cursor,
    limit: Limit,
) -> dict[str, Any]:
    """Newest first, with the latest attempts of each."""
    rows = _named(token_of(request), webhook).deliveries.order_by("-pk")
    if state:
        rows = rows.filter(state__in=state)
    if kind:
        if kind != TEST and unknown_kind([kind]) is not None:
            raise invalid(f"Unknown event {kind!r}.", "unknown_kind", parameter="kind")
        rows = rows.filter(kind__in=[*matching([kind]), kind])
    if cursor:
        rows = rows.filter(pk__lt=int(cursor, 16))
    found, more = cut(rows[: limit + 1], "", limit, lambda row: row.pk)
    return {
        "items": [DeliverySchema.of(row, webhook) for row in found],
        "next": link_next(request, response, more),
    }


@router.post(
    "webhooks/{webhook}/deliveries/{delivery}/redeliver",
    auth=Bearer(Scope.ADMIN),
    response={202: DeliverySchema, problems(Scope.ADMIN, 409): DESCRIBED},
    operation_id="redeliverWebhook",
    summary="Redeliver",
)
def redeliver(request: HttpRequest, webhook: str, delivery: str) -> Any:
    """Start a delivery again, whatever its result was."""
    token = token_of(request)
    row = _named(token, webhook)
    found = row.deliveries.filter(uuid=delivery).first() if delivery.isalnum() else None
    if found is None:
        raise NotFound("There is no such delivery.")
    if not webhooks.redeliver(found, actor_of(request, token)):
        raise Refused("The delivery is being sent right now.", code="being_sent", status=409)
    found.refresh_from_db()
    return Status(202, DeliverySchema.of(found, webhook))


def _manages(token: Token, webhook: Webhook) -> bool:
    """A token that reaches some servers manages webhooks that are notified of no others."""
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
    """The servers a webhook is notified of: never more than the token that creates it reaches."""
    names = reachable_names(token)
    if names is None:
        return servers
    beyond = sorted(set(servers) - set(names))
    if beyond:
        raise invalid(
            f"There is no server called {beyond[0][:63]!r} that this token can reach.",
            "unknown_server",
            pointer="#/servers",
        )
    return servers or list(token.servers)
