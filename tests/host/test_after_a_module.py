"""What a change leaves behind of a module that it removes, told from a real server before it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from easyapache.agent.httpd import after_a_module
from easyapache.agent.httpd.after_a_module import account_of, closed_roots, local_templates
from easyapache.agent.httpd.apache_config import read_config
from easyapache.agent.httpd.elf import BIGGEST, names_in, stamp_of
from easyapache.agent.httpd.error_log import reloads_a_day
from easyapache.agent.httpd.load import semaphores
from easyapache.ea4.mpm import MPM, Choice
from easyapache.ea4.plan import make_plan
from easyapache.ea4.relations import load_catalogue
from lab.system import distribution
from tests.host.conftest import Manage
from tests.host.managed import PREFIX, Managed
from tests.places import short_folder

DIRECTIVES = {
    "cgid": {"scriptsock", "cgidscripttimeout", "scriptlog"},
    "http2": {"h2push", "h2minworkers", "h2direct"},
    "suexec": {"suexecusergroup"},
    "proxy_hcheck": {"proxyhcexpr", "proxyhctemplate"},
    "alias": {"alias", "redirect", "scriptalias"},
    "authz_core": {"require", "authmerging", "<authzprovideralias"},
}


def findings(managed: Managed, choice: Choice) -> dict[str, str]:
    plan = make_plan(managed.server.inspect(), choice, load_catalogue())
    return {finding.code: finding.message for finding in plan.findings}


@pytest.mark.parametrize("name", sorted(DIRECTIVES))
def test_the_directives_of_a_module_are_in_its_file(name: str) -> None:
    path = distribution().module(f"mod_{name}")
    assert path is not None
    stamp = stamp_of(Path(path))
    assert stamp is not None
    found = names_in(Path(path), stamp)
    assert DIRECTIVES[name] <= found
    assert not {"userdir", "minspareservers"} & found


@pytest.mark.parametrize("content", [b"", b"text", b"\x7fELF\2\1" + b"\xff" * 200, b"\x7fELF\2\1"])
def test_a_file_that_is_no_module_has_no_directives(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mod_x.so"
    path.write_bytes(content)
    stamp = stamp_of(path)
    assert stamp is not None
    assert names_in(path, stamp) == frozenset()
    assert names_in(path, (0, BIGGEST + 1)) == frozenset()
    assert stamp_of(tmp_path / "none") is None


def test_a_bare_directive_of_a_module_that_leaves_is_in_the_plan(make_managed: Manage) -> None:
    """Of mod_cgid, on the way back to prefork: the trial start refuses it."""
    managed = make_managed("minimal")
    managed.switch("event")
    extra = managed.config.server_root / "conf.d/own.conf"
    extra.write_text(
        "ScriptLog logs/cgi\nCGIDScriptTimeout 60\n<IfModule cgid_module>\nScriptSock run/s\n"
        "</IfModule>\n<IfModule mod_env.c>\nCGIDScriptTimeout 70\n</IfModule>\n"
    )
    said = findings(managed, Choice(MPM.PREFORK))["directives_of_removed_module"]
    assert "cgidscripttimeout 60 in /etc/apache2/conf.d/own.conf line 2." in said
    assert "scriptlog" not in said
    assert "scriptsock" not in said
    assert "line 8" not in said
    assert "directives_of_removed_module" not in findings(managed, Choice(MPM.WORKER))
    extra.unlink()
    assert "directives_of_removed_module" not in findings(managed, Choice(MPM.PREFORK))


def test_php_values_outside_of_a_section_are_in_the_plan(make_managed: Manage) -> None:
    """Of PHP as a module, as hosts are written by hand."""
    managed = make_managed("minimal", extra=("ea-php74-php",))
    (managed.config.server_root / "conf.d/own.conf").write_text(
        "<VirtualHost 192.0.2.1:80>\nServerName a.example\nphp_admin_value memory_limit 64M\n"
        "<IfModule php_module>\nphp_flag engine on\n</IfModule>\n</VirtualHost>\n"
    )
    said = findings(managed, Choice(MPM.EVENT))["directives_of_removed_module"]
    assert "php_admin_value memory_limit 64M in /etc/apache2/conf.d/own.conf line 3." in said
    assert "php_flag" not in said


def test_a_packages_own_file_goes_with_its_module(make_managed: Manage) -> None:
    managed = make_managed("minimal")
    managed.switch("event")
    owned = managed.config.server_root / "conf.modules.d/005_mod_cgid.conf"
    owned.write_text(f"{owned.read_text()}CGIDScriptTimeout 60\n")
    assert "directives_of_removed_module" not in findings(managed, Choice(MPM.PREFORK))


@contextmanager
def flagged(path: Path) -> Iterator[None]:
    def write(flags: int) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, 0x40086602, struct.pack("l", flags))
        finally:
            os.close(handle)

    write(0x10)
    try:
        yield
    finally:
        write(0)


READ_ONLY = """
import json, sys
from pathlib import Path
from easyapache.agent.config import HostConfig
from easyapache.agent.packages.immutable import immutable_files

root = Path(sys.argv[1])
config = HostConfig(server="x", spool=root, root=root, server_root=root / "etc/apache2")
print(json.dumps(immutable_files(config, {})))
"""


@pytest.mark.parametrize("alone", [True, False], ids=["for_the_agent", "for_the_machine"])
def test_a_file_system_that_only_the_agent_sees_read_only_is_in_no_way(
    alone: bool, tmp_path: Path
) -> None:
    """A unit with ProtectSystem=strict does; the package manager runs outside of it."""
    conf = tmp_path / "etc/apache2/conf"
    conf.mkdir(parents=True)
    (conf / "httpd.conf").touch()
    mounted = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}"
    script = f"{mounted} && exec {sys.executable} -c '{READ_ONLY}' {tmp_path}"
    # With a process 1 of its own, the namespace is the machine's as far as anyone in it can see.
    machine = () if alone else ("--pid", "--fork", "--kill-child", "--mount-proc")
    done = subprocess.run(
        ["unshare", "--mount", *machine, "sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ({} if alone else {"/etc/apache2/conf/httpd.conf": ""})


@pytest.mark.parametrize(
    "name",
    [
        "etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf",
        "etc/apache2/conf.modules.d",
        "etc/apache2/conf/httpd.conf",
        "var/lib/rpm",
    ],
)
def test_a_file_that_cannot_be_replaced_blocks_before_anything_is_done(
    managed: Managed, name: str
) -> None:
    with flagged(managed.config.root / name):
        assert f"/{name}" in findings(managed, Choice(MPM.EVENT))["immutable_files"]
        goal, transaction = managed.plan("event")
        found = managed.server.obstacles(goal, transaction)
        said = [item.message for item in found if item.code == "immutable_files"]
        assert len(said) == 1
        assert said[0].startswith(f"/{name}. ")
    assert "immutable_files" not in findings(managed, Choice(MPM.EVENT))


def test_a_file_that_a_change_does_not_touch_may_be_immutable(managed: Managed) -> None:
    own = managed.config.server_root / "conf.d/own.conf"
    own.write_text("# mine\n")
    other = managed.config.server_root / "conf.modules.d/000_mod_systemd.conf"
    places = [own, *([other] if other.exists() else [])]
    for place in places:
        with flagged(place):
            assert "immutable_files" not in findings(managed, Choice(MPM.EVENT))


def test_what_leaves_with_ruid2_is_in_the_plan(make_managed: Manage) -> None:
    """Document roots that only the account may enter, /~user/, and folders of many users."""
    managed = make_managed("default")
    conf = managed.real.httpd.read()
    user, _ = account_of(conf)
    assert user is not None
    with short_folder() as home:
        open_root, closed = home / "open", home / "closed"
        for root, mode in ((open_root, 0o755), (closed, 0o750)):
            root.mkdir()
            root.chmod(mode)
            os.chown(root, 12345, 12345)
        (managed.config.server_root / "conf.d/own.conf").write_text(
            "CacheRoot /var/cache/mine\n"
            + "".join(
                f"<VirtualHost 192.0.2.1:80>\nServerName {root.name}.example\n"
                f"DocumentRoot {root}\n</VirtualHost>\n"
                for root in (open_root, closed, home / "none")
            )
        )
        said = findings(managed, Choice(MPM.EVENT, add=frozenset({f"{PREFIX}suexec"})))
        assert f"1 document root: {closed}." in said["document_roots_closed"]
        assert "cacheroot /var/cache/mine" in said["folders_change_owner"]
        os.chown(closed, 12345, next(iter(account_of(conf)[1])))
        said = findings(managed, Choice(MPM.EVENT))
        assert "document_roots_closed" not in said


def test_userdir_is_on_again_unless_it_is_off_elsewhere_too(make_managed: Manage) -> None:
    managed = make_managed("default")
    folder = managed.config.server_root
    module = distribution().module("mod_userdir")
    load = folder / "conf.d/load.conf"
    load.write_text(
        ""
        if "userdir" in str(managed.real.httpd.read().modules())
        else f"LoadModule userdir_module {module}\n"
    )
    assert "userdir_returns" in findings(managed, Choice(MPM.EVENT))
    assert "userdir_returns" not in findings(managed, Choice(MPM.PREFORK))
    (folder / "conf.d/own.conf").write_text("UserDir disabled\n")
    assert "userdir_returns" not in findings(managed, Choice(MPM.EVENT))


def test_an_own_template_is_spoken_of_and_its_bare_directives_are_shown(managed: Managed) -> None:
    folder = managed.config.root / after_a_module.TEMPLATES
    folder.mkdir(parents=True)
    template = folder / "ea4_main.local"
    template.write_text(
        "[% IF x -%]\n<IfModule prefork.c>\nMinSpareServers 5\n</IfModule>\n[% END %]\n"
    )
    said = findings(managed, Choice(MPM.EVENT))
    assert "/var/cpanel/templates/apache2_4/ea4_main.local" in said["local_templates"]
    template.write_text(
        "[% IF x\n -%]\nMinSpareServers [% main.min %]\nThreadsPerChild 5\n[% END %]\n"
    )
    said = findings(managed, Choice(MPM.EVENT))
    place = "/var/cpanel/templates/apache2_4/ea4_main.local line"
    assert f"minspareservers in {place} 3" in said["template_directives"]
    assert "threadsperchild" not in said["template_directives"]
    assert (
        f"threadsperchild 5 in {place} 4"
        in findings(managed, Choice(MPM.PREFORK)).get("template_directives", "")
        or not managed.plan("prefork")[1].install
    )
    shutil.rmtree(folder)
    assert local_templates(managed.config, managed.real.httpd.read()) == []


def test_a_template_that_is_no_file_is_passed_over(managed: Managed) -> None:
    folder = managed.config.root / after_a_module.TEMPLATES
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.local")
    (folder / "nowhere.local").symlink_to("none")
    found = local_templates(managed.config, managed.real.httpd.read())
    assert [item["lines"] for item in found] == [[], []]


def test_closed_roots_are_looked_for_no_longer_than_allowed(tmp_path: Path) -> None:
    (tmp_path / "httpd.conf").write_text(
        "User nobody\n<VirtualHost *:80>\nDocumentRoot /root/none\n</VirtualHost>\n"
    )
    conf = read_config(tmp_path, tmp_path / "httpd.conf")
    assert closed_roots(conf, seconds=-1) == []
    (tmp_path / "httpd.conf").write_text("User no-such-user\n")
    assert account_of(read_config(tmp_path, tmp_path / "httpd.conf"))[0] is None


def line(at: str, text: str) -> str:
    return f"[Tue {at}.123456 2026] [mpm_event:notice] [pid 7:tid 7] {text}"


def test_reloads_are_counted_by_the_day() -> None:
    lines = [line("Dec 01 00:00:00", "AH00489: Apache configured -- resuming normal operations")]
    lines += [
        line(f"Dec {day:02} {hour:02}:00:00", "AH00493: SIGUSR1 received.  Doing graceful restart")
        for day in (1, 2)
        for hour in range(24)
    ]
    lines.append(line("Dec 03 00:00:00", "AH00112: Warning: DocumentRoot does not exist"))
    assert reloads_a_day("\n".join(lines)) == 24
    assert reloads_a_day("\n".join(lines[:20])) == 0
    assert reloads_a_day("") == 0
    assert reloads_a_day("[Tue Xxx 99 99:99:99.1 2026] AH00493") == 0


def test_semaphores_are_counted_as_ipcs_counts_them() -> None:
    said = subprocess.run(["ipcs", "-s"], capture_output=True, text=True, check=True).stdout
    sets = [row for row in said.splitlines() if row.startswith("0x")]
    found = semaphores()
    assert abs(found["used"] - len(sets)) <= 50, "others make some meanwhile"
    assert found["limit"] > 0
