"""What a monitoring system reads: whether the panel is alive and ready, its figures, and the files
that were written for them."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.test import Client, override_settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from mpm.access.services.actor import Actor
from mpm.access.tokens import issue
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.models import Change, Delivery, Report, State, Webhook
from mpm.monitoring.figures import step_durations
from mpm.servers.models import Pulse, Server
from mpm.web.log_lines import JsonLine
from mpm.web.middleware import RequestIdFilter
from tests.panel.reports import EVENT, step
from tests.panel_fixtures import PROJECT

MONITORING = PROJECT / "packaging" / "monitoring"
ADMIN = Actor(name="anna", role="administrator")
USE = re.compile(r"(ea4_mpm_\w+|\bup\b)(?:{([^}]*)})?")
LABEL = re.compile(r'(\w+)(=~|=)"([^"]*)"')


def figures(client: Client, **headers: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """{name: {labels: value}}."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.content
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        found.setdefault(family.name, {})
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def at(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


@pytest.fixture
def at_work(db: None) -> None:
    for part in ("control", "beat"):
        Pulse.beat(part, timezone.now())


# -- alive and ready ---------------------------------------------------------------------------


def test_alive_asks_nobody(client: Client) -> None:
    """No database is allowed in this test."""
    assert client.get("/healthz").content == b"alive\n"
    assert client.head("/healthz").status_code == 200
    assert client.post("/healthz").status_code == 405


@override_settings(SECURE_SSL_REDIRECT=True, ALLOWED_HOSTS=["panel.example.com"])
def test_a_probe_needs_neither_tls_nor_the_name_of_the_panel(client: Client, at_work: None) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert client.get(path, headers={"Host": "192.0.2.7:8000"}).status_code == 200, path


def test_ready_names_the_part_that_is_missing(client: Client, at_work: None) -> None:
    assert client.get("/readyz").json() == {
        "ready": True,
        "parts": {"database": True, "broker": True, "control": True, "beat": True},
    }
    Pulse.objects.filter(name="beat").update(at=timezone.now() - timedelta(minutes=5))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert [name for name, works in answer.json()["parts"].items() if not works] == ["beat"]


def test_a_panel_whose_worker_was_never_heard_is_not_ready(client: Client, db: None) -> None:
    assert client.get("/readyz").status_code == 503


def test_ready_without_a_database_or_a_broker(
    client: Client, at_work: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise DatabaseError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", gone)
        patch.setattr("mpm.monitoring.probes.broker_is_up", lambda: False)
        answer = client.get("/readyz")
        figures_answer = client.get("/metrics")
    assert (answer.status_code, figures_answer.status_code) == (503, 503)
    assert not any(answer.json()["parts"].values())


# -- figures -----------------------------------------------------------------------------------


def test_servers_by_mpm_and_health_and_their_silence(
    client: Client, at_work: None, known_server: Callable[..., Server]
) -> None:
    known_server("web01")
    silent = known_server("web02")
    silent.last_seen_at = timezone.now() - timedelta(minutes=10)
    silent.save()
    known_server("web03", active=False)
    found = figures(client)
    servers = found["ea4_mpm_servers"]
    mpm = "prefork"
    assert servers[at(mpm=mpm, health="healthy")] == 1
    assert servers[at(mpm=mpm, health="warning")] == 1
    assert sum(servers.values()) == 2
    assert found["ea4_mpm_server_problems"][at(code="agent_offline")] == 1
    silence = found["ea4_mpm_agent_silence_seconds"]
    assert silence[at(server="web01")] < 60
    assert 599 < silence[at(server="web02")] < 660
    assert at(server="web03") not in silence


def test_changes_their_age_their_steps_and_visitors(
    client: Client, at_work: None, known_server: Callable[..., Server]
) -> None:
    change = request_change(known_server(), EVENT, actor=ADMIN)
    Change.objects.filter(pk=change.pk).update(queued_at=timezone.now() - timedelta(minutes=7))
    found = figures(client)
    assert found["ea4_mpm_changes"][at(state="queued")] == 1
    assert 419 < found["ea4_mpm_queue_age_seconds"][()] < 480
    record_reports(change.server_name, change.uuid, [step(1, "preflight")])
    began = Report.objects.get().at
    Report.objects.create(
        change=change,
        seq=2,
        at=began + timedelta(seconds=3),
        kind="step",
        data={"step": "preflight", "status": "done", "detail": ""},
    )
    Change.objects.filter(pk=change.pk).update(refused=4)
    found = figures(client)
    assert found["ea4_mpm_changes"][at(state="running")] == 1
    assert found["ea4_mpm_queue_age_seconds"][()] == 0
    steps = found["ea4_mpm_step_duration_seconds"]
    assert steps[at(step="preflight", quantile="0.95")] == pytest.approx(3)
    assert found["ea4_mpm_steps_last_day"][at(step="preflight")] == 1
    assert found["ea4_mpm_visitors_refused_last_day"][()] == 4


def test_a_step_that_has_not_ended_is_not_timed() -> None:
    now = timezone.now()
    rows = [
        (1, now, {"step": "packages", "status": "started"}),
        (2, now, {"step": "packages", "status": "started"}),
        (2, now + timedelta(seconds=2), {"step": "packages", "status": "failed"}),
        (3, now, {"step": "verify", "status": "done"}),
    ]
    assert step_durations(rows) == {"packages": [2.0]}


def test_webhooks_that_were_given_up_and_parts_that_are_silent(
    client: Client, at_work: None
) -> None:
    now = timezone.now()
    hook = Webhook.objects.create(
        name="hook", url="https://hooks.example.com/", pepper_id="x", created_at=now
    )
    for state, age in (("given_up", 3600), ("given_up", 200_000), ("pending", 90)):
        Delivery.objects.create(
            webhook=hook,
            kind="change.failed",
            body={},
            state=state,
            created_at=now - timedelta(seconds=age),
        )
    Pulse.beat("control", now - timedelta(seconds=200))
    found = figures(client)
    deliveries = found["ea4_mpm_webhook_deliveries_last_day"]
    assert deliveries[at(state="given_up")] == 1
    assert 89 < found["ea4_mpm_webhook_oldest_seconds"][()] < 150
    assert found["ea4_mpm_part_silence_seconds"][at(part="control")] >= 200
    assert found["ea4_mpm_broker_up"][()] == 1


def test_an_empty_panel_has_figures_too(client: Client, db: None) -> None:
    found = figures(client)
    assert sum(found["ea4_mpm_servers"].values()) == 0
    assert set(found["ea4_mpm_changes"]) == {at(state=state) for state in State.values}


def test_figures_cost_the_same_number_of_queries_for_many_servers(
    client: Client,
    at_work: None,
    known_server: Callable[..., Server],
    django_assert_max_num_queries: Any,
) -> None:
    for number in range(12):
        known_server(f"web{number:02}")
    with django_assert_max_num_queries(12):
        client.get("/metrics")


# -- who may read them -------------------------------------------------------------------------


def test_another_address_needs_a_token_for_all_servers(
    at_work: None, known_server: Callable[..., Server]
) -> None:
    known_server("web01")
    elsewhere = Client(REMOTE_ADDR="192.0.2.9")
    refused = elsewhere.get("/metrics")
    assert (refused.status_code, b"ea4_mpm" in refused.content) == (401, False)
    for scopes, servers, status in (
        (("read",), (), 200),
        (("plan",), (), 200),
        (("read",), ("web01",), 403),
    ):
        text = issue(ADMIN, name="prometheus", scopes=scopes, servers=servers).text
        headers = {"Authorization": f"Bearer {text}"}
        assert elsewhere.get("/metrics", headers=headers).status_code == status, scopes
    wrong = elsewhere.get("/metrics", headers={"Authorization": "Bearer nonsense"})
    assert wrong.status_code == 401
    basic = elsewhere.get("/metrics", headers={"Authorization": "Basic eDp5"})
    assert basic.status_code == 401


def test_a_wrong_token_is_not_made_good_by_the_address(client: Client, at_work: None) -> None:
    answer = client.get("/metrics", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 401


def test_a_request_through_an_unknown_proxy_is_not_from_loopback(
    client: Client, at_work: None
) -> None:
    for name in ("X-Forwarded-For", "Forwarded"):
        assert client.get("/metrics", headers={name: "127.0.0.1"}).status_code == 401, name


@override_settings(METRICS_ALLOWED_NETWORKS=["192.0.2.0/24"])
def test_allowed_networks_are_the_operators_choice(at_work: None) -> None:
    assert Client(REMOTE_ADDR="192.0.2.9").get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="::ffff:192.0.2.9").get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="127.0.0.1").get("/metrics").status_code == 401
    assert Client(REMOTE_ADDR="").get("/metrics").status_code == 401


@override_settings(API_PER_MINUTE=2)
def test_a_token_that_reads_too_often_is_slowed(at_work: None) -> None:
    cache.clear()
    elsewhere = Client(REMOTE_ADDR="192.0.2.9")
    text = issue(ADMIN, name="eager", scopes=("read",)).text
    headers = {"Authorization": f"Bearer {text}"}
    answers = [elsewhere.get("/metrics", headers=headers) for _ in range(4)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0


# -- the files ---------------------------------------------------------------------------------


def uses(expression: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    found = [(name, LABEL.findall(labels or "")) for name, labels in USE.findall(expression)]
    return [(name, labels) for name, labels in found if name != "up"]


def expressions() -> Mapping[str, str]:
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    return {
        **{rule["alert"]: rule["expr"] for rule in rules},
        **{
            f"{panel['title']}/{target['refId']}": target["expr"]
            for panel in board["panels"]
            for target in panel["targets"]
        },
    }


def test_every_expression_names_figures_labels_and_values_that_exist(
    client: Client, at_work: None, known_server: Callable[..., Server]
) -> None:
    change = request_change(known_server(), EVENT, actor=ADMIN)
    record_reports(
        change.server_name, change.uuid, [step(1, "preflight"), step(2, "preflight", "done")]
    )
    known_server("web02")
    found = figures(client)
    checked = 0
    for title, expression in expressions().items():
        assert uses(expression), title
        for name, labels in uses(expression):
            samples = found[name]
            for label, how, wanted in labels:
                values = {dict(key).get(label) for key in samples}
                for one in wanted.split("|") if how == "=~" else [wanted]:
                    assert one in values, (title, name, label, one)
            checked += 1
    assert checked >= 18


def test_there_are_five_alerts_and_each_is_explained() -> None:
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
    names = [rule["alert"] for rule in rules]
    page = (PROJECT / "docs/how-to/monitor.md").read_text()
    assert len(names) == 5
    assert re.findall(r"^## (EA4\w+)$", page, re.MULTILINE) == names
    tested = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"][0]
    assert {one["alertname"] for one in tested["alert_rule_test"]} == set(names)


def test_the_page_lists_every_figure(client: Client, at_work: None) -> None:
    page = (PROJECT / "docs/how-to/monitor.md").read_text()
    listed = set(re.findall(r"^\| `(ea4_mpm_\w+)", page, re.MULTILINE))
    text = client.get("/metrics").content.decode()
    made = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    assert listed == {name for name in made if not name.endswith("_created")}


def test_prometheus_itself_accepts_the_rules() -> None:
    """Where promtool is installed; the names are held against real figures above in any case."""
    tool = shutil.which("promtool")
    if tool is None:
        rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
        assert all({"alert", "expr", "for", "labels", "annotations"} == set(one) for one in rules)
        return
    for words in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        done = subprocess.run(
            [tool, *words], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_itself_accepts_the_figures(client: Client, at_work: None) -> None:
    """By its own linter where promtool is installed; each has a type and a description anyhow."""
    text = client.get("/metrics").content.decode()
    typed, told = (
        set(re.findall(rf"^# {word} (\w+) .", text, re.MULTILINE)) for word in ("TYPE", "HELP")
    )
    assert typed == told
    if tool := shutil.which("promtool"):
        done = subprocess.run(
            [tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


# -- logs --------------------------------------------------------------------------------------


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.setFormatter(JsonLine())
        self.addFilter(RequestIdFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def kept(settings: Any) -> Any:
    settings.ACCESS_LOG = True
    handler, logger = Kept(), logging.getLogger("ea4.access")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


def test_a_request_is_logged_with_its_id_and_its_change(
    client: Client, at_work: None, known_server: Callable[..., Server], kept: Kept
) -> None:
    change = request_change(known_server(), EVENT, actor=ADMIN)
    text = issue(ADMIN, name="t", scopes=("change",)).text
    headers = {"Authorization": f"Bearer {text}", "X-Request-Id": "find-me-42"}
    client.get(f"/api/v1/changes/{change.pk}?secret=hidden", headers=headers)
    client.get("/login/?next=/secret/", headers={"X-Request-Id": "find-me-43"})
    first, second = kept.lines
    assert (first["request"], first["change"], first["method"]) == (
        "find-me-42",
        str(change.pk),
        "GET",
    )
    assert first["path"] == f"/api/v1/changes/{change.pk}"
    assert (second["request"], second["status"], "change" in second) == ("find-me-43", 200, False)
    assert second["ms"] > 0
    assert "secret" not in json.dumps(kept.lines)


def test_a_change_that_a_request_makes_is_on_the_line_of_that_request(
    client: Client, at_work: None, known_server: Callable[..., Server], kept: Kept
) -> None:
    known_server("web01")
    text = issue(ADMIN, name="t", scopes=("change",)).text
    headers = {"Authorization": f"Bearer {text}", "Idempotency-Key": "0123456789abcdef"}
    answer = client.put(
        "/api/v1/servers/web01/mpm",
        json.dumps({"mpm": "event"}),
        content_type="application/json",
        headers=headers,
    )
    assert answer.status_code == 202, answer.content
    assert kept.lines[-1]["change"] == str(Change.objects.get().pk)
    client.get("/login/")
    assert "change" not in kept.lines[-1]


def test_whatever_is_logged_is_one_line_of_json() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        caught = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "it is %s\x1b", ("a\nb",), caught)
    text = JsonLine().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert line["message"] == "it is a\nb\x1b"
    assert "two\nlines" in line["traceback"]
    assert set(line) == {"at", "level", "logger", "message", "traceback"}


def test_the_figures_are_no_page_that_signs_in(db: None) -> None:
    """They are answered before sessions: no cookie is set and none is read."""
    answer = Client().get("/readyz")
    assert not answer.cookies
    assert settings.MIDDLEWARE.index("mpm.monitoring.probes.probes") == 1
