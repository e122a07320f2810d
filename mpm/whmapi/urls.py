"""Addresses of the WHM API face, to be included at the root: clients know no other place."""

from __future__ import annotations

from django.urls import path, re_path

from mpm.whmapi import views

urlpatterns = [
    path("json-api/<str:function>", views.json_api, name="whm-api"),
    re_path(r"^cpsess\d{1,20}/json-api/(?P<function>[^/]+)$", views.json_api),
]
