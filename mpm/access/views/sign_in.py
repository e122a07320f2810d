"""The sign-in form, which counts wrong passwords as every other door does."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _

from mpm.access.throttle import guesses
from mpm.access.views.whm import refusals
from mpm.web.address import client_address
from mpm.web.redirects import UNSENT

log = logging.getLogger(__name__)


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    """Django's view, with a limit on wrong passwords by account and by address, checked before the
    password. If a form was lost because the session had expired, this page and the one after it say
    so."""

    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        more = {"unsent": UNSENT in self.request.GET, "refusal": self._refusal()}
        return super().get_context_data(**kwargs) | more

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and (refusal := self._refusal()):
            messages.warning(request, refusal)
        return super().dispatch(request, *args, **kwargs)

    def _refusal(self) -> str:
        """Why a sign-in from WHM was refused, where that is what led here."""
        return refusals().get(self.request.GET.get("whm", ""), "")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        verdict = guesses(self._name(), client_address(request), failed=False)
        if verdict.allowed:
            return super().post(request, *args, **kwargs)
        context = self.get_context_data(form=self.form_class(), wait=verdict.retry_after)
        refused = self.render_to_response(context, status=429)
        refused.headers["Retry-After"] = str(verdict.retry_after)
        return refused

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        answer = super().form_valid(form)
        if UNSENT in self.request.GET:
            messages.warning(
                self.request,
                _(
                    "Your session expired and nothing was changed. Check the form and submit it "
                    "again."
                ),
            )
        return answer

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        address = client_address(self.request)
        log.warning("failed sign-in from %s", address or "a local socket")
        guesses(self._name(), address, failed=True)
        return super().form_invalid(form)

    def _name(self) -> str:
        return self.request.POST.get("username", "")
