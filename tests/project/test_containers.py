"""docker-compose.yml, read by an implementation of compose that needs no engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

TOP = Path(__file__).resolve().parent.parent.parent
SECRETS = {"SECRET_KEY": "one", "POSTGRES_PASSWORD": "two", "REDIS_PASSWORD": "three"}


def compose_config(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(str(Path(sys.executable).with_name("podman-compose")), "--dry-run"),
            *("-f", str(TOP / "docker-compose.yml"), "config"),
        ],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    done = compose_config(SECRETS)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = yaml.safe_load(done.stdout)
    return read


def test_every_part_is_a_service_that_says_whether_it_is_well(compose: dict[str, Any]) -> None:
    assert {"web", "worker", "beat", "agent", "redis", "postgres"} <= set(compose["services"])
    for name, service in compose["services"].items():
        assert name == "prepare" or service["healthcheck"]["test"], name


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_without_a_secret_nothing_starts(name: str) -> None:
    done = compose_config({key: value for key, value in SECRETS.items() if key != name})
    assert done.returncode != 0
    assert name in done.stderr


def test_what_programs_may_do_is_set_from_outside() -> None:
    outside = {
        "TOKEN_PEPPERS": "2027:" + "k" * 16,
        "API_PER_MINUTE": "60",
        "WEBHOOK_ALLOWED_NETWORKS": "10.20.0.0/16",
        "WHM_SERVER": "web03",
    }
    done = compose_config({**SECRETS, **outside})
    assert done.returncode == 0, done.stderr
    for name in ("web", "worker"):
        given = yaml.safe_load(done.stdout)["services"][name]["environment"]
        assert outside.items() <= given.items(), name


def test_redis_writes_nothing_to_a_disk_and_evicts_nothing(compose: dict[str, Any]) -> None:
    """A file of messages that a power cut tears keeps Redis from starting, and nobody needs it."""
    redis = compose["services"]["redis"]
    command = redis["command"][-1]
    for option in ("--appendonly no", '--save ""', "--maxmemory-policy noeviction"):
        assert option in command
    assert "volumes" not in redis
    assert "redis" not in compose["volumes"]


def test_no_container_has_more_rights_or_memory_than_it_needs(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert "SYS_ADMIN" not in service.get("cap_add", []), name


def test_the_agent_sees_neither_the_database_nor_the_secret_key(compose: dict[str, Any]) -> None:
    agent = compose["services"]["agent"]
    assert set(agent["environment"]) == {"REDIS_URL"}
    assert agent["networks"] == ["broker"]
    assert "broker" not in compose["services"]["postgres"]["networks"]


def test_only_the_panel_is_reachable_and_only_from_this_machine(compose: dict[str, Any]) -> None:
    published = {
        name: service["ports"]
        for name, service in compose["services"].items()
        if "ports" in service
    }
    assert list(published) == ["web"]
    assert all(str(port).startswith("127.0.0.1:") for port in published["web"])


@pytest.mark.parametrize("name", ["web", "worker", "beat", "prepare"])
def test_what_needs_no_rights_has_none(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["build"]["target"] == "panel"


def test_the_image_of_the_panel_does_not_run_as_root() -> None:
    text = (TOP / "Dockerfile").read_text()
    stages = {part.splitlines()[0].split()[-1]: part for part in text.split("\nFROM ")[1:]}
    users = [line for line in stages["panel"].splitlines() if line.startswith("USER ")]
    assert users == ["USER 10001:10001"]


def test_every_compose_knows_the_defaults_and_needs_no_order(compose: dict[str, Any]) -> None:
    """podman's compose of Debian 12 leaves ``${NAME:-}`` as it is, passes over health conditions,
    and cannot start what depends on a container that has ended."""
    text = (TOP / "docker-compose.yml").read_text()
    assert ":-}" not in text
    assert not any("depends_on" in service for service in compose["services"].values())
    for name in ("web", "worker", "beat"):
        said = (
            (TOP / "Dockerfile").read_text()
            if name == "web"
            else str(compose["services"][name]["command"])
        )
        assert "when_ready" in said, name
