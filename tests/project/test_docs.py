"""README and docs/ against the code: commands parse, paths and links exist, references fit."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from bootstrap import reference
from easyapache.agent.__main__ import COMMANDS as BY_HAND
from easyapache.agent.config import HostConfig
from mpm.cli.commands.definition import parser_of
from mpm.management.commands.mpm import Command

TOP = Path(__file__).resolve().parent.parent.parent
MADE = {reference.FOLDER / name for name in reference.PAGES}
WRITTEN = sorted({TOP / "README.md", *(TOP / "docs").rglob("*.md")} - MADE)
SHOWN = [*sorted((TOP / "templates").rglob("*.html")), TOP / "tests" / "api" / "openapi.json"]
"""What names commands as well: pages, and the description of REST."""
TAG = re.compile(r"\{#.*?#\}|\{%.*?%\}|</?code>", re.DOTALL)
FOLDERS = "easyapache|mpm|docs|templates|static|locale|tests|lab|demo|bench|bootstrap|requirements"


def name_of(path: Path) -> str:
    return path.relative_to(TOP).as_posix()


def commands(text: str, words: str) -> Iterator[str]:
    """What follows ``words`` in blocks and in code within lines, continued lines joined."""
    for found in re.finditer(re.escape(words) + r"\b([^`\n]*)", text.replace("\\\n", " ")):
        if said := found[1].split(" #")[0].strip():
            yield said


def text_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return text.replace("\\n", "\n").replace('\\"', '"')
    return TAG.sub("`", text) if path.suffix == ".html" else text


def written(words: str) -> list[tuple[str, str]]:
    return [
        (name_of(path), line)
        for path in (*WRITTEN, *SHOWN)
        for line in commands(text_of(path), words)
        if "{{" not in line
    ]


def test_commands_are_found_in_blocks_and_lines() -> None:
    text = "see `manage.py mpm doctor`\n\n    manage.py mpm show 4 \\\n        --log  # all of it\n"
    assert list(commands(text, "manage.py mpm")) == ["doctor", "show 4          --log"]
    assert len(written("manage.py mpm")) > 10
    assert len(written("-m easyapache.agent")) > 4


@pytest.mark.parametrize(("place", "line"), written("manage.py mpm"))
def test_a_command_that_is_written_down_parses(place: str, line: str) -> None:
    parser = Command().create_parser("manage.py", "mpm")
    if line == "--help":
        return
    try:
        parser.parse_args(shlex.split(line))
    except SystemExit as ended:
        pytest.fail(f"{place}: manage.py mpm {line} ends with {ended.code}")


FROM_AFAR = [
    (name_of(path), line)
    for path in WRITTEN
    for line in re.findall(r"^ea4mpm (.+)$", path.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize(("place", "line"), FROM_AFAR)
def test_a_command_of_the_client_that_is_written_down_parses(place: str, line: str) -> None:
    assert len(FROM_AFAR) > 2
    try:
        parser_of("ea4mpm", remote=True).parse_args(shlex.split(line))
    except SystemExit as ended:
        pytest.fail(f"{place}: ea4mpm {line} ends with {ended.code}")


@pytest.mark.parametrize(("place", "line"), written("-m easyapache.agent"))
def test_what_root_is_told_to_run_exists(place: str, line: str) -> None:
    if line.startswith(".worker"):
        return
    name, *rest = line.split()
    assert name in BY_HAND, f"{place}: {line}"
    options = [word for word in rest if word.startswith("--")]
    assert options in ([], ["--all"]), f"{place}: {line}"
    assert not options or name == "resume", f"{place}: {line}"


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_every_path_that_is_named_exists(path: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", path.read_text())
    assert [one for one in named if not (TOP / one).exists()] == []


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    text = (TOP / "README.md").read_text()
    links = [href.partition("#")[0] for href in re.findall(r"\]\(([^)\s]+)\)", text)]
    assert links
    local = [href for href in links if href and "://" not in href]
    assert [href for href in local if not (TOP / href).exists()] == []


def test_the_overview_of_help_names_every_page() -> None:
    text = (TOP / "docs/README.md").read_text()
    named = set(re.findall(r"\]\(([^)\s#]+)\)", text))
    pages = {path.relative_to(TOP / "docs").as_posix() for path in (TOP / "docs").rglob("*.md")}
    listed = {page for page in pages if not page.startswith("decisions/0")} - {"README.md"}
    assert listed - named == set()


def test_the_references_are_those_of_this_code() -> None:
    assert reference.stale() == [], "run make docs"


def test_every_setting_has_a_meaning() -> None:
    source = (TOP / "easyapache/settings.py").read_text()
    rows = list(reference.settings_of(source))
    assert len(rows) > 20
    assert [variable for variable, _default, meaning in rows if not meaning] == []


def test_every_key_of_the_agent_has_a_meaning_and_a_type_of_toml() -> None:
    source = (TOP / "easyapache/agent/config.py").read_text()
    rows = {key.strip("`"): row for key, *row in reference.agent_settings_of(source)}
    names = {one.name for one in fields(HostConfig)}
    assert set(rows) == names
    assert [key for key, (_type, _default, meaning) in rows.items() if not meaning] == []
    assert rows["rpm"][:2] == ["array of strings", '`["rpm"]`']
    assert rows["server"][:2] == ["string", "required"]
    assert rows["second_opinion"][:2] == ["Boolean", "`true`"]


def test_a_setting_is_read_with_its_default_and_the_text_below_it() -> None:
    source = (
        'A = env.integer("A", 5, minimum=1)\n"""How many."""\n'
        'B = env.names("B", ("x", "y"))\nC = env.boolean("C", default=False)\n'
        'D = env.files("E", "F")\n'
    )
    assert list(reference.settings_of(source)) == [
        ("`A`", "`5`", "How many."),
        ("`B`", "`x,y`", ""),
        ("`C`", "`false`", ""),
    ]


def test_a_cell_of_a_table_stays_in_its_row() -> None:
    assert reference.cell("one | two\n  three") == "one \\| two three"
