"""Fixtures that give a test its own real server. See ``lab.server.Lab``.

``make_lab(stock="minimal", **how)`` makes as many as wanted; each is taken down and removed when
the test ends, and the test fails when one of them leaves a process behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import apache
from lab.server import Lab
from tests.places import short_folder

MakeLab = Callable[..., Lab]


@pytest.fixture
def lab_folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture
def make_lab(lab_folder: Path) -> Iterator[MakeLab]:
    """Makes labs; the arguments are those of ``Lab.create`` after the folder."""
    made: list[Lab] = []

    def make(stock: str = "minimal", **how: Any) -> Lab:
        lab = Lab.create(lab_folder / f"lab{len(made)}", stock, **how)
        made.append(lab)
        return lab

    yield make
    for lab in made:
        lab.down()
        assert apache.processes_of(lab.root) == []


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """A small prefork server that serves already."""
    return make_lab("minimal").up()
