"""``ea4mpm`` without a panel: where its configuration is, and what it makes of a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpm.cli.commands.statuses import UNAVAILABLE, USAGE
from mpm.cli.remote.configuration import BadConfiguration, config_path, panel_from
from mpm.cli.remote.main import main

FILE = """\
default = "production"

[panels.production]
url = "https://panel.example.net/"
token_file = "{folder}/token"
ca = "/etc/ca.pem"

[panels.lab]
url = "http://127.0.0.1:8000"
token = "ea4mpm_lab"
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with a configuration file in its XDG place."""
    folder = tmp_path / "ea4mpm"
    folder.mkdir()
    (folder / "token").write_text("ea4mpm_production\n")
    (folder / "token").chmod(0o600)
    path = folder / "config.toml"
    path.write_text(FILE.format(folder=folder))
    path.chmod(0o600)
    return {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/nonexistent"}


def test_the_file_is_where_xdg_says(tmp_path: Path) -> None:
    assert config_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/ea4mpm/config.toml")
    assert config_path({"HOME": "/h"}) == Path("/h/.config/ea4mpm/config.toml")
    assert config_path({"XDG_CONFIG_HOME": "", "HOME": "/h"}).is_relative_to("/h/.config")


def test_the_file_names_panels_and_the_default_one(home: dict[str, str]) -> None:
    chosen = panel_from(home)
    assert (chosen.url, chosen.token) == ("https://panel.example.net", "ea4mpm_production")
    assert chosen.verify == "/etc/ca.pem"
    for lab in (panel_from(home, name="lab"), panel_from({**home, "EA4MPM_PANEL": "lab"})):
        assert (lab.url, lab.token, lab.verify) == ("http://127.0.0.1:8000", "ea4mpm_lab", True)


def test_the_environment_goes_before_the_file_and_options_before_both(
    home: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "other").write_text("ea4mpm_other")
    (tmp_path / "other").chmod(0o640)
    environment = {
        **home,
        "EA4MPM_URL": "https://other.example.net",
        "EA4MPM_TOKEN_FILE": str(tmp_path / "other"),
    }
    chosen = panel_from(environment)
    assert (chosen.url, chosen.token) == ("https://other.example.net", "ea4mpm_other")
    assert panel_from({**environment, "EA4MPM_TOKEN": "ea4mpm_x"}).token == "ea4mpm_x"
    assert panel_from(environment, url="https://third.example.net").url.startswith("https://third")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"EA4MPM_PANEL": "nowhere"}, "has no panel 'nowhere'; it has production, lab"),
        ({"EA4MPM_URL": "panel.example.net"}, "Set EA4MPM_URL"),
        ({"EA4MPM_TOKEN_FILE": "/nonexistent/token"}, "/nonexistent/token"),
        (
            {"XDG_CONFIG_HOME": "/nonexistent", "EA4MPM_PANEL": "lab"},
            "/nonexistent/ea4mpm/config.toml doesn't exist",
        ),
        ({"XDG_CONFIG_HOME": "/nonexistent", "EA4MPM_URL": "https://a.b"}, "Create an API token"),
    ],
)
def test_what_is_missing_is_named(home: dict[str, str], change: dict[str, str], words: str) -> None:
    with pytest.raises(BadConfiguration, match=words):
        panel_from({**home, **change})


def test_a_token_in_a_file_that_others_can_read_is_refused(home: dict[str, str]) -> None:
    path = config_path(home)
    path.chmod(0o644)
    with pytest.raises(BadConfiguration, match="chmod 600"):
        panel_from(home, name="lab")
    assert panel_from(home, name="production").token == "ea4mpm_production"
    path.write_text("not = [toml")
    with pytest.raises(BadConfiguration, match=r"config\.toml"):
        panel_from(home)


@pytest.mark.parametrize(
    "arguments",
    [[], ["nothing"], ["switch", "mpm_event"], ["token", "create", "x", "--scope", "root"]],
)
def test_arguments_that_do_not_exist_end_with_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == USAGE
    assert "usage: ea4mpm" in capsys.readouterr().err


def test_a_panel_that_is_not_there_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    monkeypatch.setenv("EA4MPM_TOKEN", "ea4mpm_x")
    assert main(["server", "list", "--url", "http://127.0.0.1:1"]) == UNAVAILABLE
    assert "doesn't answer" in capsys.readouterr().err


def test_a_token_that_every_account_can_read_is_refused(
    home: dict[str, str], tmp_path: Path
) -> None:
    token = tmp_path / "ea4mpm/token"
    token.chmod(0o644)
    with pytest.raises(BadConfiguration, match=f"chmod 600 {token}"):
        panel_from(home)


def test_the_address_of_the_api_is_taken_as_that_of_its_panel(home: dict[str, str]) -> None:
    for text in ("https://p.test/api/v1", "https://p.test/api/v1/", "https://p.test//"):
        assert panel_from(home, url=text).url == "https://p.test"
