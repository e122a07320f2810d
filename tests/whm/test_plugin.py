"""``ea4-mpm whm``: what it puts into WHM and takes out again, and what its program answers."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import time
from pathlib import Path

import pytest

from easyapache import tickets
from easyapache.installed import check
from easyapache.installed import whm as installed
from easyapache.installed.layout import Refused
from tests.whm.stand_in import StandIn

PANEL = "https://panel.example.test:8443"


def nobody_reads(_text: str) -> None:
    """What is said on the way."""


def registered(whm: StandIn, panel: str | None = PANEL) -> list[str]:
    said: list[str] = []
    installed.install(whm.layout, panel, said.append)
    return said


def ticket_in(page: str) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', page)
    assert found, page
    return found[1]


# -- putting it in and taking it out -----------------------------------------------------------


def test_installing_registers_the_entry_with_whm(whm: StandIn) -> None:
    said = registered(whm)
    assert (whm.root / "var/cpanel/apps/ea4mpm.conf").exists()
    assert whm.restarts == 1
    assert stat.S_IMODE(whm.program.stat().st_mode) == 0o700
    assert said[-1] == f"WHM » Plugins » EasyApache 4 MPM opens {PANEL}"
    key = installed.public_key(whm.layout)
    assert f"  ea4-mpm mpm server whm web03 --public-key={key}" in said
    assert installed.faults(whm.layout) == []


def test_installing_twice_changes_nothing_and_restarts_nothing(whm: StandIn) -> None:
    registered(whm)
    key = whm.layout.agent_key.read_text()
    before = {path: path.stat().st_mtime_ns for path in map(whm.root.joinpath, whm.files())}
    registered(whm, None)
    assert whm.restarts == 1
    assert whm.layout.agent_key.read_text() == key
    after = {path: path.stat().st_mtime_ns for path in map(whm.root.joinpath, whm.files())}
    assert after == before


def test_installing_again_repairs_what_is_missing_or_altered(whm: StandIn) -> None:
    registered(whm)
    whm.program.write_text("#!/bin/sh\n")
    (whm.root / "var/cpanel/apps/ea4mpm.conf").unlink()
    assert len(installed.faults(whm.layout)) == 2
    registered(whm, None)
    assert installed.faults(whm.layout) == []
    assert whm.restarts == 2


def test_removing_leaves_no_trace(whm: StandIn) -> None:
    before = whm.files()
    registered(whm)
    installed.remove(whm.layout, nobody_reads)
    assert whm.files() - before == {"restarts", "etc/ea4-mpm/agent.key"}
    installed.remove(whm.layout, nobody_reads)
    assert whm.restarts == 2


def test_what_somebody_else_put_into_whm_stays(whm: StandIn) -> None:
    other = whm.root / "usr/local/cpanel/Cpanel/Config/ConfigObj/Driver/Other.pm"
    other.write_text("1;\n")
    registered(whm)
    installed.remove(whm.layout, nobody_reads)
    assert other.read_text() == "1;\n"


def test_a_machine_without_whm_is_refused_and_left_alone(whm: StandIn) -> None:
    (whm.root / "usr/local/cpanel/bin/register_appconfig").unlink()
    before = whm.files()
    with pytest.raises(Refused, match="WHM is not installed on this machine"):
        registered(whm)
    assert whm.files() == before


def test_a_machine_without_an_agent_is_refused(whm: StandIn) -> None:
    whm.layout.agent_toml.unlink()
    with pytest.raises(Refused, match="Run ea4-mpm setup first"):
        registered(whm)


def test_a_panel_elsewhere_has_to_be_named(whm: StandIn) -> None:
    with pytest.raises(Refused, match="--panel"):
        registered(whm, None)


@pytest.mark.parametrize(
    "address", ["panel.example.test", "http://panel.example.test", "https://a/b", 'https://a"b']
)
def test_what_cannot_be_the_address_of_a_panel_is_refused(whm: StandIn, address: str) -> None:
    before = whm.files()
    with pytest.raises(Refused, match="cannot be the address of a panel"):
        registered(whm, address)
    assert whm.files() == before


def test_a_registration_that_fails_is_told_with_whms_words(whm: StandIn) -> None:
    program = whm.root / "usr/local/cpanel/bin/register_appconfig"
    program.write_text("#!/bin/sh\necho 'acls is required' >&2\nexit 1\n")
    with pytest.raises(Refused, match="acls is required"):
        registered(whm)


def test_the_private_key_is_roots_alone_and_is_never_replaced(whm: StandIn) -> None:
    installed.ensure_key(whm.layout)
    key = whm.layout.agent_key.read_text()
    assert stat.S_IMODE(whm.layout.agent_key.stat().st_mode) == 0o600
    whm.layout.agent_key.chmod(0o640)
    with pytest.raises(Refused, match="may be known to others"):
        installed.public_key(whm.layout)
    installed.ensure_key(whm.layout)
    assert whm.layout.agent_key.read_text() == key
    assert stat.S_IMODE(whm.layout.agent_key.stat().st_mode) == 0o600


def test_a_key_that_is_a_link_is_not_followed(whm: StandIn) -> None:
    elsewhere = whm.root / "elsewhere"
    elsewhere.write_text(tickets.new_key())
    elsewhere.chmod(0o600)
    whm.layout.agent_key.symlink_to(elsewhere)
    with pytest.raises(Refused, match="cannot be read"):
        installed.public_key(whm.layout)


def test_the_check_says_what_is_wrong_in_whm(whm: StandIn) -> None:
    registered(whm)
    whm.program.unlink()
    (found,) = check._whm(whm.layout)
    assert not found.ok
    assert found.detail == f"{whm.program} differs"


def test_the_driver_offers_the_privilege_that_the_entry_requires(whm: StandIn) -> None:
    registered(whm)
    base = whm.root / "usr/local/cpanel/Cpanel/Config/ConfigObj/Interface/Config"
    (base / "Version").mkdir(parents=True)
    named = "Cpanel::Config::ConfigObj::Interface::Config"
    (base / "v1.pm").write_text(f"package {named}::v1; sub base {{ return bless $_[1], $_[0] }} 1;")
    (base / "Version/v1.pm").write_text(f"package {named}::Version::v1; 1;")
    driver = "Cpanel::Config::ConfigObj::Driver::EA4MPM"
    asked = (
        f"use strict; use {driver}; use {driver}::META;"
        f"my $one = {driver}->init(undef);"
        f"print $one->acl_desc()->[0]{{acl}}, ' ', $one->{{thirdparty_ns}}, ' ',"
        f"{driver}::META::content()->{{name}}{{driver}};"
    )
    done = subprocess.run(
        ["perl", f"-I{whm.root}/usr/local/cpanel", "-we", asked],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "software-EA4MPM EA4MPM EA4MPM"
    assert done.stderr == ""
    entry = (whm.root / "var/cpanel/apps/ea4mpm.conf").read_text()
    assert "acls=software-EA4MPM\n" in entry


# -- the program that WHM runs -----------------------------------------------------------------


def test_root_gets_a_ticket_in_a_form_for_the_panel(whm: StandIn) -> None:
    registered(whm)
    done = whm.open("root")
    head, _, page = done.stdout.partition("\n\n")
    assert done.stderr == ""
    assert "Status: 200 OK" in head
    assert f'<form method="post" action="{PANEL}/whm/"' in page
    claims = tickets.verified(ticket_in(page), installed.public_key(whm.layout))
    assert (claims.server, claims.user, claims.root, claims.audience) == (
        *("web03", "root", True),
        PANEL,
    )
    assert tickets.fault(claims, audiences=frozenset({PANEL}), now=time.time()) == ""


def test_the_ticket_leaks_neither_by_an_address_nor_by_a_cache(whm: StandIn) -> None:
    registered(whm)
    head, _, page = whm.open("root").stdout.partition("\n\n")
    assert "Referrer-Policy: no-referrer" in head
    assert "Cache-Control: no-store" in head
    assert page.count(ticket_in(page)) == 1
    policy = next(line for line in head.splitlines() if "Content-Security-Policy" in line)
    assert "default-src 'none'" in policy
    assert f"form-action {PANEL}" in policy
    nonce = re.search(r"'nonce-([0-9a-f]{32})'", policy)
    assert nonce
    assert f'<script nonce="{nonce[1]}">' in page


def test_a_reseller_with_the_privilege_gets_a_ticket_that_says_so(whm: StandIn) -> None:
    registered(whm)
    page = whm.open("support").stdout
    claims = tickets.verified(ticket_in(page), installed.public_key(whm.layout))
    assert (claims.user, claims.root) == ("support", False)


@pytest.mark.parametrize("user", ["shop", "nobody", "", None, "root\n", "root;id", "-root"])
def test_anybody_else_gets_none(whm: StandIn, user: str | None) -> None:
    registered(whm)
    done = whm.open(user)
    assert "Status: 403 Forbidden" in done.stdout
    assert "ea4whm1" not in done.stdout


def test_privileges_are_checked_before_anything_else_is_done(whm: StandIn) -> None:
    registered(whm)
    ran = whm.root / "ran"
    command = whm.root / "usr/sbin/ea4-mpm"
    command.write_text(f"#!/bin/sh\n: >{ran}\n")
    whm.open("shop")
    whm.open("shop", REQUEST_METHOD="POST")
    assert not ran.exists()
    whm.open("root")
    assert ran.exists()


def test_where_whm_cannot_say_who_may_what_nobody_may(whm: StandIn) -> None:
    registered(whm)
    (whm.root / "usr/local/cpanel/Whostmgr/ACLS.pm").write_text("die 'broken';")
    done = whm.open("root")
    assert "Status: 403 Forbidden" in done.stdout
    assert "privileges could not be read" in done.stderr


def test_a_user_whose_name_the_shell_would_run_is_not_even_asked_for(whm: StandIn) -> None:
    registered(whm)
    whm.resellers("$(id):all", "a b:all", "--user:all", "x" * 65 + ":all")
    for name in ("$(id)", "a b", "--user", "x" * 65):
        done = whm.open(name)
        assert "WHM did not say who is signed in." in done.stdout
        assert name not in done.stdout


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 3", "status 3"),
        ("echo https://evil.example.test/path; echo ea4whm1.a.b", "did not answer with a ticket"),
        ("yes", "too long"),
        ("exec no-such-program", "status 127"),
    ],
)
def test_a_command_that_makes_no_ticket_is_told(whm: StandIn, text: str, why: str) -> None:
    registered(whm)
    (whm.root / "usr/sbin/ea4-mpm").write_text(f"#!/bin/sh\n{text}\n")
    done = whm.open("root")
    assert "Status: 503 Service Unavailable" in done.stdout
    assert "ea4-mpm whm ticket --user root --privilege all" in done.stdout
    assert why in done.stderr


def test_the_session_token_of_whm_is_only_in_the_way_back(whm: StandIn) -> None:
    registered(whm)
    page = whm.open("root").stdout
    assert page.count("cpsess") == 1
    assert '<a href="/cpsess0123456789/">Back to WHM</a>' in page
    for forged in ('/cpsess1"><script>', "https://evil.example.test", "/cpsess1\n"):
        assert "cpsess" not in whm.open("root", cp_security_token=forged).stdout


def test_a_form_sent_to_the_program_is_refused(whm: StandIn) -> None:
    registered(whm)
    assert "Status: 405" in whm.open("root", REQUEST_METHOD="POST").stdout
    head = whm.open("root", REQUEST_METHOD="HEAD").stdout
    assert "Status: 200" in head
    assert "ea4whm1" not in head


def test_no_other_account_can_make_a_ticket_of_the_key(whm: StandIn) -> None:
    registered(whm)
    assert stat.S_IMODE(whm.layout.agent_key.stat().st_mode) == 0o600
    if os.geteuid() == 0:
        done = subprocess.run(
            ["setpriv", "--reuid", "65534", "--clear-groups", "cat", str(whm.layout.agent_key)],
            capture_output=True,
            check=False,
        )
        assert done.returncode != 0


def test_the_page_speaks_the_first_language_of_the_browser(whm: StandIn) -> None:
    registered(whm)
    german = {"HTTP_ACCEPT_LANGUAGE": "de-AT,de;q=0.9,en;q=0.8"}
    page = whm.open("root", **german).stdout
    assert '<html lang="de">' in page
    assert "Panel öffnen" in page
    assert "Zurück zu WHM" in page
    refused = (whm.open("shop", **german), whm.open("root", REQUEST_METHOD="POST", **german))
    assert "Sie dürfen diese Seite nicht öffnen." in refused[0].stdout
    assert "Diese Seite nimmt kein Formular an." in refused[1].stdout
    (whm.root / "usr/sbin/ea4-mpm").write_text("#!/bin/sh\nexit 1\n")
    failed = whm.open("root", **german)
    assert "konnte nicht erstellt werden" in failed.stdout
    assert [done.stderr for done in refused] == ["", ""], "no sentence is without its German"
    english = whm.open("shop", HTTP_ACCEPT_LANGUAGE="en-US,de;q=0.5").stdout
    assert "You don’t have permission" in english
    assert '<html lang="en">' in english


def test_the_program_runs_in_taint_mode() -> None:
    first = (installed.SOURCE / "index.cgi").read_text().splitlines()[0]
    assert first == "#!@PERL@ -T"
    assert Path("/usr/bin/perl").exists()
