from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache.ea4.capacity import (
    MIB,
    Measured,
    Own,
    Share,
    Source,
    Verdict,
    capacities,
    capacity_of,
)
from easyapache.ea4.limits import limits_of
from easyapache.ea4.mpm import MPM

CPANEL = {"MaxRequestWorkers": 150, "ServerLimit": 256}
values = st.integers(min_value=0, max_value=5000)
directives = st.dictionaries(
    st.sampled_from(["MaxRequestWorkers", "ServerLimit", "ThreadsPerChild", "ThreadLimit"]), values
)


@pytest.mark.parametrize(
    ("mpm", "set_to", "requests", "processes"),
    [
        (MPM.PREFORK, {}, 256, 256),
        (MPM.EVENT, {}, 400, 16),
        (MPM.WORKER, {}, 400, 16),
        (MPM.PREFORK, CPANEL, 150, 150),
        (MPM.EVENT, CPANEL, 150, 6),
        (MPM.EVENT, {"MaxRequestWorkers": 160}, 150, 6),
        (MPM.EVENT, {"MaxRequestWorkers": 10}, 25, 1),
        (MPM.WORKER, {"MaxRequestWorkers": 1000}, 400, 16),
        (MPM.PREFORK, {"MaxRequestWorkers": 1000}, 256, 256),
        (MPM.PREFORK, {"MaxClients": 40}, 40, 40),
        (MPM.EVENT, {"ThreadsPerChild": 100}, 384, 6),
    ],
)
def test_limits_are_those_httpd_would_work_with(
    mpm: MPM, set_to: dict[str, int], requests: int, processes: int
) -> None:
    limits = limits_of(mpm, set_to)
    assert (limits.requests, limits.processes) == (requests, processes)


@pytest.mark.parametrize(
    ("mpm", "set_to", "code"),
    [
        (MPM.PREFORK, {"MaxRequestWorkers": 1000}, "AH00180"),
        (MPM.WORKER, {"MaxRequestWorkers": 160}, "AH00316"),
        (MPM.WORKER, {"MaxRequestWorkers": 1000}, "AH00318"),
        (MPM.EVENT, {"MaxRequestWorkers": 10}, "AH00511"),
        (MPM.EVENT, {"MaxRequestWorkers": 160}, "AH00513"),
        (MPM.EVENT, {"MaxRequestWorkers": 1000}, "AH00515"),
    ],
)
def test_what_httpd_would_correct_is_said_by_its_number(
    mpm: MPM, set_to: dict[str, int], code: str
) -> None:
    assert any(code in text for text in limits_of(mpm, set_to).corrections)
    assert limits_of(mpm, {}).corrections == ()


def test_event_holds_more_connections_than_it_serves_requests() -> None:
    assert limits_of(MPM.EVENT, {}).connections == 1200
    assert limits_of(MPM.WORKER, {}).connections == 400


def small_server(busiest: int = 120) -> Measured:
    return Measured(
        memory_total=4096 * MIB,
        mpm=MPM.PREFORK,
        process_bytes=30 * MIB,
        other_bytes=1024 * MIB,
        busiest=busiest,
        directives=CPANEL,
    )


def test_prefork_that_does_not_fit_is_warned_of() -> None:
    prefork = capacity_of(MPM.PREFORK, small_server())
    assert prefork.memory_at_peak == 150 * 30 * MIB
    assert not prefork.fits
    assert [item.code for item in prefork.warnings] == ["does_not_fit"]
    assert prefork.requests_that_fit == 92
    assert dict(prefork.directives)["MaxRequestWorkers"] == 92
    assert not prefork.estimated


def test_after_prefork_the_limit_stays_and_is_warned_of() -> None:
    event = capacity_of(MPM.EVENT, small_server())
    assert "limit_stays_150" in [item.code for item in event.warnings]
    assert event.fits
    assert event.estimated
    assert dict(event.directives) == {
        "ServerLimit": 12,
        "ThreadsPerChild": 25,
        "MaxRequestWorkers": 250,
    }
    assert event.snippet.startswith("<IfModule mpm_event_module>\n    ServerLimit 12\n")


def test_a_limit_below_the_busiest_moment_is_warned_of() -> None:
    codes = [item.code for item in capacity_of(MPM.WORKER, small_server(busiest=200)).warnings]
    assert "limit_too_low" in codes


def test_a_server_that_runs_event_tells_prefork_apart() -> None:
    measured = Measured(
        8192 * MIB, MPM.EVENT, 20 * MIB, 2 * MIB, 1024 * MIB, 40, {"MaxRequestWorkers": 400}
    )
    assert capacity_of(MPM.PREFORK, measured).memory_at_peak == 256 * 22 * MIB
    assert capacity_of(MPM.EVENT, measured).memory_at_peak == 16 * (20 + 25 * 2) * MIB
    assert not capacity_of(MPM.EVENT, measured).estimated
    assert "limit_stays_150" not in [
        item.code for item in capacity_of(MPM.EVENT, measured).warnings
    ]


@given(directives, st.sampled_from(list(MPM)))
def test_httpd_never_works_with_less_than_one_or_more_than_its_limits(
    set_to: dict[str, int], mpm: MPM
) -> None:
    limits = limits_of(mpm, set_to)
    assert limits.requests == limits.processes * limits.threads_per_child >= 1
    assert limits.processes <= limits.server_limit
    again = {
        "MaxRequestWorkers": limits.requests,
        "ServerLimit": limits.server_limit,
        "ThreadsPerChild": limits.threads_per_child,
        "ThreadLimit": max(limits.threads_per_child, 64),
    }
    settled = limits_of(mpm, again)
    assert settled.requests == limits.requests
    assert settled.corrections == ()


@given(
    st.builds(
        Measured,
        memory_total=st.integers(0, 2**40),
        mpm=st.none() | st.sampled_from(list(MPM)),
        process_bytes=st.integers(0, 2**30),
        thread_bytes=st.integers(0, 2**25),
        other_bytes=st.integers(0, 2**40),
        busiest=st.integers(0, 10_000),
        directives=directives,
        own=st.dictionaries(
            st.sampled_from([mpm.value for mpm in MPM]),
            st.builds(Own, st.integers(1, 2**30), st.integers(0, 2**25)),
        ),
    )
)
def test_the_values_to_copy_are_valid_and_fit_the_memory(measured: Measured) -> None:
    assert Measured.from_json(json.loads(json.dumps(measured.as_json()))) == measured
    for capacity in capacities(measured):
        values = dict(capacity.directives)
        limits = limits_of(capacity.mpm, values)
        assert limits.corrections == ()
        assert capacity.peak_low <= capacity.memory_at_peak <= capacity.peak_high
        assert capacity.fits or capacity.verdict is not Verdict.FITS
        assert limits.requests == values["MaxRequestWorkers"]
        assert limits.requests <= max(capacity.requests_that_fit, limits.threads_per_child)
        json.dumps(capacity.as_json())


@pytest.mark.parametrize(
    ("runs", "mpm", "process", "thread"),
    [
        (MPM.PREFORK, MPM.PREFORK, Share(20 * MIB, Source.MEASURED), None),
        (MPM.EVENT, MPM.EVENT, Share(20 * MIB, Source.MEASURED), Share(MIB, Source.MEASURED)),
        (MPM.EVENT, MPM.WORKER, Share(20 * MIB, Source.ELSEWHERE), Share(MIB, Source.ELSEWHERE)),
        (MPM.EVENT, MPM.PREFORK, Share(21 * MIB, Source.ELSEWHERE), None),
    ],
)
def test_what_one_process_and_one_thread_take_says_where_it_was_measured(
    runs: MPM, mpm: MPM, process: Share, thread: Share | None
) -> None:
    share = MIB if runs.threaded else 0
    measured = Measured(4096 * MIB, runs, process_bytes=20 * MIB, thread_bytes=share)
    found = capacity_of(mpm, measured)
    assert (found.process, found.thread, found.estimated) == (process, thread, False)


def test_what_only_another_mpm_could_show_is_estimated_and_says_so() -> None:
    after_prefork = capacity_of(MPM.EVENT, small_server())
    assert after_prefork.process == Share(30 * MIB, Source.ELSEWHERE)
    assert after_prefork.thread == Share(MIB // 2, Source.ESTIMATED)
    unseen = capacity_of(MPM.PREFORK, Measured(4096 * MIB))
    assert unseen.process.source is Source.ESTIMATED
    assert unseen.estimated


def test_an_mpm_is_judged_by_what_was_measured_of_itself() -> None:
    own = {"event": Own(14 * MIB, MIB), "prefork": Own(99 * MIB)}
    measured = replace(small_server(), own=own)
    event = capacity_of(MPM.EVENT, measured)
    assert event.process == Share(14 * MIB, Source.MEASURED)
    assert event.thread == Share(MIB, Source.MEASURED)
    assert (event.peak_low, event.peak_high) == (event.memory_at_peak, event.memory_at_peak)
    assert event.measured
    prefork = capacity_of(MPM.PREFORK, measured)
    assert prefork.process == Share(30 * MIB, Source.MEASURED), "it runs now, and is measured now"
    assert not capacity_of(MPM.WORKER, measured).measured


def test_an_estimate_is_a_range_and_may_leave_open_whether_it_fits() -> None:
    measured = Measured(4096 * MIB, MPM.EVENT, 20 * MIB, MIB, 1024 * MIB, directives=CPANEL)
    prefork = capacity_of(MPM.PREFORK, measured)
    assert (prefork.peak_low, prefork.memory_at_peak, prefork.peak_high) == (
        *(150 * 21 * MIB // 2, 150 * 21 * MIB),
        150 * 42 * MIB,
    )
    assert prefork.verdict is Verdict.MAY_NOT_FIT
    assert [item.code for item in prefork.warnings] == ["may_not_fit"]
    assert capacity_of(MPM.EVENT, measured).verdict is Verdict.FITS
