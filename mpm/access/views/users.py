"""Users and roles: who may sign in, and who may change things."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mpm.access.roles import ADMINISTRATOR, SUPPORT, actor_of, may_change, may_read
from mpm.access.services.actor import Refused
from mpm.access.services.users import add_user, reset_password, set_active, set_role
from mpm.web.form_page import FormPage
from mpm.web.responses import show
from mpm.web.shown_once import keep, take
from mpm.web.translation import in_words

CREATED = "password"
ROLE_NAMES = (
    (SUPPORT, gettext_lazy("Support: view only")),
    (ADMINISTRATOR, gettext_lazy("Administrator")),
)


class NewUser(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=150,
        widget=forms.TextInput(attrs={"autocapitalize": "none", "autocomplete": "off"}),
    )
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=ROLE_NAMES, initial=SUPPORT)


@may_read
@require_GET
def users(request: HttpRequest) -> HttpResponse:
    people = User.objects.filter(whm=None).order_by("username").prefetch_related("groups")[:500]
    rows = [
        {
            "user": one,
            "role": ADMINISTRATOR if _leads(one) else SUPPORT,
            "self": one == request.user,
        }
        for one in people
    ]
    made = take(request, CREATED)
    response = show(request, "mpm/users.html", {"rows": rows, "made": made})
    if made:
        response["Cache-Control"] = "no-store"
    return response


def _created(request: HttpRequest, user: User, password: str) -> HttpResponse:
    keep(request, CREATED, {"name": user.get_username(), "password": password})
    return redirect("users")


def _leads(user: User) -> bool:
    return any(group.name == ADMINISTRATOR for group in user.groups.all())


@may_change
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """The password is made here and shown once, on the next page."""
    page = FormPage(
        title=_("Add user"),
        button=_("Add user"),
        action=reverse("user-add"),
        above=((reverse("users"), _("Users and roles")),),
        hint=_("The panel generates a password and shows it once."),
    )
    if request.method != "POST":
        return page.show(request, NewUser())
    form = NewUser(request.POST)
    if form.is_valid():
        try:
            made = add_user(
                form.cleaned_data["name"], form.cleaned_data["role"], actor=actor_of(request)
            )
        except Refused as refused:
            form.add_error("name", in_words(refused.message))
        else:
            return _created(request, *made)
    return page.show(request, form, status=422)


@may_change
@require_POST
def alter(request: HttpRequest, pk: int) -> HttpResponse:
    """One button of one row: a role, in or out, a new password."""
    user = get_object_or_404(User, pk=pk, whm=None)
    actor, action = actor_of(request), request.POST.get("action", "")
    try:
        if action in (ADMINISTRATOR, SUPPORT):
            set_role(user, action, actor)
            message = _("The role of %(name)s was changed.")
        elif action in ("in", "out"):
            set_active(user, action == "in", actor)
            message = _("%(name)s is enabled.") if action == "in" else _("%(name)s is disabled.")
        elif action == "password":
            return _created(request, user, reset_password(user, actor))
        else:
            message = ""
    except Refused as refused:
        messages.error(request, in_words(refused.message))
        return redirect("users")
    if message:
        messages.success(request, message % {"name": user.get_username()})
    return redirect("users")
