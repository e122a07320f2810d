# ruff: noqa: ISC004 -- a long message is one message
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache.agent.httpd.error_log import lines_of_httpd
from easyapache.agent.httpd.processes import Identity
from easyapache.agent.repair import repairs
from easyapache.ea4.conditions import CATALOG
from easyapache.ea4.conditions.condition import Severity
from easyapache.ea4.conditions.diagnosis import diagnose, error_log_conditions
from easyapache.ea4.conditions.repairs import REPAIR_LABELS
from easyapache.ea4.profile import Observation, Package, Profile

SAID: Mapping[str, tuple[str, ...]] = {
    "itk_needs_prefork": (
        "[mpm_itk:crit] [pid 7:tid 7] mpm-itk cannot use threaded MPMs; please use prefork.\n"
        "AH00016: Configuration Failed",
    ),
    "php_dso_needs_prefork": (
        "[php:crit] Apache is running a threaded MPM, but your PHP Module is not compiled to be "
        "threadsafe.  You need to recompile PHP.\nAH00013: Pre-configuration failed",
        "package ea-php74-php-7.4.33-15.x86_64 requires ea-apache24-mpm = forked, but none of the "
        "providers can be installed",
    ),
    "several_mpms": ("AH00534: httpd: Configuration error: More than one MPM loaded.",),
    "no_mpm": ("AH00534: httpd: Configuration error: No MPM loaded.",),
    "mpm_changed_in_reload": (
        "AH00534: httpd: Configuration error: The MPM cannot be changed during restart.",
    ),
    "module_file_missing": (
        "httpd: Syntax error on line 5 of /etc/apache2/conf/httpd.conf: Syntax error on line 2 of "
        "000_mod_mpm_prefork.conf: Cannot load modules/mod_mpm_prefork.so into server: "
        "/etc/apache2/modules/mod_mpm_prefork.so: cannot open shared object file",
    ),
    "prefork_only_directives": (
        "AH00526: Syntax error on line 3 of /etc/apache2/conf.d/tuning.conf:\n"
        "Invalid command 'MinSpareServers', perhaps misspelled or defined by a module not "
        "included in the server configuration",
    ),
    "http2_needs_threads": (
        "AH10034: The mpm module (prefork.c) is not supported by mod_http2.",
        "package ea-apache24-mod_http2-2.4.67-2.x86_64 conflicts with ea-apache24-mod_mpm_prefork",
    ),
    "itk_uid_range": (
        "(itkmpm: pid=7 uid=0, gid=0) itk_post_perdir_config(): setuid(1001): Operation not "
        "permitted",
        "This is most likely due to the current LimitGIDRange setting.",
    ),
    "itk_too_old": ("mpm-itk: child pid 7 exit signal Segmentation fault (11)",),
    "no_semaphores_left": (
        "[emerg] (28)No space left on device: AH00023: Couldn't create the rewrite-map mutex",
    ),
    "address_in_use": (
        "(98)Address already in use: AH00072: make_sock: could not bind to address [::]:80",
    ),
    "scoreboard_full": (
        "AH03490: scoreboard is full, not at MaxRequestWorkers.Increase ServerLimit.",
        "AH00288: scoreboard is full, not at MaxRequestWorkers",
    ),
    "workers_exhausted": tuple(
        f"AH{number}: server reached MaxRequestWorkers setting, consider raising the "
        "MaxRequestWorkers setting"
        for number in ("00161", "00286", "00484")
    ),
    "limits_lowered": (
        "AH00180: WARNING: MaxRequestWorkers of 300 exceeds ServerLimit value of 256 servers",
        "AH00319: MaxRequestWorkers of 400 would require 16 servers and exceed ServerLimit of 8",
        "AH00513: WARNING: MaxRequestWorkers of 130 is not an integer multiple of "
        "ThreadsPerChild of 25, decreasing to nearest multiple 125",
        "AH00507: WARNING: ThreadsPerChild of 100 exceeds ThreadLimit of 64 threads",
    ),
    "cgid_socket": (
        "(2)No such file or directory: AH01243: Couldn't bind unix domain socket /run/x/cgid_sock",
        "AH01257: unable to connect to cgi daemon after multiple tries: /home/a/x.cgi",
    ),
    "configuration_broken": (
        "AH00526: Syntax error on line 7 of /etc/apache2/conf.d/x.conf:\n"
        "Invalid command 'NoSuchDirective'",
    ),
    "module_setup_failed": (
        "[ssl:emerg] AH02565: Certificate and private key www:443:0 do not match\n"
        "AH00016: Configuration Failed",
    ),
    "run_folder_missing": (
        "AH00526: Syntax error on line 9 of /etc/apache2/conf/httpd.conf:\n"
        "Invalid Mutex directory in argument file:/run/apache2",
        "(2)No such file or directory: AH00023: Couldn't create the mpm-accept mutex "
        "(file /run/apache2/accept)",
    ),
    "semaphores_removed": (
        "(43)Identifier removed: AH00144: couldn't grab the accept mutex",
        "AH00050: Child 598 returned a Fatal error... Apache is exiting!",
    ),
    "out_of_tasks": (
        "AH00480: ap_thread_create: unable to create worker thread",
        "(11)Resource temporarily unavailable: ap_thread_create: unable to create listener thread",
        "(11)Resource temporarily unavailable: AH00159: fork: Unable to fork new process",
    ),
    "htaccess_directives": (
        "/home/user1/public_html/.htaccess: Invalid command 'php_value', perhaps misspelled or "
        "defined by a module not included in the server configuration",
    ),
    "htaccess_unreadable": (
        "(13)Permission denied: AH00529: /home/user1/public_html/.htaccess pcfg_openfile: unable "
        "to check htaccess file, ensure it is readable",
    ),
    "threaded_only_directives": (
        "Invalid command 'ThreadsPerChild', perhaps misspelled",
        "Invalid command 'AsyncRequestWorkerFactor', perhaps misspelled",
    ),
    "directive_of_missing_module": (
        "Invalid command 'suPHP_Engine', perhaps misspelled",
        "Invalid command 'H2Push', perhaps misspelled",
        "Invalid command 'php_admin_value', perhaps misspelled",
        "Invalid command 'lsapi_backend_children', perhaps misspelled",
        "Invalid command 'CacheRoot', perhaps misspelled",
        "BalancerMember unknown Worker parameter",
    ),
    "byte_order_mark": (
        r"Invalid command '\xef\xbb\xbf#', perhaps misspelled or defined by a module not included",
        "Invalid command '\ufeffTimeout', perhaps misspelled",
        r"Invalid command '\xff\xfeS', perhaps misspelled or defined by a module not included",
        r"Invalid command '\xfe\xff', perhaps misspelled or defined by a module not included",
    ),
    "include_missing": (
        "Could not open configuration file /etc/nginx/x.include: No such file or directory",
        "Failed to generate a syntactically correct Apache configuration.",
    ),
    "module_mismatch": (
        "/etc/apache2/modules/mod_lsapi.so: undefined symbol: lscapi_init",
        "API module structure 'x_module' in file /x.so is garbled - expected signature 41503234",
        "httpd: error while loading shared libraries: libapr-1.so.0: cannot open",
    ),
    "itk_no_rights": (
        "itk_post_perdir_config(): initgroups(user1, 33): Operation not permitted",
        "Couldn't set uid/gid/priority, closing connection.",
    ),
    "restart_deferred": ("Restarts are currently deferred.  Waiting and then trying again.",),
    "modular_filtering": (
        "All matches were filtered out by modular filtering for argument: ea-apache24",
    ),
    "mpm_conflict": (
        "Problem: package ea-apache24-mod_mpm_event-2.4.67-2.el9.x86_64 conflicts with "
        "ea-apache24-mod_mpm_prefork provided by ea-apache24-mod_mpm_prefork-2.4.67-2.el9.x86_64",
        "Error: ea-apache24-mod_mpm_event conflicts with ea-apache24-mod_mpm_prefork-2.4.46-4.el7",
        "package ea-apache24-mod_mpm_worker-2.4.67-2.el9.x86_64 from EA4 conflicts with "
        "ea-apache24-mpm = forked provided by ea-apache24-mod_mpm_prefork-2.4.67-2.x86_64",
        "--> Processing Conflict: ea-apache24-mod_mpm_event-2.4.46-4.el7.x86_64 conflicts "
        "ea-apache24-mod_mpm_prefork",
    ),
    "repository_incomplete": (
        "- nothing provides ea-apache24 = 0:2.4.68-1.el9 needed by "
        "ea-apache24-mod_mpm_event-2.4.68-1.el9.x86_64 from EA4",
    ),
    "key_too_old": (
        "warning: Signature not supported. Hash algorithm SHA1 not available.",
        "Certificate 51D6647E: policy violation: SHA1 is not considered secure",
    ),
    "package_manager_busy": (
        "RPMDB already locked by 4711",
        "Failed to obtain the transaction lock",
    ),
    "protected": (
        "The operation would result in removing the following protected packages: ea-php74-php",
    ),
    "cgi_module_mismatch": (
        "package ea-apache24-mod_cgi-2.4.67-2.x86_64 requires ea-apache24-mpm = forked, but none "
        "of the providers can be installed",
        "package ea-apache24-mod_mpm_event-2.4.67-2.x86_64 conflicts with ea-apache24-mod_cgi "
        "provided by ea-apache24-mod_cgi-2.4.67-2.x86_64",
    ),
    "ruid2_needs_prefork": (
        "package ea-apache24-mod_ruid2-0.9.8-21.x86_64 requires ea-apache24-mpm = forked, but "
        "none of the providers can be installed",
    ),
    "suexec_conflicts_with_itself": (
        "package ea-apache24-mod_suexec-2.4.65-4.x86_64 conflicts with "
        "ea-apache24-exec_code_asuser provided by ea-apache24-mod_suexec-2.4.65-4.x86_64",
    ),
    "mixed_versions": (
        "package ea-apache24-mod_headers-2.4.66-1.x86_64 requires ea-apache24 = 2.4.66-1, but "
        "none of the providers can be installed",
    ),
    "pagespeed_conflicts_with_ruid2": (
        "package ea-apache24-mod_pagespeed-1.13-5.x86_64 conflicts with ea-apache24-mod_ruid2",
    ),
    "qos_needs_worker": (
        "package ea-apache24-mod-qos-11.79-1.x86_64 requires ea-apache24-mod_mpm_worker, but none",
    ),
    "no_such_package": ("Error: Unable to find a match: ea-apache24-mod_nosuch",),
    "bad_checksum": ("[MIRROR] x.rpm: Downloading successful, but checksum doesn't match.",),
    "duplicate_packages": ("ea-apr-1.7.5-2.x86_64 is a duplicate with ea-apr-1.7.4-1.x86_64",),
    "version_locked": ("ea-apache24-0:2.4.66-1.* is excluded by versionlock",),
    "child_unresponsive": (
        "AH00045: child process 4711 still did not exit, sending a SIGTERM",
        "AH00046: child process 4711 still did not exit, sending a SIGKILL",
    ),
    "unsatisfiable": (
        " Problem 1: conflicting requests",
        "Error: \n Problem: package a requires b, but none of the providers can be installed",
    ),
    "repository_unreachable": ("Error: Failed to download metadata for repo 'EA4'",),
    "bad_signature": ("Package x.rpm is not signed",),
    "disk_full": (
        "At least 44KB more space needed: needs 44KB more space on the / filesystem",
        "[Errno 28] No space left on device: '/var/cache/dnf'",
    ),
    "immutable_files": (
        "error: unpacking of archive failed on file /etc/apache2/conf.modules.d/000_mod_mpm_x.conf:"
        " cpio: rename failed - Operation not permitted",
        "cannot open /var/lib/rpm/rpmdb.sqlite: Read-only file system",
    ),
    "scriptlet_failed": ("Error in POSTIN scriptlet in rpm package ea-apache24",),
    "rpm_database": ("error: sqlite failure: database disk image is malformed",),
    "files_missing": ("missing   c /etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf",),
    "unfinished_transaction": (
        "There are unfinished transactions remaining. You might consider running "
        "yum-complete-transaction",
    ),
    "pending_restart": ("Running MPM: expected event, got prefork",),
    "excluded": ("All matches were filtered out by exclude filtering for argument: ea-apache24",),
    "other_threaded_mpm": ("MPM package: expected event, got worker",),
    "spare_servers_throttle": (
        "AH00162: server seems busy, (you may need to increase StartServers, or "
        "Min/MaxSpareServers), spawning 8 children, there are 0 idle, and 20 total children",
    ),
    "event_untuned": (
        "AH10159: server is within MinSpareThreads of MaxRequestWorkers, consider raising the "
        "MaxRequestWorkers setting",
        "AH00486: server seems busy, (you may need to increase StartServers, ThreadsPerChild or "
        "Min/MaxSpareThreads), spawning 8 children",
    ),
    "httpd_down": ("httpd (no pid file) not running",),
    "transaction_failed": ("Error: Transaction failed", "error: Error unpacking rpm package x"),
}
"""What programs write when a failure happens, by its code. The texts are those of httpd 2.4.71,
dnf 4.14, rpm 4.18 and mod_mpm_itk 2.4.7-04."""

RECOGNIZED = [one for one in CATALOG if one.patterns or one.beside]
SEEN = [one for one in CATALOG if one.seen is not None]


@pytest.mark.parametrize("code", [condition.code for condition in RECOGNIZED])
def test_every_condition_that_programs_write_of_is_recognized_by_their_words(code: str) -> None:
    for output in SAID[code]:
        found = diagnose(f"something before\n{output}\nsomething after")
        assert found, f"nothing recognized in {output!r}"
        assert found[0].code == code
        assert found[0].seen in output


def test_there_are_words_and_servers_for_every_condition_and_for_no_others() -> None:
    assert set(SAID) == {condition.code for condition in RECOGNIZED}
    assert {condition.code for condition in SEEN} <= set(SHOWN)


def test_one_failure_is_not_taken_for_another() -> None:
    """Words that two failures share."""
    for code in ("no_semaphores_left", "ruid2_needs_prefork", "itk_needs_prefork", "cgid_socket"):
        for output in SAID[code]:
            assert [item.code for item in diagnose(output)] == [code]
    agreed = "Removing dependent packages:\n ea-apache24-mod_ruid2  x86_64  0.9.8-21  @EA4  58 k"
    assert diagnose(agreed) == []


@pytest.mark.parametrize(
    "said",
    [
        "PID file /run/apache2/httpd.pid not readable (yet?) after start.",
        "Can't open PID file /run/apache2/httpd.pid (yet?) after start: Operation not permitted",
        "AH00671: The Alias directive in a.conf at line 5 will probably never match",
        "AH01574: module php_module is already loaded, skipping",
        "AH00558: httpd: Could not reliably determine the server's fully qualified domain name",
        "AH00094: Command line: '/usr/sbin/httpd'",
        "AH00489: Apache/2.4.67 (cPanel) configured -- resuming normal operations",
    ],
)
def test_what_httpd_and_systemd_say_at_a_sound_start_is_no_failure(said: str) -> None:
    assert diagnose(said) == []


def test_every_known_failure_explains_itself() -> None:
    codes = [condition.code for condition in CATALOG]
    assert len(set(codes)) == len(codes)
    assert len(codes) >= 120
    for condition in CATALOG:
        assert re.fullmatch(r"[a-z][a-z0-9_]+", condition.code)
        assert condition.title
        assert not condition.title.endswith(".")
        assert condition.text.endswith((".", "?"))
        assert condition.places, condition.code
        assert condition.remedy or condition.severity in (Severity.NOTE, Severity.GAIN)
        for pattern in condition.patterns:
            re.compile(pattern)
        assert condition.repair in {"", *repairs.REPAIRS}


@given(st.text())
def test_whatever_was_said_diagnosing_it_does_not_fail(said: str) -> None:
    for diagnosis in diagnose(said):
        assert diagnosis.seen


def package(name: str) -> Package:
    return Package(name, "2.4.67", "2", "x86_64")


SOUND = Profile(
    packages=tuple(package(f"ea-apache24{part}") for part in ("", "-mod_mpm_event", "-mod_suexec")),
    configured=Observation(("event",)),
    running=Observation(("event",)),
)


def test_a_sound_server_has_nothing() -> None:
    assert diagnose("", SOUND) == []


TWO = (*SOUND.packages, package("ea-apache24-mod_mpm_prefork"))
OLD_ITK = replace(package("ea-apache24-mod_mpm_itk"), version="2.4.7.4", release="3")
LINE = {"path": "/etc/apache2/conf.d/x.conf", "line": 3, "directive": "MinSpareServers 5"}
SHOWN: Mapping[str, Profile] = {
    "several_mpms": replace(SOUND, packages=TWO),
    "no_mpm": replace(SOUND, packages=(package("ea-apache24"), SOUND.packages[2])),
    "pending_restart": replace(SOUND, running=Observation(("prefork",))),
    "httpd_down": replace(SOUND, running=None),
    "files_missing": replace(SOUND, facts={"missing_files": {"ea-x": ["/etc/x"]}}),
    "itk_needs_prefork": replace(
        SOUND,
        packages=(*SOUND.packages, replace(OLD_ITK, release="5")),
        configured=Observation(("event",), True),
        running=Observation(("event",), True),
    ),
    "itk_too_old": Profile(
        (
            *(package(f"ea-apache24{part}") for part in ("", "-mod_mpm_prefork")),
            OLD_ITK,
        ),
        configured=Observation(("prefork",), True),
        running=Observation(("prefork",), True),
    ),
    "few_semaphores_left": replace(SOUND, facts={"semaphores": {"used": 128, "limit": 128}}),
    "unfinished_transaction": replace(SOUND, facts={"unfinished_transaction": "dnf's 3"}),
    "foreign_mpm_file": replace(SOUND, facts={"foreign_mpm_files": ["/etc/apache2/conf.d/x"]}),
    "excluded": replace(SOUND, facts={"excludes": ["ea-apache24*"]}),
    "version_locked": replace(SOUND, facts={"version_locks": ["ea-apache24-0:2.4.66-1.*"]}),
    "duplicate_packages": replace(
        SOUND, packages=(*SOUND.packages, replace(SOUND.packages[0], version="2.4.66"))
    ),
    "configuration_differs": replace(
        SOUND, configured=Observation(("prefork",)), running=Observation(("prefork",))
    ),
    "configuration_broken": replace(SOUND, facts={"configured_error": "AH00526: Syntax error"}),
    "limits_overridden": replace(SOUND, facts={"overridden_limits": [{**LINE, "by": LINE}]}),
    "replaced_by_another_server": replace(
        SOUND, facts={"other_servers": [{"program": "litespeed", "port": 80, "pid": 7}]}
    ),
    "prefork_only_directives": replace(SOUND, facts={"prefork_only_directives": [LINE]}),
    "threaded_only_directives": replace(
        SOUND, facts={"threaded_only_directives": [{**LINE, "refused_by": ["event"]}]}
    ),
    "php_dso_needs_prefork": replace(SOUND, packages=(*SOUND.packages, package("ea-php74-php"))),
    "code_runs_as_nobody": replace(SOUND, packages=SOUND.packages[:2]),
    "limit_stays_150": replace(
        SOUND, facts={"load": {"directives": {"event": {"MaxRequestWorkers": 150}}}}
    ),
    "service_unmanaged": replace(
        SOUND, facts={"service": {"active": "failed", "main": 0, "pid": 7, "group": ""}}
    ),
    "workers_exhausted": replace(
        SOUND, facts={"httpd_said": {"workers_exhausted": SAID["workers_exhausted"][2]}}
    ),
}
"""What a server shows, with no output at all."""


@pytest.mark.parametrize("code", list(SHOWN))
def test_what_a_server_shows_is_recognized_without_any_output(code: str) -> None:
    assert [item.code for item in diagnose("", SHOWN[code])] == [code]


def test_an_agent_of_the_version_before_is_understood() -> None:
    facts = {"httpd_said": {"workers-exhausted": "AH00484", "itk-segfault": "AH00052"}}
    found = [item.code for item in diagnose("", replace(SOUND, facts=facts))]
    assert found == ["itk_too_old", "workers_exhausted"]


def test_a_failure_that_only_the_agent_knows_does_not_upset_the_panel() -> None:
    assert diagnose("", replace(SOUND, facts={"httpd_said": {"of-tomorrow": "AH99999"}})) == []


def test_a_limit_that_was_raised_is_not_the_one_cpanel_sets() -> None:
    load = {"directives": {"event": {"MaxRequestWorkers": 400}}}
    assert diagnose("", replace(SOUND, facts={"load": load})) == []
    prefork = Observation(("prefork",))
    of_prefork = replace(SHOWN["limit_stays_150"], configured=prefork, running=prefork)
    assert "limit_stays_150" not in [item.code for item in diagnose("", of_prefork)]


CRASH = "[core:notice] [pid 7:tid 7] AH00052: child pid 9 exit signal Segmentation fault (11)"


def test_a_child_that_crashes_is_blamed_on_itk_only_where_itk_is() -> None:
    assert error_log_conditions(CRASH, frozenset(), running=True) == {}
    with_itk = frozenset({"ea-apache24-mod_mpm_itk"})
    assert error_log_conditions(CRASH, with_itk, running=True) == {"itk_too_old": CRASH}


def test_an_httpd_that_serves_is_not_said_to_be_what_keeps_one_from_starting() -> None:
    second = SAID["address_in_use"][0]
    assert error_log_conditions(second, frozenset(), running=True) == {}
    assert error_log_conditions(second, frozenset(), running=False) == {"address_in_use": second}


LOG = """\
[Fri Nov 27 09:00:00.0 2026] [mpm_event:error] [pid 70:tid 70] AH00484: server reached it (old)
[Fri Nov 27 09:10:00 2026] [mpm_event:notice] [pid 70:tid 70] AH00491: caught SIGTERM, shutting down
[Fri Nov 27 09:10:01.0 2026] [ssl:warn] [pid 7:tid 7] AH01882: compiled against a newer library
[Fri Nov 27 09:10:02.0 2026] [mpm_event:notice] [pid 7:tid 7] AH00489: resuming normal operations
[Fri Nov 27 09:11:00.0 2026] [mpm_event:error] [pid 7:tid 7] AH00484: server reached it (first)
[Fri Nov 27 09:12:00.0 2026] [mpm_event:error] [pid 7:tid 7] AH00484: server reached it (last)
[Fri Nov 27 09:13:00.0 2026] [core:error] [pid 8:tid 9] [client 192.0.2.1:7] AH03490: /by/url
AH01257 is what some script wrote
"""


def conditions_in(tmp_path: Path, text: str, pid: int | None) -> dict[str, str]:
    path = tmp_path / "error_log"
    path.write_text(text)
    parent = Identity(pid, 1, "boot") if pid else None
    words = lines_of_httpd(path, parent)
    return error_log_conditions(words, frozenset(), running=parent is not None)


def test_the_error_log_counts_since_httpd_was_started_and_by_httpds_own_words(
    tmp_path: Path,
) -> None:
    conditions = conditions_in(tmp_path, LOG, 7)
    assert list(conditions) == ["workers_exhausted"]
    assert conditions["workers_exhausted"].endswith("(last)")
    # Rotated away: what is there is all of this httpd's.
    assert conditions_in(tmp_path, LOG, 4711)["workers_exhausted"].endswith("(last)")
    assert conditions_in(tmp_path, "", 7) == {}
    (tmp_path / "error_log").unlink()
    assert lines_of_httpd(tmp_path / "error_log", None) == ""


def test_the_error_log_of_an_httpd_that_is_down_says_why(tmp_path: Path) -> None:
    ended = LOG + SAID["mpm_changed_in_reload"][0] + "\n"
    assert "mpm_changed_in_reload" in conditions_in(tmp_path, ended, None)
    stopped = LOG + "[t] [mpm_event:notice] [pid 7:tid 7] AH00491: caught SIGTERM, shutting down\n"
    assert conditions_in(tmp_path, stopped, None) == {}


def test_every_repair_the_agent_carries_out_has_a_label() -> None:
    assert set(REPAIR_LABELS) == set(repairs.REPAIRS)
