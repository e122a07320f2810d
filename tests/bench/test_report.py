"""RESULTS.md: a measurement replaces its own section and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import __main__ as runner
from bench.report import Section, Table, markdown, ratio, spread, whole, write


def block(name: str, finding: str) -> str:
    table = Table("Rows.", ("a", "b"), (("1", "x|y"),))
    return markdown(name, f"About {name}", Section((finding,), (table,), ("So.",)), "a machine")


def test_a_section_is_written_again_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    write("one", block("one", "alpha"), path)
    write("two", block("two", "beta"), path)
    write("one", block("one", "gamma"), path)
    text = path.read_text()
    assert text.startswith("# Results")
    assert "alpha" not in text
    assert text.index("gamma") < text.index("beta")
    assert text.count("## About one") == text.count("## About two") == 1
    assert text.count("Conditions: a machine") == 2


def test_a_cell_cannot_break_its_table() -> None:
    assert "| 1 | x\\|y |" in block("one", "alpha")


def test_figures_are_written_as_people_read_them() -> None:
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
    assert spread([2.0, 2.0], 0) == "2"
    assert ratio(3, 2) == "1.50 ×"
    assert ratio(3, 0) == "–"
    assert whole(1234567) == "1 234 567"


def test_every_measurement_is_found_by_its_name() -> None:
    found = runner.measurements()
    assert list(found)[:4] == ["switches", "size", "history", "api"]
    assert all(module.TITLE and callable(module.measure) for module in found.values())


def test_a_measurement_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        runner.main(["nothing"])
    assert ended.value.code == 2
    assert "switches" in capsys.readouterr().err
