from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache.ea4.mpm import ITK, MPM, SUEXEC, BadChoice, Choice, installed, short
from tests.pure.servers import choices


def test_nothing_chosen_means_prefork() -> None:
    assert Choice.parse(None).mpm is MPM.PREFORK
    assert Choice.parse("").mpm is MPM.PREFORK
    assert Choice.parse(" Event ").mpm is MPM.EVENT


def test_itk_is_no_mpm_and_the_answer_says_so() -> None:
    with pytest.raises(BadChoice, match="enable MPM ITK"):
        Choice.parse("itk")
    with pytest.raises(BadChoice, match="event, worker, prefork"):
        Choice.parse("leader")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-y",
        "--nogpgcheck",
        "httpd",
        "ea-apache24;reboot",
        "ea-$(id)",
        "ea-a b",
        "ea-../x",
        "ea-apache24\n",
        "EA-apache24",
        "ea-" + "a" * 200,
        "ea-é",
    ],
)
def test_a_name_that_is_no_package_of_ours_is_refused(name: str) -> None:
    with pytest.raises(BadChoice, match="not the name of an EasyApache 4 package"):
        Choice.parse("event", add=[name])
    with pytest.raises(BadChoice):
        Choice.parse("event", keep=[name])


@given(st.text(max_size=40))
def test_no_text_gets_past_as_an_option_or_a_shell_word(text: str) -> None:
    try:
        Choice.parse("event", add=[text])
    except BadChoice:
        return
    assert text.startswith("ea-")
    assert not set(text) & set(" \t\n;|&$`'\"()<>/\\*?[]{}~!#=%")


@given(choices)
def test_a_choice_survives_json(choice: Choice) -> None:
    assert Choice.from_json(json.loads(json.dumps(choice.as_json()))) == choice


def test_a_fix_alters_the_choice() -> None:
    choice = Choice(MPM.EVENT, itk=True, keep=frozenset({SUEXEC}))
    assert choice.with_fix(mpm="prefork") == Choice(MPM.PREFORK, True, keep=frozenset({SUEXEC}))
    assert choice.with_fix(itk=False, unkeep=[SUEXEC], add=[SUEXEC]) == Choice(
        MPM.EVENT, add=frozenset({SUEXEC})
    )


def test_itk_that_is_left_off_is_not_added_as_a_package_either() -> None:
    choice = Choice(MPM.PREFORK, add=frozenset({ITK, SUEXEC}))
    assert choice.with_fix(itk=False) == Choice(MPM.PREFORK, add=frozenset({SUEXEC}))
    assert choice.with_fix(add=[SUEXEC]) == choice


def test_the_packages_say_which_mpm_and_whether_itk() -> None:
    seen = installed([MPM.PREFORK.package, ITK, "ea-apache24"])
    assert (seen.mpm, seen.itk) == ("prefork", True)
    assert installed([MPM.PREFORK.package, MPM.EVENT.package]).mpms == ("event", "prefork")
    assert installed([]).mpm is None


def test_names_are_short_where_people_read_them() -> None:
    assert [short(n) for n in (SUEXEC, "ea-php74-php", "openssl")] == [
        "mod_suexec",
        "php74-php",
        "openssl",
    ]


@pytest.mark.parametrize("mpm", list(MPM))
def test_every_mpm_says_what_it_is(mpm: MPM) -> None:
    assert mpm.summary
    assert mpm.kind == ("threaded" if mpm.threaded else "forked")
    assert mpm.manual.endswith(f"/{mpm.value}.html")
