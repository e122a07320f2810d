"""libsolv behind the instant plan: where it is needed, and that it is asked by several at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import solv
from hypothesis import given
from hypothesis import strategies as st

from easyapache.ea4 import solver
from easyapache.ea4.mpm import HTTP2, ITK, MPM, RUID2
from easyapache.ea4.relations import Unsolvable
from easyapache.ea4.versions import compare_evr, parse_evr
from tests.pure.servers import CATALOGUE, packages_of

AN_AGENT = """
import sys
sys.modules["solv"] = None  # importing it fails
import easyapache.agent.real, easyapache.agent.worker
from easyapache.ea4.plan import make_plan
from easyapache.ea4.relations import load_catalogue
load_catalogue().for_server(())
"""


def test_an_agent_runs_where_the_solver_is_not_installed() -> None:
    subprocess.run([sys.executable, "-c", AN_AGENT], check=True, timeout=60)


def test_threads_that_ask_about_the_same_server_at_once_get_the_same_answer() -> None:
    packages = packages_of(MPM.PREFORK.package, RUID2)
    goals = [[MPM.EVENT.package], [MPM.WORKER.package, HTTP2], [MPM.PREFORK.package]] * 10

    def resolve(goal: list[str]) -> object:
        return CATALOGUE.for_server(packages).resolve(goal)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(resolve, goals)) == [resolve(goal) for goal in goals]


def test_equal_packages_are_put_into_libsolv_s_form_once_and_only_so_many_are_kept() -> None:
    solver._pool.cache_clear()
    packages = packages_of(MPM.PREFORK.package)
    solver._pool.cache_clear()
    for _ in range(3):
        CATALOGUE.for_server(list(packages)).resolve([MPM.EVENT.package])
    assert solver._pool.cache_info().currsize == 1
    for count in range(solver._MOST_POOLS + 5):
        CATALOGUE.for_server(packages[: count % len(packages)]).resolve([])
    assert solver._pool.cache_info().currsize <= solver._MOST_POOLS


def test_what_is_impossible_is_said_once_with_what_was_asked() -> None:
    try:
        CATALOGUE.for_server(()).resolve([MPM.EVENT.package, ITK], [RUID2])
    except Unsolvable as error:
        reasons = error.reasons
    else:
        raise AssertionError("event and ITK went together")
    assert reasons == (
        f"{MPM.EVENT.package} conflicts with {ITK}.",
        f"{MPM.EVENT.package} was requested.",
        f"{ITK} was requested.",
    )


parts = st.text(alphabet="0123456789abXY.~^_+", min_size=1, max_size=10)
versions = st.builds(
    lambda epoch, version, release: f"{epoch}{version}-{release}",
    st.sampled_from(["", "0:", "1:", "12:"]),
    parts,
    parts,
)


@given(versions, versions)
def test_our_order_of_versions_is_that_of_libsolv(one: str, other: str) -> None:
    pool = solv.Pool()
    pool.setdisttype(solv.Pool.DISTTYPE_RPM)
    repository = pool.add_repo("any")
    left, right = repository.add_solvable(), repository.add_solvable()
    left.evr, right.evr = one, other
    assert compare_evr(parse_evr(one), parse_evr(other)) == left.evrcmp(right)
