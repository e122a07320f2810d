"""A file of VAR_DIR that a power cut emptied keeps no part of the panel from starting."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import Celery
from celery.beat import PersistentScheduler


@pytest.mark.parametrize("torn", [b"", b"\0" * 4096, b"\x13\x57\x9a\xce half of it"])
def test_beat_starts_with_a_clock_that_was_torn(torn: bytes, tmp_path: Path) -> None:
    file = tmp_path / "beat-schedule"
    file.write_bytes(torn)
    app = Celery("torn", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"sweep": {"task": "control.sweep", "schedule": 10.0}}
    scheduler = PersistentScheduler(app, schedule_filename=str(file), lazy=False)
    try:
        assert "sweep" in scheduler.schedule
    finally:
        scheduler.close()
