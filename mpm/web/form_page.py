"""One form on a page of its own, as every page that creates or edits something shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise

from mpm.web.responses import show

Words = str | Promise


@dataclass(frozen=True, slots=True)
class FormPage:
    """The texts of a form page. ``above``: the parent pages as (URL, title); Cancel leads to the
    last one. ``action``: the URL the form is sent to."""

    title: Words
    button: Words
    action: str
    above: tuple[tuple[str, Words], ...]
    hint: Words = ""

    @property
    def back(self) -> str:
        return self.above[-1][0]

    def show(
        self, request: HttpRequest, form: forms.Form, *, status: int = 200, **more: Any
    ) -> HttpResponse:
        """The page with ``form``; status 422 if it has errors."""
        context = {"page": self, "form": form, **more}
        return show(request, "easyapache/form.html", context, status=status)
