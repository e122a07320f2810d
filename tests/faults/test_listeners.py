"""What httpd listened at before a change it listens at afterwards, however its files say so; and
what is written there and does not hold is no reason to take a change back."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from easyapache.agent.httpd.processes import PROC
from lab import apache
from lab.server import Lab
from tests.faults.field import AS_PLANNED, BEFORE, Field
from tests.faults.report import RecordEnding
from tests.faults.test_matrix import drop_in, run, sentence
from tests.labs import MakeLab

pytestmark = pytest.mark.lab


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        ends = [stack.enter_context(socket.socket()) for _ in range(count)]
        for end in ends:
            end.bind(("127.0.0.1", 0))
        return [int(end.getsockname()[1]) for end in ends]


def restarted(lab: Lab, *words: str, **environment: str) -> Lab:
    """The same server, started by hand with these words and this environment."""
    lab.down()
    subprocess.run(
        [*apache.program(lab.root), *words, "-k", "start"],
        check=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    while not apache.read_status(lab.status_url):
        pass
    return lab


def held(field: Field) -> set[int]:
    return {port for _, port in field.server.httpd.held()}


def command(field: Field) -> str:
    parent = field.server.httpd.parent()
    assert parent is not None
    return (PROC / str(parent.pid) / "cmdline").read_text().replace("\0", " ")


def test_a_listener_in_a_section_that_does_not_hold_is_not_expected(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab())
    never, flag, name, octal, mapped = free_ports(5)
    drop_in(
        field.lab,
        f"<IfModule nosuch_module>\nListen 127.0.0.1:{never}\n</IfModule>\n"
        f"<IfDefine LEGACY>\nListen 127.0.0.1:{flag}\n</IfDefine>\n"
        f"Listen localhost:{name}\nListen 127.0.0.01:{octal}\nListen [::ffff:127.0.0.1]:{mapped}\n",
    )
    field.lab.up()
    assert {name, octal, mapped} <= held(field)
    ending = record_ending(run(field, "listeners as people write them"))
    assert (ending.end, ending.outcome) == (AS_PLANNED, "succeeded"), (ending, sentence(field))
    assert {name, octal, mapped} <= held(field)
    assert not {never, flag} & held(field)


def test_a_listener_that_the_new_mpm_takes_away_is_missed(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab())
    (port,) = free_ports(1)
    drop_in(field.lab, f"<IfModule !mpm_event_module>\nListen 127.0.0.1:{port}\n</IfModule>\n")
    field.lab.up()
    ending = record_ending(run(field, "a listener is gone afterwards"))
    assert (ending.end, ending.outcome) == (BEFORE, "restored"), ending
    assert str(port) in sentence(field)
    assert port in held(field)


def test_a_listener_whose_line_was_taken_away_before_is_not_expected(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """The restart is the first since; it is not the change that ends this one."""
    field = Field(make_lab())
    (port,) = free_ports(1)
    drop_in(field.lab, f"Listen 127.0.0.1:{port}\n")
    field.lab.up()
    drop_in(field.lab, "# gone\n")
    assert port in held(field)
    ending = record_ending(run(field, "a Listen line was taken away"))
    assert (ending.end, ending.outcome) == (AS_PLANNED, "succeeded"), (ending, sentence(field))


def test_the_options_and_the_environment_of_the_running_httpd_are_kept(
    make_lab: MakeLab, record_ending: RecordEnding, tmp_path: Path
) -> None:
    field = Field(make_lab())
    flag, option, variable = free_ports(3)
    (tmp_path / "extra.conf").write_text(f"Listen 127.0.0.1:{variable}\n")
    drop_in(
        field.lab,
        f"<IfDefine SSL>\nListen 127.0.0.1:{flag}\n</IfDefine>\nInclude ${{APP_CONF}}/extra.conf\n",
    )
    restarted(field.lab, "-D", "SSL", "-c", f"Listen 127.0.0.1:{option}", APP_CONF=str(tmp_path))
    assert {flag, option, variable} <= held(field)
    ending = record_ending(run(field, "options and environment of httpd"))
    assert (ending.end, ending.outcome) == (AS_PLANNED, "succeeded"), (ending, sentence(field))
    assert {flag, option, variable} <= held(field)
    assert "-D SSL" in command(field)


def test_an_httpd_that_is_started_after_a_crash_has_its_options(make_lab: MakeLab) -> None:
    field = Field(make_lab())
    (flag,) = free_ports(1)
    drop_in(field.lab, f"<IfDefine SSL>\nListen 127.0.0.1:{flag}\n</IfDefine>\n")
    restarted(field.lab, "-DSSL")
    assert field.server.inspect().facts["listeners"]
    field.lab.down()
    fresh = Field(field.lab).server
    fresh.restart("auto", lambda _: None)
    assert flag in held(field)
