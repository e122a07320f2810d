from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache.agent.config import BadConfig, HostConfig, config_from, load_config
from easyapache.agent.drivers import config_of, remember

TWO_LINES = {"server": "web03", "spool": "/var/spool/ea4-agent"}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def test_two_lines_are_enough_on_a_production_server() -> None:
    config = config_from(TWO_LINES)
    assert config.httpd == ("/usr/sbin/httpd",)
    assert config.root == Path("/")
    assert config.driver == "dnf"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"spol": "/x"}, "unknown setting 'spol'"),
        ({"server": "Web 03"}, "lower-case"),
        ({"server": 3}, "server must be a string, not a whole number"),
        ({"driver": "apt"}, "one of dnf, simulated"),
        ({"restart_method": "graceful"}, "one of auto"),
        ({"package_manager": "dnf -y"}, "package_manager must be a list, not a string"),
        ({"httpd": ["/usr/sbin/httpd", 1]}, r"httpd\[1\] must be a string"),
        ({"environment": {"A": 1}}, r"environment\.\* must be a string"),
        ({"environment": ["A=1"]}, "environment must be an object, not a list"),
        ({"sites": "http://x"}, "sites must be a list, not a string"),
        ({"sites": ["http://x"]}, r"sites\[0\] must be an object, not a string"),
        ({"spool": 5}, "spool must be a string, not a whole number"),
    ],
)
def test_a_mistake_is_named(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        config_from({**TWO_LINES, **parts})


@pytest.mark.parametrize("missing", sorted(TWO_LINES))
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(BadConfig, match=f"{missing} is missing"):
        config_from({key: value for key, value in TWO_LINES.items() if key != missing})


@given(st.sampled_from(sorted(HostConfig.__dataclass_fields__)), anything)
def test_any_value_is_taken_or_refused_and_never_crashes(key: str, value: Any) -> None:
    try:
        config = config_from({**TWO_LINES, key: value})
    except BadConfig:
        return
    assert isinstance(config, HostConfig)


def test_the_file_must_belong_to_the_agent_and_nobody_else_may_write_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('server = "web03"\nspool = "/var/spool/x"\n')
    path.chmod(0o600)
    assert load_config(path).server == "web03"
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(BadConfig, match="writable only by that user"):
            load_config(path)


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    with pytest.raises(BadConfig, match="No such file"):
        load_config(path)
    path.write_text("server = \n")
    path.chmod(0o600)
    with pytest.raises(BadConfig, match=str(path)):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('server = "a"\nspool = "/x"\n\nrpm = "rpm"\n', "line 4: rpm must be a list"),
        ('server = "a"\nspol = "/x"\n', "line 2: unknown setting 'spol'"),
        ('server = "a"\nspool = "/x"\n[environment]\nA = 1\n', "line 3: environment"),
        ('server = "a"\nspool = "/x"\nrpm = x\n', "line 3"),
        ('server = "a"\n', "agent.toml: spool is missing"),
        ('server = "\xff"\nspool = "/x"\n', "can't decode byte 0xff"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text, "latin-1")
    path.chmod(0o600)
    with pytest.raises(BadConfig, match=re.escape(words)):
        load_config(path)


def test_a_configuration_is_remembered_in_the_spool_as_it_was(tmp_path: Path) -> None:
    config = config_from({**TWO_LINES, "spool": str(tmp_path), "environment": {"A": "b"}})
    remember(config)
    assert config_of(tmp_path) == config
    assert "simulated_state" not in (tmp_path / ".config.json").read_text()
