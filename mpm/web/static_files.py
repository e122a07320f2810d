"""Static files that survive a power cut: collected, synced to disk, and verified.

``collectstatic`` skips a file that is newer than its source. One emptied by a power cut would
remain empty, and an empty manifest breaks every command that reads it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from easyapache.agent.change.durable import sync_folder, write_atomically

RECORD = ".complete.json"
"""The size of every file, written when all of them are on the disk."""
MANIFEST = "staticfiles.json"


def collect_static_files() -> None:
    """Update STATIC_ROOT, from scratch if any file differs from its record. Raises OSError if it
    cannot be written."""
    root = Path(settings.STATIC_ROOT)
    whole = _is_whole(root)
    if not whole:
        (root / MANIFEST).unlink(missing_ok=True)
    call_command("collectstatic", verbosity=0, interactive=False, clear=not whole)
    files = _files(root)
    for path in files:
        _sync(path)
    for folder in {path.parent for path in files}:
        sync_folder(folder)
    write_atomically(root / RECORD, json.dumps(_sizes(root), sort_keys=True).encode())


def _is_whole(root: Path) -> bool:
    try:
        recorded = json.loads((root / RECORD).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(recorded, dict) and recorded.items() <= _sizes(root).items()


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != RECORD]


def _sizes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_size for path in _files(root)}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
