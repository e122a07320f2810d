from __future__ import annotations

import pytest

from tests.coverage_in_readme import README, marked


def test_the_readme_has_a_place_for_the_number() -> None:
    text = README.read_text("utf-8")
    assert "<!-- coverage -->87%<!-- /coverage -->" in marked(text, 87)


def test_a_number_replaces_the_one_before_and_nothing_else() -> None:
    before = "a <!-- coverage -->12%<!-- /coverage --> b"
    assert marked(before, 87) == "a <!-- coverage -->87%<!-- /coverage --> b"


def test_a_text_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no markers"):
        marked("no place", 87)
