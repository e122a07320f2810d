"""Pages, messages, logs and documents use plain American product English: words that say too little
stay out of them."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "locale/de/LC_MESSAGES/django.po"
BANNED = (
    "asked for",
    "beware",
    "brought back",
    "came",
    "cancelled",
    "cancelling",
    "catalogue",
    "colour",
    "colours",
    "comes",
    "gets on with",
    "goes",
    "good no longer",
    "half-way",
    "is so",
    "let expect",
    "lets expect",
    "looked at",
    "mend",
    "nobody",
    "somebody",
    "speaks against",
    "stands",
    "stands in the way",
    "taken back",
    "told",
    "under way",
    "whoever",
)
PATTERN = re.compile(rf"\b({'|'.join(sorted(BANNED, key=len, reverse=True))})\b", re.IGNORECASE)
ACCOUNT = re.compile(r"\b(?:user|group|chgrp) nobody\b")
"""The account that httpd runs as."""
TAG = re.compile(
    r"\{#.*?#\}|\{% comment.*?endcomment %\}|<[^>]*>|\{\{.*?\}\}|\{% (?!translate|plural).*?%\}",
    re.DOTALL,
)

ACCOUNT = re.compile(r"\b(?:account|as|chgrp|group|user) nobody\b")
"""The account whose name is nobody, under which httpd runs."""

PROSE: tuple[str, ...] = (
    "easyapache/agent",
    "mpm/access",
    "mpm/changes",
    "mpm/history",
    "mpm/notify",
    "mpm/servers",
)
PROSE += ("mpm/web", "mpm/management", "mpm/tasks.py", "lab", "demo")
PROSE += ("mpm/api", "mpm/backup", "mpm/cli", "mpm/monitoring", "mpm/schemas", "mpm/whmapi")
"""Where every string of several words is read by a person: logs, errors and help as well."""

FORMER = "mpm/web/former_sentences.py"
"""Sentences of earlier versions, kept to be shown in the words of this one."""

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "THREAT_MODEL.md", "docs")
GENERATED = {f"docs/reference/{name}.md" for name in ("commands", "conditions", "rest", "settings")}
"""Made of the sentences of the code, which are read where they are written."""

STILL: dict[str, set[str]] = {
    "mpm/history/models/guards.py": {"asked for"},  # the text of a trigger in every database
}
"""Words that a file still has, by its path. The list only shrinks: take out what is no longer
found."""


def words_of(text: str) -> set[str]:
    plain = ACCOUNT.sub(" ", " ".join(text.split()))
    return {found.lower() for found in PATTERN.findall(plain)}


def strings_of(path: Path) -> Iterator[str]:
    """The strings of a module that have several words, its docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str) and " " in node.value.strip():
            yield node.value


def files_in(place: str, ending: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob(f"*.{ending}"))


def msgids() -> list[str]:
    entries = re.findall(
        r'^msgid(?:_plural)? ((?:".*"\n)+)', CATALOG.read_text(encoding="utf-8"), re.MULTILINE
    )
    return ["".join(ast.literal_eval(line) for line in one.splitlines()) for one in entries]


def files_of_messages() -> dict[str, set[str]]:
    """The files of the code that hold a string, by the string."""
    files = defaultdict(set)
    for folder in ("mpm", "easyapache"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    files[node.value].add(str(path.relative_to(ROOT)))
    return files


def found() -> dict[str, set[str]]:
    words: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "templates").rglob("*.html")):
        text = TAG.sub(" ", path.read_text(encoding="utf-8"))
        words[str(path.relative_to(ROOT))] |= words_of(text)
    files = files_of_messages()
    for message in msgids():
        for file in files.get(message, ()):
            words[file] |= words_of(message)
    for place in PROSE:
        for path in files_in(place, "py"):
            name = str(path.relative_to(ROOT))
            if name != FORMER and "migrations" not in path.parts:
                words[name] |= words_of("\n".join(strings_of(path)))
    for place in DOCUMENTS:
        for path in files_in(place, "md"):
            name = str(path.relative_to(ROOT))
            if name not in GENERATED:
                words[name] |= words_of(path.read_text(encoding="utf-8"))
    return {file: those for file, those in words.items() if those}


def test_banned_words_are_in_no_template_and_no_message() -> None:
    new = {file: words - STILL.get(file, set()) for file, words in found().items()}
    assert {file: words for file, words in new.items() if words} == {}


def test_every_word_that_is_still_allowed_is_still_needed() -> None:
    now = found()
    unneeded = {file: words - now.get(file, set()) for file, words in STILL.items()}
    assert {file: words for file, words in unneeded.items() if words} == {}


@pytest.mark.parametrize(
    "sentence", ["Nothing stands in the way.", "3 packages came, 2 left.", "Nobody owns it."]
)
def test_a_sentence_with_a_banned_word_is_found(sentence: str) -> None:
    assert words_of(sentence)
    assert not words_of("Files are read as nobody.")
    assert not words_of("No problems found. 3 packages were installed. It runs as user nobody.")


# -- the sentences of easyapache/ea4: what plans, findings and Diagnostics show ------------------

ELSEWHERE = (
    "at once",
    "cannot",
    "chosen",
    "cut short",
    "dress rehearsal",
    "gone",
    "has to leave",
    "halfway",
    "ITK is switched",
    "kit",
    "leaves",
    "moves",
    "rehearsal",
    "says so",
    "the choice",
    "the doctor",
    "torn",
    "way back",
    "would suit",
)
"""Words with another word in the glossary; more than BANNED, which holds for all of the panel."""
GLOSSARY = re.compile(rf"\b({'|'.join((*BANNED, *ELSEWHERE))})\b", re.IGNORECASE)


def sentences_of(path: Path) -> set[str]:
    """Strings with a blank that are no docstring, no pattern and no name of a fact."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("patterns", "beside"):
            silent |= {id(inner) for inner in ast.walk(node.value)}
        # What is raised for programmers, and is never shown.
        if isinstance(node, ast.Raise):
            silent |= {id(inner) for inner in ast.walk(node) if isinstance(inner, ast.Constant)}
    return {
        " ".join(node.value.split())
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and " " in node.value.strip()
        and id(node) not in silent
    }


def test_sentences_of_ea4_use_the_words_of_the_glossary() -> None:
    wrong = {}
    read = 0
    for path in sorted((ROOT / "easyapache/ea4").rglob("*.py")):
        sentences = sentences_of(path)
        read += len(sentences)
        for sentence in sentences:
            if GLOSSARY.search(ACCOUNT.sub(" ", sentence)):
                wrong[sentence] = str(path.relative_to(ROOT))
    assert read > 300
    assert wrong == {}


# -- the sentences of the other doors: REST, its description, WHM's functions, commands ------------

DESCRIPTION = ROOT / "tests/api/openapi.json"
"""As ``tests/api`` compares it with what the panel answers; it holds the public docstrings too."""
DOORS = ("mpm/api", "mpm/cli", "mpm/whmapi")


def texts_of(described: object) -> Iterator[str]:
    """Every text of several words in the description, examples as well."""
    if isinstance(described, str):
        if " " in described:
            yield " ".join(described.split())
    elif isinstance(described, dict):
        for inner in described.values():
            yield from texts_of(inner)
    elif isinstance(described, list):
        for inner in described:
            yield from texts_of(inner)


def test_descriptions_refusals_and_help_use_the_words_of_the_glossary() -> None:
    sentences = set(texts_of(json.loads(DESCRIPTION.read_text(encoding="utf-8"))))
    read = len(sentences)
    assert read > 250
    for place in DOORS:
        for path in files_in(place, "py"):
            sentences |= {" ".join(text.split()) for text in strings_of(path)}
    assert len(sentences) > read + 300
    assert {one for one in sentences if GLOSSARY.search(ACCOUNT.sub(" ", one))} == set()
