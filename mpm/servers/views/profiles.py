"""EasyApache 4 profiles: look, compare, save the current state, upload, download, delete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from easyapache.ea4.conditions import BY_CODE
from easyapache.ea4.profile import Profile
from easyapache.ea4.profile_file import (
    MOST_BYTES,
    BadProfile,
    check_file_name,
    compare,
    of_installed,
    parse,
)
from easyapache.ea4.profile_notes import (
    made_elsewhere,
    reasons,
    runs_code_as_nobody,
    unexplained,
)
from easyapache.ea4.relations import load_catalogue
from mpm.access.rights import may_change, may_read
from mpm.servers import profile_library
from mpm.servers.models import SavedProfile, Server
from mpm.servers.profile_library import NameTaken, Shelved
from mpm.servers.views.packages import scene_of
from mpm.web.form_page import FormPage
from mpm.web.page_context import for_server, frame_of
from mpm.web.responses import show
from mpm.web.translation import in_words


class SaveForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    file_name = forms.CharField(label=gettext_lazy("File name, without .json"), max_length=120)
    desc = forms.CharField(label=gettext_lazy("Description"), max_length=2000, required=False)

    def clean_file_name(self) -> str:
        try:
            return check_file_name(self.cleaned_data["file_name"])
        except BadProfile as error:
            raise forms.ValidationError(in_words(error.message)) from error


class UploadForm(forms.Form):
    file = forms.FileField(label=gettext_lazy("Profile file"))
    overwrite = forms.BooleanField(
        label=gettext_lazy("Replace an existing profile with this name"), required=False
    )


def shelved_or_404(key: str) -> Shelved:
    found = profile_library.find(key)
    if found is None:
        raise Http404(_("Unknown profile. It may have been deleted."))
    return found


@may_read
@require_GET
@for_server
def profiles(request: HttpRequest, server: Server) -> HttpResponse:
    row = frame_of(request).installed
    shelves = _shelves(
        (*profile_library.stock_profiles(), *profile_library.saved_profiles()),
        row.profile if row else None,
    )
    own = any(not shelf["one"].stock for shelf in shelves)
    context = {"server": server, "row": row, "shelves": shelves, "own": own}
    return show(request, "easyapache/profiles.html", context)


def _form_page(title: str, button: str, route: str) -> FormPage:
    return FormPage(
        title=title,
        button=button,
        action=reverse(route),
        above=(
            (reverse("ea4"), "EasyApache 4"),
            (reverse("profiles"), _("Profiles")),
        ),
    )


def _as_proposed(server: Server) -> SaveForm:
    today = timezone.localdate()
    named = _("Current state of %(server)s on %(day)s")
    return SaveForm(
        initial={
            "name": named % {"server": server, "day": today.isoformat()},
            "file_name": f"current_state_{server.name}_{today.isoformat()}",
        }
    )


def _shelves(library: Iterable[Shelved], profile: Profile | None) -> list[dict[str, Any]]:
    """Each profile with how many of its packages the server has, and how many others."""
    shelves: list[dict[str, Any]] = []
    scene = scene_of(profile)
    for one in library:
        shelf: dict[str, Any] = {"one": one, "listed": len(one.file.names)}
        if profile is not None:
            found = compare(one.file, profile, scene)
            shelf |= {"present": len(found.same), "extra": len(found.unlisted)}
            shelf["equal"] = found.equal
        shelves.append(shelf)
    return shelves


@may_read
@require_GET
@for_server
def profile(request: HttpRequest, server: Server, key: str) -> HttpResponse:
    """One profile, beside what is installed on the server."""
    one = shelved_or_404(key)
    row = frame_of(request).installed
    comparison = compare(one.file, row.profile, scene_of(row.profile)) if row else None
    system = str(row.profile.facts.get("os") or "") if row else ""
    context = {
        "server": server,
        "one": one,
        "row": row,
        "comparison": comparison,
        "reasons": reasons(comparison.unknown) if comparison else (),
        "unexplained": unexplained(comparison.unknown) if comparison else (),
        "as_nobody": BY_CODE["code_runs_as_nobody"] if runs_code_as_nobody(one.file) else None,
        "elsewhere": made_elsewhere(one.file, system),
    }
    return show(request, "easyapache/profile.html", context)


@may_read
@require_GET
def download(_request: HttpRequest, key: str) -> HttpResponse:
    """The profile as the file that EasyApache 4 reads."""
    one = shelved_or_404(key)
    answer = HttpResponse(one.file.as_text(), content_type="application/json")
    name = "".join(sign if sign.isascii() and sign not in '"\\' else "_" for sign in one.file_name)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.json"'
    return answer


@may_change
@require_http_methods(["GET", "HEAD", "POST"])
@for_server
def save(request: HttpRequest, server: Server) -> HttpResponse:
    """Keep the current state of the server as a profile."""
    page = _form_page(_("Save current state"), _("Save as profile"), "profile-save")
    row = frame_of(request).installed
    if row is None:
        messages.error(request, _("This server hasn’t been checked yet."))
        return redirect("profiles")
    if request.method != "POST":
        return page.show(request, _as_proposed(server), server=server)
    form = SaveForm(request.POST)
    if form.is_valid():
        file = of_installed(row.profile, form.cleaned_data["name"], form.cleaned_data["desc"])
        try:
            kept = profile_library.save(
                file,
                file_name=form.cleaned_data["file_name"],
                origin=SavedProfile.Origin.CUSTOM,
                by=request.user.get_username(),
                at=timezone.now(),
                who=request,
            )
        except NameTaken as error:
            form.add_error("file_name", in_words(error.message))
        else:
            messages.success(request, _("Saved as %(file)s.json.") % {"file": kept.file_name})
            return redirect("profile", key=kept.key)
    return page.show(request, form, status=422, server=server)


@may_change
@require_http_methods(["GET", "HEAD", "POST"])
@for_server
def upload(request: HttpRequest, server: Server) -> HttpResponse:
    page = _form_page(_("Upload profile"), _("Upload"), "profile-upload")
    if request.method != "POST":
        return page.show(request, UploadForm(), server=server)
    form = UploadForm(request.POST, request.FILES)
    if form.is_valid():
        sent: UploadedFile[bytes] = form.cleaned_data["file"]
        try:
            # One byte more than is allowed tells a large file from a huge one just as well.
            file = parse(sent.read(MOST_BYTES + 1), load_catalogue().entries)
            kept = profile_library.save(
                file,
                file_name=check_file_name(sent.name or ""),
                origin=SavedProfile.Origin.UPLOADED,
                by=request.user.get_username(),
                at=timezone.now(),
                who=request,
                overwrite=form.cleaned_data["overwrite"],
            )
        except BadProfile as error:
            form.add_error("file", in_words(error.message))
        else:
            messages.success(request, _("Uploaded %(file)s.json.") % {"file": kept.file_name})
            return redirect("profile", key=kept.key)
    return page.show(request, form, status=422, server=server)


@may_change
@require_POST
def delete(request: HttpRequest, key: str) -> HttpResponse:
    """Takes effect at once, and can be undone from the message that says so."""
    one = shelved_or_404(key)
    if one.row is None:
        messages.error(request, _("Built-in profiles can’t be deleted."))
        return redirect("profile", key=key)
    profile_library.delete(one, by=request.user.get_username(), at=timezone.now(), who=request)
    messages.success(
        request,
        format_html(
            '{} <button class="linklike" form="undo" name="pk" value="{}">{}</button>',
            _("Deleted %(file)s.json.") % {"file": one.file_name},
            one.row.pk,
            _("Undo"),
        ),
    )
    return redirect("profiles")


@may_change
@require_http_methods(["POST"])
def restore(request: HttpRequest) -> HttpResponse:
    pk = request.POST.get("pk", "")
    kept = None
    if pk.isascii() and pk.isdecimal() and len(pk) < 19:
        kept = profile_library.restore(
            int(pk), by=request.user.get_username(), at=timezone.now(), who=request
        )
    if kept is None:
        messages.error(
            request,
            _("Couldn’t restore the profile: another profile now has its file name."),
        )
        return redirect("profiles")
    messages.success(request, _("Restored %(file)s.json.") % {"file": kept.file_name})
    return redirect("profile", key=kept.key)
