"""WHM's own package manager is asked beside dnf, and where it differs a plan says so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from easyapache.agent.packages import second_opinion
from easyapache.agent.packages.second_opinion import resolve_by_whm
from easyapache.agent.runner import Runner
from easyapache.agent.server import HostError
from easyapache.ea4.mpm import MPM, Choice
from easyapache.ea4.opinion import Opinion, disagreement, wanted_set
from easyapache.ea4.plan import make_plan, plan_from_transaction
from easyapache.ea4.profile import Profile
from easyapache.ea4.schema import BadMessage
from mpm.changes.services.planning import plan_for, request_preview
from mpm.servers.models import Server
from mpm.tasks import previewed
from tests.host.managed import Managed
from tests.pure.servers import CATALOGUE, prefork
from tests.web.conftest import ADMIN, admin

__all__ = ["admin"]

EVENT = Choice(MPM.EVENT)
OK = {"command": second_opinion.FUNCTION, "reason": "OK", "result": 1, "version": 1}


def whmapi1(root: Path, text: str) -> Path:
    """A stand-in that notes what it was called with and answers ``text``."""
    program = root / second_opinion.PROGRAM
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{root}/asked"\n{text}\n')
    program.chmod(0o755)
    return program


def answering(root: Path, answer: Any) -> Path:
    (root / "answer").write_text(json.dumps(answer))
    return whmapi1(root, f'exec cat "{root}/answer"')


def opinion_of(root: Path, wanted: tuple[str, ...] = ("ea-apache24",)) -> Opinion | None:
    return resolve_by_whm(root, Runner({}), wanted)


# -- asking ------------------------------------------------------------------------------------


def test_where_there_is_no_whm_nobody_is_asked(tmp_path: Path) -> None:
    assert opinion_of(tmp_path) is None


def test_whm_is_asked_for_the_whole_set_and_its_answer_is_read(tmp_path: Path) -> None:
    data = {
        "install": ["ea-apache24-mod_mpm_event"],
        "uninstall": ["ea-apache24-mod_mpm_prefork"],
        "upgrade": ["ea-openssl11"],
        "unaffected": ["ea-apache24"],
    }
    answering(tmp_path, {"data": data, "metadata": OK})
    assert opinion_of(tmp_path, ("ea-apache24", "ea-apache24-mod_mpm_event")) == Opinion(
        ("ea-apache24-mod_mpm_event",), ("ea-apache24-mod_mpm_prefork",)
    )
    assert (tmp_path / "asked").read_text().split() == [
        *("--output=json", "package_manager_resolve_actions", "ns=ea"),
        *("package-0=ea-apache24", "package-1=ea-apache24-mod_mpm_event"),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"metadata": {**OK, "result": 0, "reason": "Unknown app"}},
        {"metadata": OK},
        {"data": {"install": ["rm -rf /"]}, "metadata": OK},
        {"data": {"install": ["--option"]}, "metadata": OK},
        {"data": {"install": "ea-apache24"}, "metadata": OK},
        {"data": {"uninstall": [1]}, "metadata": OK},
        {"data": {"install": [f"ea-p{n}" for n in range(2001)]}, "metadata": OK},
        {"data": [], "metadata": OK},
        {"cpanelresult": {"error": "Access denied"}},
        [],
        None,
        "no",
    ],
)
def test_an_answer_that_is_none_is_no_opinion(tmp_path: Path, answer: Any) -> None:
    answering(tmp_path, answer)
    with pytest.raises(HostError) as refused:
        opinion_of(tmp_path)
    assert refused.value.code == "no_answer"


@pytest.mark.parametrize("text", ["exit 3", "echo not json", "printf '[%.0s' $(seq 100000)"])
def test_a_program_that_fails_or_babbles_is_no_opinion(tmp_path: Path, text: str) -> None:
    whmapi1(tmp_path, text)
    with pytest.raises(HostError):
        opinion_of(tmp_path)


def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    whmapi1(tmp_path, "exec yes")
    with pytest.raises(HostError, match="more than 1048576 bytes"):
        opinion_of(tmp_path)


def test_an_answer_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_opinion, "LIMIT", 0.3)
    whmapi1(tmp_path, 'sleep 600 & echo $! >>"$0.pids"; wait')
    with pytest.raises(HostError, match="did not answer"):
        opinion_of(tmp_path)
    pid = int(Path(f"{tmp_path / second_opinion.PROGRAM}.pids").read_text())
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists():
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        assert time.monotonic() < end, "what it has started has ended as well"
        time.sleep(0.02)


@pytest.mark.lab
def test_a_real_server_asks_for_what_dnf_leads_to(managed: Managed) -> None:
    profile = managed.server.inspect()
    _, moves = managed.plan("event")
    answering(managed.config.root, {"data": {}, "metadata": OK})
    assert managed.server.second_opinion(profile, moves) == Opinion()
    asked = (managed.config.root / "asked").read_text()
    assert "=ea-apache24-mod_mpm_event\n" in asked
    assert "mod_mpm_prefork" not in asked


# -- a plan ------------------------------------------------------------------------------------


def planned(opinion: Opinion | None) -> list[Any]:
    profile = prefork()
    moves = make_plan(profile, EVENT, CATALOGUE).transaction
    plan = plan_from_transaction(profile, EVENT, moves, CATALOGUE, opinion)
    return [one for one in plan.findings if one.code == "whm_resolves_differently"]


def same_as_dnf(profile: Profile) -> Opinion:
    plan = make_plan(profile, EVENT, CATALOGUE)
    updated = {item.name for item in plan.install} & {item.name for item in plan.remove}
    return Opinion(
        tuple(item.name for item in plan.install if item.name not in updated),
        tuple(item.name for item in plan.remove if item.name not in updated),
    )


def test_where_both_agree_or_nobody_was_asked_a_plan_says_nothing() -> None:
    assert planned(None) == []
    assert planned(same_as_dnf(prefork())) == []


def test_a_plan_names_what_only_one_of_both_would_do() -> None:
    both = same_as_dnf(prefork())
    (found,) = planned(Opinion((*both.install, "ea-apache24-mod_http2"), both.remove[1:]))
    assert "Only WHM installs mod_http2." in found.message
    assert f"Only dnf removes {both.remove[0].removeprefix('ea-apache24-')}." in found.message
    assert found.severity == "note"


def test_the_wanted_set_is_what_is_there_after_the_transaction() -> None:
    profile = prefork()
    moves = make_plan(profile, EVENT, CATALOGUE).transaction
    wanted = wanted_set(profile.packages, moves)
    assert "ea-apache24-mod_mpm_event" in wanted
    assert "ea-apache24-mod_mpm_prefork" not in wanted
    assert disagreement(Opinion(), moves) is not None


@pytest.mark.parametrize("value", [{"install": [7]}, {"install": ["x y"]}, {"remove": "ea-a"}, []])
def test_an_opinion_from_an_agent_is_checked_as_every_message(value: Any) -> None:
    with pytest.raises(BadMessage):
        Opinion.from_json(value)


def test_the_review_shows_where_whm_differs(
    admin: Any, known_server: Callable[..., Server]
) -> None:
    server = known_server("web01")
    preview = request_preview(server, EVENT, ADMIN)
    plan = plan_for(server, EVENT)
    assert server.profile is not None
    previewed(
        server="web01",
        preview=preview.uuid,
        transaction=plan.transaction.as_json(),
        profile=server.profile.as_json(),
        opinion={"install": ["ea-apache24-mod_http2"], "remove": []},
    )
    page = admin.get(f"/software/easyapache4/mpm/review/{preview.uuid}/").content.decode()
    assert "WHM would change other packages" in page
    assert "Only WHM installs mod_http2." in page
