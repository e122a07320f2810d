"""Parameters in every style, and output control: pure, so held to by properties."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpm.whmapi.output import controlled
from mpm.whmapi.parameters import BadParameters, Parameters, from_body, from_query

NAMES = st.from_regex(r"ea-[a-z0-9_.+-]{1,20}", fullmatch=True)
LISTS = st.lists(NAMES, unique=True, max_size=12)
RECORDS = st.lists(
    st.fixed_dictionaries({"name": NAMES, "size": st.integers(0, 99), "note": st.text(max_size=5)}),
    max_size=30,
)


def given_as(**values: str) -> Parameters:
    return Parameters(tuple((key.replace("__", "."), value) for key, value in values.items()))


@given(LISTS)
def test_every_style_of_list_means_the_same(names: list[str]) -> None:
    repeated = urlencode([("install", name) for name in names])
    bare_first = urlencode(
        [("install" if i == 0 else f"install-{i}", name) for i, name in enumerate(names)]
    )
    numbered = urlencode([(f"install-{i}", name) for i, name in enumerate(names)])
    backwards = urlencode([(f"install-{i}", name) for i, name in reversed(list(enumerate(names)))])
    for query in (repeated, bare_first, numbered, backwards):
        assert Parameters(from_query(query)).many("install") == tuple(names)
    body = json.dumps({"install": names}).encode()
    assert Parameters(from_body("application/json", body)).many("install") == tuple(names)


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=8))
def test_a_form_and_a_query_are_read_alike(values: dict[str, str]) -> None:
    text = urlencode(values)
    form = from_body("application/x-www-form-urlencoded; charset=utf-8", text.encode())
    assert form == from_query(text)


@given(st.binary(max_size=200), st.sampled_from(["application/json", "", "text/plain"]))
def test_any_body_is_read_or_refused(body: bytes, kind: str) -> None:
    try:
        pairs = from_body(kind, body)
    except BadParameters:
        return
    assert all(isinstance(part, str) for pair in pairs for part in pair)


def test_booleans_are_1_and_0_only() -> None:
    assert given_as(a="1").flag("a")
    assert not given_as(a="0").flag("a")
    assert given_as().flag("a", default=True)
    for wrong in ("true", "yes", "2", "-1"):
        with pytest.raises(BadParameters):
            given_as(a=wrong).flag("a")


@pytest.mark.parametrize("value", ["", "-1", "x", "1.5", "1e3", "٣", "9" * 30])
def test_a_number_is_whole_and_large_enough(value: str) -> None:
    with pytest.raises(BadParameters):
        given_as(build=value).integer("build", minimum=1)


@given(RECORDS, st.integers(-3, 40), st.integers(-3, 40))
def test_chunks_are_slices_counted_from_one(records: list[Any], start: int, size: int) -> None:
    parameters = given_as(
        api__chunk__enable="1",
        api__chunk__verbose="1",
        api__chunk__start=str(start),
        api__chunk__size=str(size),
    )
    data, about = controlled({"records": records}, parameters)
    if start < 1:
        assert data["records"] == records
    elif size > 0:
        assert data["records"] == records[start - 1 : start - 1 + size]
    assert about["chunk"]["records"] == len(records)


@given(RECORDS)
def test_all_chunks_together_are_the_whole(records: list[Any]) -> None:
    found: list[Any] = []
    for start in range(1, len(records) + 1, 4):
        parameters = given_as(
            api__chunk__enable="1", api__chunk__start=str(start), api__chunk__size="4"
        )
        found += controlled({"records": records}, parameters)[0]["records"]
    assert found == records


@given(RECORDS, st.booleans())
def test_sorting_by_number_orders_numbers(records: list[Any], down: bool) -> None:
    parameters = given_as(
        api__sort__enable="1",
        api__sort__a__field="size",
        api__sort__a__method="numeric",
        api__sort__a__reverse="1" if down else "0",
        api__sort__b__field="name",
    )
    sizes = [item["size"] for item in controlled({"records": records}, parameters)[0]["records"]]
    assert sizes == sorted(sizes, reverse=down)


@given(RECORDS)
def test_zero_can_be_the_largest(records: list[Any]) -> None:
    parameters = given_as(
        api__sort__enable="1",
        api__sort__a__field="size",
        api__sort__a__method="numeric_zero_as_max",
    )
    sizes = [item["size"] for item in controlled({"records": records}, parameters)[0]["records"]]
    assert sizes == sorted(sizes, key=lambda size: size or 1000)


OPERATORS: dict[str, Any] = {
    "==": lambda size: size == 50,
    "lt": lambda size: size < 50,
    "lt_equal": lambda size: size <= 50,
    "gt": lambda size: size > 50,
    "gt_equal": lambda size: size >= 50,
    "gt_handle_unlimited": lambda size: size > 50,
    "lt_handle_unlimited": lambda size: size < 50,
}


@given(RECORDS, st.sampled_from(sorted(OPERATORS)))
def test_filters_keep_exactly_what_holds(records: list[Any], operator: str) -> None:
    parameters = given_as(
        api__filter__enable="1",
        api__filter__verbose="1",
        api__filter__a__field="size",
        api__filter__a__type=operator,
        api__filter__a__arg0="50",
    )
    data, about = controlled({"records": records}, parameters)
    assert data["records"] == [item for item in records if OPERATORS[operator](item["size"])]
    assert about["filter"] == {"filtered": len(records)}


def test_unlimited_is_larger_than_every_number_only_where_it_is_handled() -> None:
    records = [{"quota": "unlimited"}, {"quota": "5"}]

    def kept(operator: str) -> int:
        parameters = given_as(
            api__filter__enable="1",
            api__filter__a__field="quota",
            api__filter__a__type=operator,
            api__filter__a__arg0="9",
        )
        return len(controlled({"records": records}, parameters)[0]["records"])

    assert (kept("gt"), kept("gt_handle_unlimited")) == (0, 1)
    assert (kept("lt"), kept("lt_handle_unlimited")) == (1, 1)


def test_texts_are_matched_by_their_beginning_their_parts_or_whole() -> None:
    data = {"packages": ["ea-apache24", "ea-apache24-mod_cgi", "ea-php82"]}

    def kept(operator: str | None, text: str, field: str = "*") -> list[str]:
        parameters = {"api__filter__enable": "1", "api__filter__a__field": field}
        parameters |= {"api__filter__a__arg0": text}
        if operator:
            parameters["api__filter__a__type"] = operator
        return list(controlled(data, given_as(**parameters))[0]["packages"])

    assert kept("begins", "EA-apache") == data["packages"][:2]
    assert kept(None, "cgi") == ["ea-apache24-mod_cgi"]
    assert kept("eq", "ea-php82", "package") == ["ea-php82"]


def test_columns_cut_records_to_what_is_wanted() -> None:
    records = [{"a": 1, "b": 2, "c": 3}]
    parameters = given_as(api__columns__enable="1", api__columns__a="c", api__columns__b="a")
    assert controlled({"x": records}, parameters)[0]["x"] == [{"c": 3, "a": 1}]


@pytest.mark.parametrize(
    "asked",
    [
        {"api__sort__enable": "1", "api__sort__a__field": "a", "api__sort__a__method": "magic"},
        {"api__sort__enable": "1", "api__sort__a__field": "a", "api__sort__a__method": "numeric"},
        {"api__sort__enable": "1", "api__sort__a__field": "a", "api__sort__a__method": "ipv4"},
        {"api__filter__enable": "1", "api__filter__a__type": "like", "api__filter__a__arg0": "x"},
        {"api__filter__enable": "1", "api__filter__a__type": "gt", "api__filter__a__arg0": "x"},
        {"api__chunk__enable": "1", "api__chunk__size": "ten"},
        {"api__chunk__enable": "yes"},
    ],
)
def test_what_output_control_does_not_know_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(BadParameters):
        controlled({"x": [{"a": "text"}]}, given_as(**asked))


def test_data_without_a_single_list_is_left_alone() -> None:
    parameters = given_as(api__chunk__enable="1", api__chunk__size="1")
    for data in ({"build": 3}, {"a": [1, 2], "b": [3, 4]}):
        assert controlled(data, parameters) == (data, {})
