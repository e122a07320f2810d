from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache.ea4.versions import EVR, compare_evr, compare_versions, parse_evr

versions = st.text(alphabet="0123456789abcXYZ.~^_+-", max_size=12)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("2.4.9", "2.4.10"),
        ("1.0", "1.0.1"),
        ("1.0a", "1.0.1"),
        ("1.0~rc1", "1.0"),
        ("1.0", "1.0^git1"),
        ("1.0^git1", "1.0.1"),
        ("a", "1"),
        ("forked", "threaded"),
        ("20120211", "20120211x8664"),
        ("1.0~rc1", "1.0~rc2"),
        ("2.4.7.2", "2.4.7.4"),
    ],
)
def test_the_older_version_sorts_first_as_in_rpm(older: str, newer: str) -> None:
    assert compare_versions(older, newer) == -1
    assert compare_versions(newer, older) == 1


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.0"), ("1.0", "1_0"), ("01", "1")])
def test_separators_and_leading_zeros_do_not_count(one: str, other: str) -> None:
    assert compare_versions(one, other) == 0


@given(versions, versions)
def test_comparing_the_other_way_round_gives_the_opposite(one: str, other: str) -> None:
    assert compare_versions(one, other) == -compare_versions(other, one)


@given(versions, versions, versions)
def test_the_order_is_transitive(one: str, two: str, three: str) -> None:
    if compare_versions(one, two) <= 0 and compare_versions(two, three) <= 0:
        assert compare_versions(one, three) <= 0


@pytest.mark.parametrize(
    ("text", "evr"),
    [
        ("2.4.67-2", EVR(0, "2.4.67", "2")),
        ("1:2.4-1.el9", EVR(1, "2.4", "1.el9")),
        ("forked", EVR(0, "forked", "")),
        ("7.4", EVR(0, "7.4", "")),
        ("a:1-2", EVR(0, "a:1", "2")),
    ],
)
def test_an_evr_is_read_and_written(text: str, evr: EVR) -> None:
    assert parse_evr(text) == evr
    assert str(evr) == text


def test_an_epoch_beats_every_version() -> None:
    assert compare_evr(parse_evr("1:1.0-1"), parse_evr("9.9-9")) == 1


def test_a_relation_without_a_release_is_met_by_any_release() -> None:
    assert compare_evr(parse_evr("7.4"), parse_evr("7.4-15")) == 0
    assert compare_evr(parse_evr("7.4-14"), parse_evr("7.4-15")) == -1
