"""Every text of the pages can be translated, and German is complete.

The compiled file is kept in the repository, because a machine that only runs the panel has no
gettext tools; it is held to its source here. To renew both after a change of texts:
``manage.py makemessages -l de --no-wrap --no-location``, translate, ``manage.py
compilemessages``. (Both with the panel's settings, DEBUG=true will do: without them Django runs a
makemessages of its own, which does not know sentences.)
"""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.test import Client
from django.utils.translation.template import templatize

from easyapache.ea4.mpm import ITK_SUMMARY, MPM
from mpm.changes.views.chooser import FOR_TRANSLATORS
from mpm.servers.models import Server
from tests.web.conftest import HISTORY

ROOT = Path(settings.BASE_DIR)
FOLDER = ROOT / "locale" / "de" / "LC_MESSAGES"
CALLS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "Sentence", "marked"}
CALLED = re.compile(r"""\b(?:n?gettext|_)\(\s*u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def entries() -> Iterator[tuple[str, list[str]]]:
    """(msgid, translations) of the source file, the header left out."""
    text = (FOLDER / "django.po").read_text("utf-8")
    for block in text.split("\n\n")[1:]:
        parts: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("msg"):
                key = line.split(" ")[0]
            if not line.startswith("#"):
                parts[key] = parts.get(key, "") + "".join(QUOTED.findall(line))
        words = {name: part.replace('\\"', '"') for name, part in parts.items()}
        yield words["msgid"], [part for name, part in words.items() if "msgstr" in name]


def texts() -> Iterator[str]:
    """Every text that templates and modules mark for translation, plural forms left out."""
    for path in (ROOT / "templates").rglob("*.html"):
        # What xgettext gets to see of a template: its texts as calls, everything else crossed out.
        for text in CALLED.findall(templatize(path.read_text("utf-8"))):
            yield ast.literal_eval(text)
    for folder in ("easyapache", "mpm"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[0]
                value = first.value if isinstance(first, ast.Constant) else None
                if name in CALLS and isinstance(value, str):
                    yield value


def test_sentences_with_values_in_templates_are_among_the_texts() -> None:
    found = set(texts())
    assert any(text.startswith("Too many attempts") for text in found)
    assert "Requested by %(who)s (%(way)s)" in found
    assert "Finished. View result" in found


def test_german_says_everything() -> None:
    assert [name for name, said in entries() if not all(said)] == []
    assert "fuzzy" not in (FOLDER / "django.po").read_text("utf-8")
    known = {name for name, _ in entries()}
    assert sorted(set(texts()) - known) == []


def test_the_compiled_german_is_the_one_of_the_source() -> None:
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for name, said in entries():
        expected = said[0]
        assert compiled.gettext(name) == expected or compiled.ngettext(name, "", 1) == expected


def test_translators_see_the_sentences_of_the_catalogue() -> None:
    assert set(FOR_TRANSLATORS) == {ITK_SUMMARY, *(mpm.summary for mpm in MPM)}


def test_pages_are_german_for_who_reads_german(admin: Client, server: Server) -> None:
    page = admin.get(HISTORY, headers={"Accept-Language": "de"})
    assert page["Content-Language"] == "de"
    words = page.content.decode()
    assert '<html lang="de"' in words
    assert "Änderungsverlauf" in words
    assert "Change history" not in words
    admin.post("/preferences/", {"language": "en"})
    assert (
        "Change history" in admin.get(HISTORY, headers={"Accept-Language": "de"}).content.decode()
    )
