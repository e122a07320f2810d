"""Accounts of the panel. Each has one role; names in the history outlive the account."""

from __future__ import annotations

import secrets

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from easyapache.ea4.sentences import Sentence, any_of
from mpm.access.rights import ROLES
from mpm.access.services.actor import Actor, BadRequest, Refused
from mpm.changes.services.lookup import must_be_allowed
from mpm.history.services.events import append
from mpm.history.services.text_checks import one_text
from mpm.models import WhmUser


def new_password() -> str:
    """Twenty random characters without those that look alike: about 110 bits."""
    letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return "".join(secrets.choice(letters) for _ in range(20))


def add_user(
    name: str, role: str, *, actor: Actor, password: str | None = None
) -> tuple[User, str]:
    """Make an account and return it with its password (generated unless given), which is kept
    nowhere else. Raises NotAllowed, BadRequest, Refused ``exists``."""
    must_be_allowed(actor, Sentence("add users"))
    name = one_text("name", name, 150)
    _check_role(role)
    try:
        User.username_validator(name)
        if password is not None:
            validate_password(password, User(username=name))
    except ValidationError as error:
        raise BadRequest(" ".join(error.messages), code="bad_account") from error
    password = password or new_password()
    try:
        with transaction.atomic():
            user = User.objects.create_user(name, password=password)
            user.groups.set([Group.objects.get(name=role)])
            _record("user.created", user, actor, role=role)
    except IntegrityError:
        raise Refused(
            Sentence("A user named {name} already exists.", name=name),
            code="exists",
            status=409,
        ) from None
    return user, password


def set_role(user: User, role: str, actor: Actor) -> User:
    """Raises NotAllowed, BadRequest, and Refused for the last administrator."""
    must_be_allowed(actor, Sentence("update users"))
    _check_role(role)
    _not_of_whm(user)
    with transaction.atomic():
        if role != ROLES[0]:
            _keep_an_administrator(user)
        before = list(user.groups.values_list("name", flat=True))
        user.groups.set([Group.objects.get(name=role)])
        _record("user.role", user, actor, before=before, role=role)
    return user


def set_active(user: User, active: bool, actor: Actor) -> User:
    """Enable or disable a user. Accounts are not deleted, because history refers to them."""
    must_be_allowed(actor, Sentence("update users"))
    with transaction.atomic():
        if not active:
            _keep_an_administrator(user)
        user.is_active = active
        user.save(update_fields=["is_active"])
        _record("user.enabled" if active else "user.disabled", user, actor)
    return user


def reset_password(user: User, actor: Actor) -> str:
    """Give ``user`` a new password and return it; sessions that are open end with the old one."""
    must_be_allowed(actor, Sentence("update users"))
    _not_of_whm(user)
    password = new_password()
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        _record("user.password_reset", user, actor)
    return password


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise BadRequest(
            Sentence(
                "Unknown role {role!r}. Use one of: {roles}.",
                role=role[:40],
                roles=any_of(ROLES),
            ),
            code="bad_role",
        )


def _not_of_whm(user: User) -> None:
    """An account that stands for a WHM user never gets a role or a password: it would be worth
    more than the one server."""
    if WhmUser.objects.filter(user=user).exists():
        raise BadRequest(
            Sentence("{name} signs in from WHM only.", name=user.get_username()), code="from_whm"
        )


def _keep_an_administrator(removed: User) -> None:
    others = User.objects.filter(is_active=True, groups__name=ROLES[0]).exclude(pk=removed.pk)
    if removed.groups.filter(name=ROLES[0]).exists() and not others.exists():
        raise Refused(
            Sentence("{name} is the last administrator.", name=removed.get_username()),
            code="last_administrator",
            status=409,
        )


def _record(kind: str, user: User, actor: Actor, **data: object) -> None:
    append(kind, timezone.now(), actor=actor, data={"account": user.get_username(), **data})
