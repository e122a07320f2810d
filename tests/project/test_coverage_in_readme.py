from __future__ import annotations

import pytest

from tests.coverage_in_readme import README, marked, sentence, shown


def test_the_readme_has_a_place_for_the_number() -> None:
    text = README.read_text("utf-8")
    assert "<!-- coverage -->87%<!-- /coverage -->" in marked(text, 87)
    assert shown(marked(text, 87)) == 87


def test_a_number_replaces_the_one_before_and_nothing_else() -> None:
    before = "a <!-- coverage -->12%<!-- /coverage --> b"
    assert marked(before, 87) == "a <!-- coverage -->87%<!-- /coverage --> b"


def test_a_text_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no number between markers"):
        marked("no place", 87)


@pytest.mark.parametrize("in_readme", [88, 89, 90, 91, 92])
def test_a_readme_that_is_off_by_two_points_is_left_alone(in_readme: int) -> None:
    assert sentence(90, in_readme).endswith(f"(README.md shows {in_readme}%).")


@pytest.mark.parametrize("in_readme", [87, 93])
def test_a_readme_that_is_off_by_more_is_to_be_written(in_readme: int) -> None:
    assert sentence(90, in_readme).endswith(
        f"but README.md shows {in_readme}%. To write it there: make coverage"
    )
