"""A machine with WHM."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.conftest import admin, support
from tests.whm.stand_in import StandIn

__all__ = ["admin", "support", "whm"]


@pytest.fixture
def whm() -> Iterator[StandIn]:
    """Below a short path: the first line of a program has 255 bytes at most."""
    folder = Path(tempfile.mkdtemp(prefix="whm-"))
    yield StandIn(folder)
    shutil.rmtree(folder)
