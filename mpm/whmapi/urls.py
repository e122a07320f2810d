"""Addresses of the WHM API face, to be included at the root: clients know no other place."""

from __future__ import annotations

from django.urls import re_path

from mpm.whmapi import views

urlpatterns = [
    re_path(
        r"^(?:cpsess\d{1,20}/)?(?P<form>json|xml)-api(?:/(?P<function>.*))?$",
        views.whm_api,
        name="whm-api",
    ),
]
