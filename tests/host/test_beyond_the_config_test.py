"""What httpd -t does not show: .htaccess files, limits set twice, and other servers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from easyapache.agent.config import HostConfig
from easyapache.agent.httpd.apache_config import ApacheConfig, Directive
from easyapache.agent.httpd.front import other_servers
from easyapache.agent.httpd.htaccess import MOST_BYTES, directives_in, patterns_for
from easyapache.agent.inspection import overridden_limits
from easyapache.ea4.mpm import RUID2, SUPHP

PHP = "ea-php74-php"
PATTERNS = patterns_for([PHP, SUPHP, RUID2])


def site(folder: Path, text: str, *below: str) -> str:
    place = folder.joinpath("public_html", *below)
    place.mkdir(parents=True, exist_ok=True)
    (place / ".htaccess").write_text(text)
    return str(folder / "public_html")


def test_directives_outside_of_a_guard_are_found_with_their_line_and_package(
    tmp_path: Path,
) -> None:
    text = (
        "# php_value in a comment 1\n"
        "<IfModule mod_php7.c>\n  php_value memory_limit 64M\n</IfModule>\n"
        "RewriteEngine On\n"
        "php_value memory_limit 512M\n"
    )
    root = site(tmp_path / "user1", text)
    site(tmp_path / "user1", "suPHP_ConfigPath /home/user1\n", "shop", "admin")
    site(tmp_path / "user1", "php_flag display_errors on\n", "a", "b", "too", "deep")
    found = directives_in([root, root], PATTERNS)
    assert found.complete
    assert [(item["line"], item["directive"], item["package"]) for item in found.directives] == [
        (6, "php_value memory_limit 512M", PHP),
        (1, "suPHP_ConfigPath /home/user1", SUPHP),
    ]
    assert found.directives[0]["path"] == f"{root}/.htaccess"


def test_what_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    for number, name in enumerate(("pipe", "link", "big")):
        (tmp_path / name).mkdir()
        place = tmp_path / name / ".htaccess"
        if number == 0:
            os.mkfifo(place)
        elif number == 1:
            (tmp_path / "secret").write_text("php_value secret 1\n")
            place.symlink_to(tmp_path / "secret")
        else:
            place.write_text("#" * MOST_BYTES + "\nphp_value too far\n")
    roots = [str(tmp_path / name) for name in ("pipe", "link", "big", "gone")]
    assert directives_in(roots, PATTERNS).directives == ()


def test_a_search_that_takes_too_long_says_that_it_is_incomplete(tmp_path: Path) -> None:
    root = site(tmp_path, "php_value a 1\n")
    assert not directives_in([root], PATTERNS, seconds=-1.0).complete
    assert directives_in([root], {}).directives == ()


MAIN = Path("/etc/apache2/conf/httpd.conf")
EARLY = Path("/etc/apache2/conf.d/includes/pre_main_global.conf")
LATE = Path("/etc/apache2/conf.d/includes/pre_virtualhost_global.conf")


def limits(*lines: tuple[Path, str, str]) -> list[str]:
    directives = tuple(
        Directive(name, (value,), path, number) for number, (path, name, value) in enumerate(lines)
    )
    conf = ApacheConfig(Path("/etc/apache2"), directives, (), main=MAIN)
    found = overridden_limits(HostConfig(server="web01", spool=Path("/spool")), conf)
    return [f"{item['path']}: {item['directive']} → {item['by']['directive']}" for item in found]


def test_a_limit_that_the_generated_configuration_sets_again_is_named() -> None:
    assert limits(
        (EARLY, "serverlimit", "8"),
        (EARLY, "threadsperchild", "25"),
        (EARLY, "maxclients", "200"),
        (MAIN, "serverlimit", "256"),
        (MAIN, "maxrequestworkers", "50"),
    ) == [
        f"{EARLY}: serverlimit 8 → serverlimit 256",
        f"{EARLY}: maxclients 200 → maxrequestworkers 50",
    ]


def test_a_limit_that_is_in_effect_is_not_named() -> None:
    assert limits((EARLY, "serverlimit", "256"), (MAIN, "serverlimit", "256")) == []
    assert limits((MAIN, "serverlimit", "256"), (LATE, "serverlimit", "8")) == []
    assert (
        limits(
            (EARLY, "serverlimit", "8"), (MAIN, "serverlimit", "256"), (LATE, "serverlimit", "8")
        )
        == []
    )


@pytest.mark.parametrize("name", ["litespeed", "nginx"])
def test_another_server_on_a_public_port_is_named_by_its_program(name: str) -> None:
    code = (
        "import pathlib, socket, sys\n"
        f"pathlib.Path('/proc/self/comm').write_text({name!r})\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        expected = {"program": name, "port": port, "pid": process.pid}
        assert other_servers(None, [port]) == [expected]
        assert other_servers(process.pid, [port]) == []
        process.stdin.close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        unused = free.getsockname()[1]
    assert other_servers(None, [unused]) == []
