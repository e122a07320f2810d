"""People who are signed in, and a server with a history, for tests of pages."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.protocol import Report
from mpm.access.services.actor import Actor
from mpm.changes.services.planning import request_preview
from mpm.changes.services.record import record_log, record_reports
from mpm.changes.services.request import request_change
from mpm.models import Change
from mpm.servers.models import Server
from mpm.servers.services.inspection import record_preview

MPM = "/software/easyapache4/mpm/"
HISTORY = "/software/easyapache4/history/"
ADMIN = Actor(name="ada", role="administrator")


def person(name: str, role: str) -> User:
    user = User.objects.create_user(name, password="a good long password")
    user.groups.set([Group.objects.get(name=role)])
    return user


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(person("ada", "administrator"))
    return client


@pytest.fixture
def support(db: None) -> Client:
    client = Client()
    client.force_login(person("sue", "support"))
    return client


@pytest.fixture
def server(known_server: Callable[..., Server]) -> Server:
    return known_server("web01")


def answered_preview(server: Server, choice: Choice) -> Any:
    """A preview to which the server has given exactly the instant plan's answer."""
    from mpm.changes.services.planning import plan_for

    preview = request_preview(server, choice, ADMIN)
    plan = plan_for(server, choice)
    profile = server.profile
    assert profile is not None
    record_preview(server.name, preview.uuid, plan.transaction, None, profile)
    preview.refresh_from_db()
    return preview


def report(seq: int, kind: str, **data: Any) -> Report:
    return Report(seq, timezone.now().isoformat(), kind, data)


STEPS = ("preflight", "download", "rehearsal", "packages", "configtest", "restart", "verify")


def report_steps(change: Change, *, up_to: str = "verify", outcome: str = "") -> None:
    """Feed the panel what an agent would say of ``change``, through its own door."""
    reports, seq = [], 0
    for step in STEPS[: STEPS.index(up_to) + 1]:
        for status in ("started", "done"):
            seq += 1
            reports.append(report(seq, "step", step=step, status=status, detail=f"{step} is well"))
    if outcome:
        check = {
            "name": "mpm",
            "title": "Running MPM",
            "expected": "event",
            "seen": "event",
            "ok": True,
        }
        reports += [
            report(seq + 1, "evidence", phase="before", observations=[check]),
            report(seq + 2, "evidence", phase="after", observations=[check]),
            report(
                seq + 3,
                "interruption",
                method="overlap",
                reason="the kernel allows it",
                probes=3,
                refused=0,
                reset=0,
                longest_wait_ms=12.5,
                window_ms=900,
                strip=[[0, 0.8, "ok"], [5, 12.5, "slow"], [10, 0.7, "ok"]],
            ),
            report(
                seq + 4,
                "outcome",
                outcome=outcome,
                decided_by="verification",
                sentence="The server now runs event.",
            ),
        ]
    record_reports(change.server_name, change.uuid, reports)
    change.refresh_from_db()


def logged(change: Change, text: bytes) -> None:
    offset = change.log_size
    for start in range(0, len(text), 60_000):
        piece = text[start : start + 60_000]
        record_log(
            change.server_name, change.uuid, offset + start, base64.b64encode(piece).decode()
        )
    change.refresh_from_db()


@pytest.fixture
def running_change(server: Server) -> Change:
    change = request_change(
        server, Choice.parse("event"), actor=ADMIN, reason="Long keep-alive", ticket="HOST-4471"
    )
    report_steps(change, up_to="download")
    return change


@pytest.fixture
def finished_change(server: Server) -> Change:
    change = request_change(
        server, Choice.parse("event"), actor=ADMIN, reason="Long keep-alive", ticket="HOST-4471"
    )
    logged(change, b"2026-03-03T21:04:11.802Z packages  Installing : ea-apache24-mod_mpm_event\n")
    report_steps(change, outcome="succeeded")
    return change
