"""Rights: two roles; no one can open a view without a right in front of it.

``@may_read`` and ``@may_change`` are the first line of every view: they check the right, and mark
the view, so that a test can find unmarked ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Permission, User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, Model, OuterRef
from django.http import HttpRequest
from django.http.response import HttpResponseBase

ADMINISTRATOR, SUPPORT = "administrator", "support"
ROLES = (ADMINISTRATOR, SUPPORT)

RIGHTS = ("read", "change")

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


class RightsByRole(ModelBackend):
    """Rights belong to a role (a group), never to a single user.

    So a user's role shows all their rights. The user of a session and their rights are read in one
    query, because every page needs both.
    """

    def get_user(self, user_id: Any) -> User | None:
        def has(code: str) -> Exists:
            return Exists(
                Permission.objects.filter(
                    group__user=OuterRef("pk"), codename=code, content_type__app_label="mpm"
                )
            )

        found = User.objects.annotate(**{code: has(code) for code in RIGHTS}).filter(pk=user_id)
        user = found.first()
        if user is None or not self.user_can_authenticate(user):
            return None
        user.rights = {f"mpm.{code}" for code in RIGHTS if getattr(user, code)}  # type: ignore[attr-defined]
        return user

    def get_all_permissions(
        self, user_obj: AbstractBaseUser | AnonymousUser, obj: Model | None = None
    ) -> set[str]:
        known: set[str] | None = getattr(user_obj, "rights", None)
        if known is not None and user_obj.is_active and obj is None:
            return known
        return super().get_group_permissions(cast("User | AnonymousUser", user_obj), obj)


def can_read(user: AbstractBaseUser | AnonymousUser) -> bool:
    return isinstance(user, User) and user.has_perm("mpm.read")


def can_change(user: AbstractBaseUser | AnonymousUser) -> bool:
    return isinstance(user, User) and user.has_perm("mpm.change")


def role_of(user: AbstractBaseUser | AnonymousUser) -> str:
    """The role that decides a user's rights; "" for a user without any."""
    if can_change(user):
        return ADMINISTRATOR
    return SUPPORT if can_read(user) else ""


def _right(name: str, allowed: Callable[[Any], bool]) -> Callable[[View[P]], View[P]]:
    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not allowed(request.user):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        guarded.right = name  # type: ignore[attr-defined]
        return guarded

    return decorate


def may_read(view: View[P]) -> View[P]:
    """Administrators and support."""
    return _right("read", can_read)(view)


def may_change(view: View[P]) -> View[P]:
    """Administrators only."""
    return _right("change", can_change)(view)
