"""Addresses of the API, to be included at ``api/``."""

from __future__ import annotations

from django.urls import include, path

from mpm.api import app, docs

urlpatterns = [
    path("v1/", include((app.urlpatterns, "api-v1"))),
    path("docs", docs.page, name="api-docs"),
]
