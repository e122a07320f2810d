"""What comes from the environment, and what is refused there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory, override_settings

from easyapache.database import database_from
from easyapache.environment import Environment, peppers_from
from mpm.web.address import client_address


@pytest.mark.parametrize("word", ["ture", "2", "y", "enabled", "None"])
def test_a_misspelt_boolean_is_refused_by_name(word: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DEBUG"):
        Environment({"DEBUG": word}).boolean("DEBUG", False)


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("deep water\n")
    assert Environment({"SECRET_KEY_FILE": str(secret)}).text("SECRET_KEY") == "deep water"


def test_a_secret_file_that_is_missing_or_empty_or_doubled_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for variables in (
        {"SECRET_KEY_FILE": str(tmp_path / "nowhere")},
        {"SECRET_KEY_FILE": str(empty)},
        {"SECRET_KEY": "a", "SECRET_KEY_FILE": str(empty)},
    ):
        with pytest.raises(ImproperlyConfigured, match="SECRET_KEY"):
            Environment(variables).text("SECRET_KEY")


@pytest.mark.parametrize(
    "text",
    [
        *("panel.example.com", "ftp://panel.example.com", "https://", "https://panel:x", "//panel"),
        *("https://panel.example.com/?a=1", "https://panel.example.com/#a", "https://a b/"),
        *("https://user:word@panel.example.com", "https://panel:99999", "https://[::1"),
    ],
)
def test_an_address_that_no_page_can_have_is_refused_by_the_name_of_its_setting(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="PANEL_URL is not the address of a page"):
        Environment({"PANEL_URL": text}).address("PANEL_URL")


def test_an_address_may_have_a_port_and_a_path() -> None:
    for text in ("", "https://panel.example.com:8443/ea4/", "http://localhost:8000"):
        assert Environment({"PANEL_URL": text}).address("PANEL_URL") == text


def test_numbers_and_lists_are_read_strictly() -> None:
    env = Environment({"N": "three", "M": "-1", "HOSTS": " a, b ,,c"})
    for name in ("N", "M"):
        with pytest.raises(ImproperlyConfigured, match=name):
            env.integer(name, 0)
    assert env.names("HOSTS") == ["a", "b", "c"]


def start(
    *, say: str = "import easyapache.settings", **variables: str
) -> subprocess.CompletedProcess[str]:
    keep = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-c", say],
        env={**keep, **variables},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_does_not_start_without_a_secret_key(tmp_path: Path) -> None:
    refused = start(VAR_DIR=str(tmp_path))
    assert refused.returncode != 0
    assert "SECRET_KEY is not set" in refused.stderr
    assert start(VAR_DIR=str(tmp_path), DEBUG="true").returncode == 0
    assert start(VAR_DIR=str(tmp_path), SECRET_KEY="s").returncode == 0


def test_an_unknown_database_is_refused_without_repeating_its_password(tmp_path: Path) -> None:
    refused = start(VAR_DIR=str(tmp_path), SECRET_KEY="s", DATABASE_URL="mysql://u:hunter2@h/d")
    assert refused.returncode != 0
    assert "hunter2" not in refused.stderr


def test_database_addresses_are_understood(tmp_path: Path) -> None:
    assert database_from("", tmp_path / "p")["NAME"] == str(tmp_path / "p")
    assert database_from("sqlite:////srv/x.db", tmp_path)["NAME"] == "/srv/x.db"
    found = database_from("postgres://u:p%40ss@db:5433/panel?sslmode=require", tmp_path)
    assert (found["HOST"], found["PORT"], found["PASSWORD"]) == ("db", "5433", "p@ss")
    assert found["OPTIONS"] == {"sslmode": "require"}
    for wrong in ("sqlite://x.db", "sqlite:///", "postgres://h:x1/d"):
        with pytest.raises(ImproperlyConfigured):
            database_from(wrong, tmp_path)


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_behind_tls_django_finds_nothing_to_warn_about(proxies: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env={
            "PATH": os.environ["PATH"],
            "VAR_DIR": str(tmp_path),
            "SECRET_KEY": "abcdefghijklmnopqrstuvwxyz" * 2,
            "HTTPS": "true",
            "TRUSTED_PROXIES": proxies,
        },
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("said", "status"), [(None, 301), ("http", 301), ("https", 200)])
def test_plain_http_is_redirected_and_what_a_proxy_took_by_tls_is_not(
    said: str | None, status: int, client: Client
) -> None:
    headers = {"X-Forwarded-Proto": said} if said else {}
    with override_settings(
        SECURE_SSL_REDIRECT=True, SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")
    ):
        answer = client.get("/login/", headers=headers)
    assert answer.status_code == status
    if status == 301:
        assert answer["Location"] == "https://testserver/login/"


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_with_https_a_proxy_is_believed_how_the_visitor_came(proxies: str, tmp_path: Path) -> None:
    """Otherwise the redirect would go round in circles where TRUSTED_PROXIES was forgotten."""
    said = (
        "import easyapache.settings as s; print(s.SECURE_SSL_REDIRECT, s.SECURE_PROXY_SSL_HEADER)"
    )
    done = start(
        say=said, VAR_DIR=str(tmp_path), SECRET_KEY="s", HTTPS="true", TRUSTED_PROXIES=proxies
    )
    assert done.stdout.strip() == "True ('HTTP_X_FORWARDED_PROTO', 'https')"
    assert start(say=said, VAR_DIR=str(tmp_path), SECRET_KEY="s").stdout.strip() == "False None"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "198.51.100.1", "192.0.2.1"),
        (1, "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (2, "203.0.113.9, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
        (2, "198.51.100.1", "192.0.2.1"),
        (1, "not an address", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_client_is_whoever_our_own_proxies_saw(
    proxies: int, forwarded: str, expected: str
) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)
    with override_settings(TRUSTED_PROXIES=proxies):
        assert client_address(request) == expected


def test_the_pepper_of_the_secret_key_stays_behind_those_that_are_given() -> None:
    (own, derived), *more = peppers_from("", "one").items()
    assert more == []
    given = peppers_from(f"2027:{'n' * 16}, 2026:{'o' * 16}", "one")
    assert list(given.items()) == [("2027", b"n" * 16), ("2026", b"o" * 16), (own, derived)]
    assert own not in peppers_from("", "another")


@pytest.mark.parametrize(
    "text", ["2027", "2027:short", f"a b:{'n' * 16}", f"x:{'n' * 16},x:{'o' * 16}"]
)
def test_peppers_that_cannot_be_meant_stop_the_start(text: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        peppers_from(text, "one")
    assert "nnn" not in str(refused.value)


def test_a_blank_value_counts_as_not_set(tmp_path: Path) -> None:
    """docker-compose.yml has defaults of one blank, because not every compose knows empty ones."""
    secret = tmp_path / "key"
    secret.write_text("deep water\n")
    assert Environment({"WHM_SERVER": " "}).text("WHM_SERVER", "web03") == "web03"
    assert Environment({"KEY": " ", "KEY_FILE": str(secret)}).text("KEY") == "deep water"
    assert Environment({"NETS": " "}).networks("NETS", ("10.0.0.0/8",)) == ["10.0.0.0/8"]
