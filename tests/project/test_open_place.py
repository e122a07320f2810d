"""A checkout in root's own home is shown to the accounts that the panel's parts run as."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap import open_place

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture
def checkout() -> Iterator[Path]:
    """One in a folder that only root may enter."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder) / "work" / "panel"
        (top / "bootstrap").mkdir(parents=True)
        text = Path(open_place.__file__).read_text("utf-8")
        (top / "bootstrap" / "open_place.py").write_text(text, "utf-8")
        (top / "said").write_text("hello")
        yield top


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    script = str(checkout / "bootstrap" / "open_place.py")
    return subprocess.run(
        [sys.executable, script, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
        env={"HOME": str(checkout.parents[1]), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def test_every_account_reads_a_checkout_that_is_in_a_closed_place(checkout: Path) -> None:
    said = str(checkout / "said")
    outside = subprocess.run([*AS_NOBODY, "cat", said], capture_output=True, check=False)
    assert outside.returncode != 0
    done = run(checkout, *AS_NOBODY, "cat", said)
    assert done.stdout.endswith("hello"), done.stderr
    assert "is closed to other accounts" in done.stdout


def test_what_is_written_there_stays_and_the_place_stays_closed(checkout: Path) -> None:
    closed = checkout.parents[1]
    done = run(checkout, "sh", "-c", "echo kept > new; echo kept > ~/.cache/new; exit 7")
    assert done.returncode == 7
    assert (checkout / "new").read_text() == "kept\n"
    assert (closed / ".cache" / "new").read_text() == "kept\n"
    assert closed.stat().st_mode & 0o777 == 0o700


def test_in_an_open_place_the_command_simply_runs(checkout: Path) -> None:
    checkout.parents[1].chmod(0o755)
    done = run(checkout, "cat", "said")
    assert done.stdout == "hello"
