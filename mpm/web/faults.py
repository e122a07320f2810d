"""Error responses without a view, in the format of each interface."""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse

from mpm.api.problems import Problem, answer
from mpm.web.responses import fault
from mpm.whmapi.views import bad_request as bad_request_of_others
from mpm.whmapi.views import server_error as server_error_of_others

API = re.compile(r"/+api(/|\Z)")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A request that never reached a view, as one for a host that is not the panel's."""
    if not API.match(request.path_info):
        return bad_request_of_others(request, exception)
    detail = "The request cannot be read, or this host name is not in the panel's ALLOWED_HOSTS."
    return answer(request, Problem(400, "bad_request", detail))


def server_error(request: HttpRequest) -> HttpResponse:
    """A fault of the panel's own outside of any view."""
    if not API.match(request.path_info):
        return server_error_of_others(request) or fault(request)
    detail = "Something went wrong in the panel. Its log has more under the id of this request."
    return answer(request, Problem(500, "internal", detail))
