"""Addresses of the MPM section."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mpm.access.views import sign_in, tokens, users, whm
from mpm.changes.views import change, chooser, diagnostics, review, shared
from mpm.history import views as history
from mpm.notify import views as webhooks
from mpm.web import help as manual

MPM = "software/easyapache4/mpm/"
HISTORY = "software/easyapache4/history/"
DOCTOR = "software/easyapache4/doctor/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("whm/", whm.arrive, name="whm"),
    path("whm/enter/", whm.entered, name="whm-enter"),
    path("servers/<str:name>/whm/", whm.key, name="whm-key"),
    path(MPM, chooser.chooser, name="mpm"),
    path(f"{MPM}plan/", chooser.plan, name="mpm-plan"),
    path(f"{MPM}review/", chooser.refresh, name="review-ask"),
    path(f"{MPM}review/<str:uuid>/", review.review, name="review"),
    path(f"{MPM}review/<str:uuid>/answer/", review.answer, name="review-answer"),
    path(f"{MPM}review/<str:uuid>/again/", review.again, name="review-again"),
    path(f"{MPM}review/<str:uuid>/confirm/", review.confirm, name="review-confirm"),
    path(DOCTOR, diagnostics.doctor, name="doctor"),
    path(f"{DOCTOR}repair/", diagnostics.repair, name="doctor-repair"),
    path(f"{DOCTOR}result/", diagnostics.result, name="doctor-result"),
    path(HISTORY, history.changes, name="history"),
    path(f"{HISTORY}export.<str:form>", history.export, name="history-export"),
    path(f"{HISTORY}events.json", history.events, name="history-events"),
    path(f"{HISTORY}<int:pk>/", change.change, name="change"),
    path(f"{HISTORY}<int:pk>/live/", change.live, name="change-live"),
    path(f"{HISTORY}<int:pk>/log/", change.log, name="change-log"),
    path(f"{HISTORY}<int:pk>/log.txt", change.raw_log, name="change-raw-log"),
    path(f"{HISTORY}<int:pk>/cancel/", change.cancel, name="change-cancel"),
    path(f"{HISTORY}<int:pk>/schedule/", change.schedule, name="change-schedule"),
    path(f"{HISTORY}<int:pk>/rollback/", change.rollback, name="rollback"),
    path(f"{HISTORY}<int:pk>/rollback/plan/", change.request_plan, name="rollback-plan"),
    path(f"{HISTORY}<int:pk>/rollback/confirm/", change.roll_back, name="rollback-confirm"),
    path(f"{HISTORY}<int:pk>/rollback/<str:uuid>/", change.plan_answer, name="rollback-answer"),
    path(f"{HISTORY}<int:pk>/adopt/", change.adopt, name="change-adopt"),
    path(f"{HISTORY}<int:pk>/recover/", change.recover, name="change-recover"),
    path(f"{HISTORY}<int:pk>/share/", change.share, name="change-share"),
    path("help/", manual.page, name="help"),
    path("help/<path:key>/", manual.page, name="help-page"),
    path("shared/<str:token>/", shared.shared, name="shared"),
    path("tokens/", tokens.listing, name="tokens"),
    path("tokens/add/", tokens.add, name="token-add"),
    path("tokens/<str:key_id>/edit/", tokens.edit, name="token-edit"),
    path("tokens/<str:key_id>/rotate/", tokens.rotate, name="token-rotate"),
    path("tokens/<str:key_id>/revoke/", tokens.revoke, name="token-revoke"),
    path("webhooks/", webhooks.listing, name="webhooks"),
    path("webhooks/add/", webhooks.add, name="webhook-add"),
    path("webhooks/<str:uuid>/", webhooks.one, name="webhook"),
    path("webhooks/<str:uuid>/edit/", webhooks.edit, name="webhook-edit"),
    path("webhooks/<str:uuid>/alter/", webhooks.alter, name="webhook-alter"),
    path("webhooks/<str:uuid>/<str:delivery>/again/", webhooks.again, name="webhook-again"),
    path("users/", users.users, name="users"),
    path("users/add/", users.add, name="user-add"),
    path("users/<int:pk>/", users.alter, name="user-alter"),
]
