"""What a power cut leaves of the static files is made whole by the next ``prepare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.test import override_settings
from django.utils.functional import empty

from mpm.web.static_files import MANIFEST, RECORD, collect_static_files

STORAGES = {
    **settings.STORAGES,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "static"


def collect(root: Path) -> dict[str, str]:
    """What the manifest then says: {name: name with its digest}."""
    lazy: Any = staticfiles_storage
    with override_settings(STATIC_ROOT=root, STORAGES=STORAGES):
        lazy._wrapped = empty  # it is made once, with the settings of then
        try:
            collect_static_files()
        finally:
            lazy._wrapped = empty
    paths: dict[str, str] = json.loads((root / MANIFEST).read_text())["paths"]
    return paths


@pytest.mark.parametrize("torn", ["", "{", '{"paths": {}}', "\0" * 40])
def test_a_torn_manifest_is_made_anew(torn: str, root: Path) -> None:
    whole = collect(root)
    (root / MANIFEST).write_text(torn)
    assert collect(root) == whole


@pytest.mark.parametrize("kind", ["panel.css", "digest", "digest.gz"])
def test_a_file_that_a_power_cut_emptied_is_made_anew(kind: str, root: Path) -> None:
    name = collect(root)["panel/panel.css"] + (".gz" if kind == "digest.gz" else "")
    file = root / ("panel/panel.css" if kind == "panel.css" else name)
    before = file.read_bytes()
    file.write_bytes(b"")
    collect(root)
    assert file.read_bytes() == before


def test_a_record_that_was_torn_costs_a_collection_and_nothing_else(root: Path) -> None:
    whole = collect(root)
    recorded = (root / RECORD).read_bytes()
    for torn in (b"", b"[]", b"\0\0"):
        (root / RECORD).write_bytes(torn)
        assert collect(root) == whole
        assert (root / RECORD).read_bytes() == recorded


def test_files_that_are_whole_are_left_where_they_are(root: Path) -> None:
    collect(root)
    own = root / "panel" / "of-an-earlier-version.css"
    own.write_text("still asked for by a page that is open")
    collect(root)
    assert own.exists()
