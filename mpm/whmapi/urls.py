"""Addresses of the WHM API face, to be included at the root: clients know no other place."""

from __future__ import annotations

from django.urls import re_path

from mpm.whmapi import views

# Clients that join an address with a slash at its end and a path send two, which WHM takes as one.
urlpatterns = [
    re_path(
        r"^(?:/*)(?:cpsess\w{0,64}/+)?(?P<form>json|xml)-api(?:/(?P<function>.*))?$",
        views.whm_api,
        name="whm-api",
    ),
]
