"""Addresses of the panel."""

from __future__ import annotations

from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern, URLResolver, include, path, re_path

from mpm.access.views import account
from mpm.api.app import finished, nothing
from mpm.servers.views import packages, profiles, servers
from mpm.web import overview, search

EA4 = "software/easyapache4/"
handler400 = "mpm.web.faults.bad_request"
handler500 = "mpm.web.faults.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    # First, because programs send a thousand requests for each page that a person opens.
    path("api/", include("mpm.api.urls")),
    re_path(r"^(?:/+)api(?:/.*)?$", finished(nothing)),
    path("", include("mpm.whmapi.urls")),
    path("", overview.home, name="home"),
    path("frame/", overview.around, name="frame"),
    path("logout/", login_not_required(auth.LogoutView.as_view()), name="logout"),
    path("password/", auth.PasswordChangeView.as_view(), name="password_change"),
    path("password/done/", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("preferences/", account.preferences, name="preferences"),
    path("messages/", account.messages, name="messages"),
    path("tools/", search.page, name="tools"),
    path("tools/found/", search.below, name="tools-found"),
    path("servers/", servers.servers, name="servers"),
    path("servers/<str:name>/", servers.server, name="server"),
    path(EA4, packages.home, name="ea4"),
    path(f"{EA4}packages/", packages.packages, name="packages"),
    path(f"{EA4}packages/<str:name>/", packages.package, name="package"),
    path(f"{EA4}profiles/", profiles.profiles, name="profiles"),
    path(f"{EA4}profiles/save/", profiles.save, name="profile-save"),
    path(f"{EA4}profiles/upload/", profiles.upload, name="profile-upload"),
    path(f"{EA4}profiles/restore/", profiles.restore, name="profile-restore"),
    path(f"{EA4}profiles/<str:key>/", profiles.profile, name="profile"),
    path(f"{EA4}profiles/<str:key>/download/", profiles.download, name="profile-download"),
    path(f"{EA4}profiles/<str:key>/delete/", profiles.delete, name="profile-delete"),
    path("", include("mpm.web.urls")),
]
