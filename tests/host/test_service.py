"""httpd as a service of systemd: started, taken over, switched off."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from easyapache.agent.change.spool import Spool
from easyapache.agent.httpd import cgroups
from easyapache.agent.httpd.httpd import Httpd
from easyapache.agent.httpd.processes import Identity
from easyapache.agent.httpd.surroundings import surroundings_of
from easyapache.agent.httpd.verification import service_checks
from easyapache.agent.repair.repairs import repair
from easyapache.agent.server import Check, HostError
from easyapache.ea4.conditions.diagnosis import diagnose
from tests.host.hammer import hammering
from tests.host.managed import Managed
from tests.host.standin import StandIn
from tests.host.test_runner import wait_until
from tests.host.visitors import InFlight, port_of


def parent_of(managed: Managed) -> Identity:
    parent = managed.real.httpd.parent()
    assert parent is not None
    return parent


def kill_all(managed: Managed) -> None:
    """As the kernel does that is out of memory, or systemd with what is left of a service."""
    assert managed.lab is not None
    managed.config.pid_file.unlink(missing_ok=True)
    while found := managed.real.httpd.parents():
        for item in found:
            os.kill(item.pid, signal.SIGKILL)
        time.sleep(0.02)


def two_mpms(managed: Managed) -> Path:
    """What is on the disk in the middle of a transaction."""
    folder = managed.config.server_root
    module = folder / "modules/mod_mpm_event.so"
    if not module.exists():
        module.symlink_to("/usr/lib/apache2/modules/mod_mpm_event.so")
    second = folder / "conf.modules.d/000_mod_mpm_event.conf"
    second.write_text("LoadModule mpm_event_module modules/mod_mpm_event.so\n")
    return second


# -- the start limit ---------------------------------------------------------------------------


def test_systemd_is_never_asked_to_start_what_cannot_start(
    managed: Managed, systemd: StandIn
) -> None:
    second = two_mpms(managed)
    with managed.server.watch(managed.config.spool / "window", managed.log):
        kill_all(managed)
        wait_until(lambda: "cannot be started yet" in managed.text)
        time.sleep(1.0)
        assert systemd.starts == 0
        second.unlink()
        wait_until(lambda: "started again" in managed.text)
    assert systemd.starts == 1
    assert "More than one MPM" in managed.text
    assert managed.server.inspect().running is not None


def test_systemds_count_of_starts_is_set_back_before_each(
    managed: Managed, systemd: StandIn
) -> None:
    for _ in range(7):  # more than it allows in ten seconds
        kill_all(managed)
        managed.server.restart("auto", managed.log)
    assert systemd.calls == ["reset-failed httpd.service", "start httpd.service"] * 7
    assert managed.server.inspect().running is not None


def test_where_systemd_refuses_httpd_starts_in_the_group_and_with_the_limits_of_its_service(
    managed: Managed, systemd: StandIn
) -> None:
    systemd.write("refuses", "")
    systemd.write("given", "LimitNOFILESoft=900\nLimitNOFILE=1200\nUMask=0027\nNice=3\n")
    kill_all(managed)
    found = managed.real.httpd.start(managed.log)
    assert "starting it without" in managed.text
    process = Path(f"/proc/{found.pid}")
    assert "Max open files            900                  1200" in (process / "limits").read_text()
    assert "Umask:\t0027" in (process / "status").read_text()
    assert os.getpriority(os.PRIO_PROCESS, found.pid) == 3
    (systemd.state / "refuses").unlink()
    managed.real.httpd.entrust(found, managed.log)
    state = managed.real.httpd.service_state()
    assert state is not None
    assert (state.active, state.main) == ("active", found.pid)
    assert cgroups.group_of(found.pid) in (systemd.group, "")


def test_where_nothing_else_helps_the_start_limit_is_waited_out(
    managed: Managed, systemd: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: str) -> list[Path]:
        raise OSError(28, "No space left on device", "/sys/fs/cgroup")

    monkeypatch.setattr(cgroups, "made", full)
    pauses: list[float] = []
    sleep = time.sleep

    def pause(seconds: float) -> None:
        # Everything that waits sleeps here, also a subprocess with a limit: only the time in
        # which systemd counts makes it start something again.
        if seconds == 1.0:
            pauses.append(seconds)
            (systemd.state / "refuses").unlink()
        sleep(seconds)

    systemd.write("refuses", "")
    kill_all(managed)
    monkeypatch.setattr("easyapache.agent.httpd.unit.time.sleep", pause)
    managed.real.httpd.start(managed.log)
    assert "allows the next start" in managed.text
    assert pauses == [1.0]


def test_the_new_httpd_of_a_graceful_stop_does_not_wait_for_systemd(
    managed: Managed, systemd: StandIn
) -> None:
    """To systemd the service runs for as long as the old one finishes its last requests."""
    slow = InFlight(managed)
    managed.server.restart("graceful-stop", managed.log)
    assert managed.server.inspect().running is not None
    slow.join()
    assert "finished" in slow.body
    assert systemd.starts == 0
    wait_until(lambda: checks(managed)["service"].ok, 15)


# -- what a second httpd is given --------------------------------------------------------------


def checks(managed: Managed) -> dict[str, Check]:
    return {check.name: check for check in service_checks(managed.real.httpd)}


def start_surrounded(managed: Managed) -> Identity:
    """The lab's httpd with all that a unit may give it."""
    assert managed.lab is not None
    managed.lab.down()
    argv = ["setpriv", "--bounding-set=-sys_time,-sys_module", "--no-new-privs"]
    argv += ["nice", "-n", "3", "choom", "-n", "111", "--"]
    argv += ["prlimit", "--nofile=700:1400", "--core=0:0", "unshare", "--mount"]
    argv += ["/bin/sh", "-c", 'umask 0027; SITE_SECRET=42; export SITE_SECRET; exec "$@"', "sh"]
    subprocess.run(
        [*argv, *managed.config.httpd, "-k", "start"],
        env=managed.real.runner.environment,
        check=True,
    )
    ports = managed.real.httpd.ports()
    wait_until(
        lambda: (
            (found := managed.real.httpd.pid_file_parent()) is not None
            and managed.real.httpd.ready(found, ports)
        )
    )
    return parent_of(managed)


@pytest.mark.parametrize("method", ["overlap", "graceful-stop"])
def test_a_new_httpd_has_all_that_the_old_one_had_of_its_service(
    managed: Managed, method: str
) -> None:
    old = start_surrounded(managed)
    had = surroundings_of(old)
    assert had is not None
    assert had.values["limit NOFILE"] == "700/1400"
    assert had.values["no_new_privileges"] == "1"
    assert "SITE_SECRET" in had.environment
    managed.server.restart(method, managed.log)
    new = parent_of(managed)
    assert new != old
    has = surroundings_of(new)
    assert has is not None
    assert had.differences(has) == []
    assert cgroups.group_of(new.pid) == cgroups.group_of(os.getpid())
    assert checks(managed)["surroundings"].ok
    environment = Path(f"/proc/{new.pid}/environ").read_bytes().split(b"\0")
    assert b"SITE_SECRET=42" in environment


def test_a_new_httpd_is_in_the_control_group_of_the_old_one(
    managed: Managed, systemd: StandIn
) -> None:
    """Wherever the engine itself is."""
    old = parent_of(managed)
    cgroups.move_family(old.pid, systemd.group)
    assert cgroups.group_of(old.pid) in (systemd.group, "")
    managed.server.restart("overlap", managed.log)
    new = parent_of(managed)
    assert new != old
    assert cgroups.group_of(new.pid) in (systemd.group, "")
    assert systemd.starts == 0


def test_verification_names_what_a_new_httpd_lacks(managed: Managed) -> None:
    managed.server.restart("overlap", managed.log)
    new = parent_of(managed)
    assert checks(managed)["surroundings"].ok
    soft, hard = resource.prlimit(new.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(new.pid, resource.RLIMIT_NOFILE, (soft - 1, hard))
    Path(f"/proc/{new.pid}/oom_score_adj").write_text("77")
    check = checks(managed)["surroundings"]
    assert not check.ok
    assert f"limit NOFILE: {soft - 1}/{hard} instead of {soft}/{hard}" in check.seen
    assert "OOM score adjustment: 77 instead of" in check.seen


def test_no_secret_of_the_environment_is_kept(managed: Managed) -> None:
    start_surrounded(managed)
    managed.server.restart("overlap", managed.log)
    kept = managed.real.httpd.kept.path
    assert "SITE_SECRET" in kept.read_text()
    assert '"42"' not in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "SITE_SECRET" not in managed.text


def test_a_control_group_that_cannot_be_joined_is_said_while_the_old_httpd_serves(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = parent_of(managed)
    nowhere: Any = lambda *_: [tmp_path / "no/cgroup.procs"]  # noqa: E731
    monkeypatch.setattr(cgroups, "joins", nowhere)
    with hammering(port_of(managed)) as hammer, pytest.raises(HostError) as failed:
        managed.server.restart("overlap", managed.log)
    assert "control group of httpd cannot be joined" in failed.value.output
    assert hammer.failed == 0, hammer.counts
    assert parent_of(managed) == old
    assert managed.config.pid_file.read_text().strip() == str(old.pid)


# -- systemd takes over what runs --------------------------------------------------------------


def test_systemd_takes_over_an_httpd_that_was_started_without_it(
    managed: Managed, systemd: StandIn
) -> None:
    systemd.write("main", "dead\n")
    assert checks(managed)["service"].seen == "failed, main process 0"
    managed.server.restart("overlap", managed.log)
    new = parent_of(managed)
    check = checks(managed)["service"]
    assert check.ok, check.seen
    assert systemd.calls == ["reset-failed httpd.service", "start httpd.service"]
    assert cgroups.group_of(new.pid) in (systemd.group, "")


def test_an_httpd_outside_its_service_is_a_finding_until_it_is_restarted(
    managed: Managed, systemd: StandIn
) -> None:
    managed.real.httpd.entrust(parent_of(managed), managed.log)  # in the service's control group
    assert "service" not in managed.server.inspect().facts
    systemd.write("main", "dead\n")
    seen = managed.server.inspect()
    pid = parent_of(managed).pid
    assert seen.facts["service"] == {"active": "failed", "main": 0, "pid": pid, "group": ""}
    found = {item.code: item for item in diagnose("", seen)}["service_unmanaged"]
    assert "httpd.service is failed with main process 0" in found.seen
    done = repair(found.repair, managed.server, Spool(managed.config.spool))
    assert done.ok, done.log
    now = managed.server.inspect()
    assert "service" not in now.facts
    assert "service_unmanaged" not in [item.code for item in diagnose("", now)]


def test_an_httpd_in_another_control_group_than_its_service_is_a_finding(
    managed: Managed, systemd: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "group_of", lambda _: "/system.slice/by-hand.service")
    found = {item.code: item for item in diagnose("", managed.server.inspect())}
    assert "in the control group /system.slice/by-hand.service" in found["service_unmanaged"].seen


def test_a_service_that_was_stopped_during_the_verification_is_noticed_at_once(
    managed: Managed, systemd: StandIn
) -> None:
    _, transaction = managed.plan("event")
    before = managed.server.sites()
    managed.real.runner.capture(["systemctl", "stop", "httpd.service"])
    wait_until(lambda: managed.real.httpd.parents() == [])
    begun = time.monotonic()
    seen = {item.name: item for item in managed.server.checks(transaction, "event", False, before)}
    assert time.monotonic() - begun < 5.0  # what a new httpd gets to start its workers
    assert seen["service"].seen == "inactive, main process 0"
    assert not seen["workers"].ok


def test_an_httpd_started_by_something_else_meanwhile_is_taken(
    managed: Managed, systemd: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``systemctl restart httpd`` while ours is starting: ours cannot bind, and systemd's serves
    with the same configuration."""
    old = parent_of(managed)

    def beaten(httpd: Httpd, *_: object, **__: object) -> Identity:
        # The pid file is out of the way, so systemd ends the old one by its control group.
        os.kill(old.pid, signal.SIGTERM)
        wait_until(lambda: not old.alive)
        httpd.runner.capture(["systemctl", "start", "httpd.service"])
        raise HostError("restart", "Apache didn't start.")

    monkeypatch.setattr(Httpd, "start", beaten)
    managed.server.restart("overlap", managed.log)
    new = parent_of(managed)
    assert new != old
    assert "started by something else" in managed.text
    assert "keeps serving" not in managed.text
    assert managed.config.pid_file.read_text().strip() == str(new.pid)
    assert managed.real.httpd.parents() == [new]


# -- switched off ------------------------------------------------------------------------------


def test_an_httpd_that_is_switched_off_stays_down(managed: Managed) -> None:
    assert managed.lab is not None
    with managed.server.watch(managed.config.spool / "window", managed.log):
        (managed.config.root / "etc/httpddisable").touch()
        managed.lab.down()
        wait_until(lambda: "is not started again" in managed.text)
        with pytest.raises(HostError) as refused:
            managed.server.restart("auto", managed.log)
    assert refused.value.code == "switched_off"
    assert "/etc/httpddisable exists" in refused.value.message
    assert managed.real.httpd.parents() == []


def test_what_was_undone_is_as_before_also_where_httpd_was_switched_off(managed: Managed) -> None:
    _, transaction = managed.plan("event")
    before = managed.server.sites()
    assert managed.lab is not None
    (managed.config.root / "etc/httpddisable").touch()
    managed.lab.down()
    seen = managed.server.checks(transaction.inverse, "prefork", False, before)
    assert [item.title for item in seen if not item.ok] == []
    assert [item.seen for item in seen if item.name == "switched_off"] == [
        "/etc/httpddisable exists"
    ]
    assert "running" not in {item.name for item in seen}


def obstacles(managed: Managed) -> dict[str, str]:
    goal, transaction = managed.plan("event")
    found = managed.server.obstacles(goal, transaction)
    return {item.code: item.message for item in found}


def test_a_change_of_a_switched_off_httpd_does_not_begin(managed: Managed) -> None:
    assert "switched_off" not in obstacles(managed)
    (managed.config.root / "etc/httpddisable").touch()
    assert "/etc/httpddisable exists" in obstacles(managed)["switched_off"]


def test_whatever_the_unit_makes_a_condition_of_its_start_is_asked_of_systemd(
    managed: Managed, systemd: StandIn, tmp_path: Path
) -> None:
    flag = tmp_path / "flag of ours"
    systemd.write(
        "conditions",
        'a(sbbsi) 3 "ConditionUser" false false "root" 1 '
        f'"ConditionPathExists" false true "{flag}" 1 '
        f'"ConditionPathExists" true false "{tmp_path}" 1\n',
    )
    assert managed.real.httpd.switched_off() == ""
    flag.touch()
    assert managed.real.httpd.switched_off() == f"{flag} exists"
    assert f"{flag} exists" in obstacles(managed)["switched_off"]


def test_a_masked_service_is_not_restarted(managed: Managed, systemd: StandIn) -> None:
    """systemd would end the new httpd with the old one: it no longer knows the PID file."""
    before = managed.real.httpd.parent()
    systemd.write("load", "masked\n")
    with pytest.raises(HostError) as refused:
        managed.server.restart("auto", managed.log)
    assert refused.value.code == "switched_off"
    assert "httpd.service is masked" in refused.value.message
    assert managed.real.httpd.parent() == before


def test_a_masked_service_is_switched_off(managed: Managed, systemd: StandIn) -> None:
    systemd.write("load", "masked\n")
    assert "httpd.service is masked" in obstacles(managed)["switched_off"]
    kill_all(managed)
    with pytest.raises(HostError) as refused:
        managed.real.httpd.start(managed.log)
    assert refused.value.code == "switched_off"
    assert systemd.starts == 0
