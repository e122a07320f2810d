"""Addresses of the API, to be included at ``api/``."""

from __future__ import annotations

from django.urls import include, path, re_path

from mpm.api import app, docs

urlpatterns = [
    path("v1/", include((app.urlpatterns, "api-v1"))),
    path("docs", docs.page, name="api-docs"),
    path("docs/", docs.without_slash),
    re_path(r"", app.finished(app.nothing)),
]
