"""The server's own sites are a sample good enough to judge a change by, with none named."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from easyapache.agent.config import HostConfig
from easyapache.agent.drivers import remember
from easyapache.agent.httpd import sites
from easyapache.agent.httpd.apache_config import read_config
from easyapache.agent.real import RealServer
from easyapache.agent.server import SiteAnswer, Stopped
from tests.faults.field import AS_PLANNED, BEFORE, Field
from tests.faults.report import RecordEnding
from tests.faults.test_matrix import drop_in, run, sentence
from tests.host.test_http_probe import DRIPS, Dripping
from tests.labs import MakeLab


def page(root: Path, name: str, text: str = "x", mode: int = 0o644) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


CONF = """\
LoadModule proxy_fcgi_module modules/mod_proxy_fcgi.so
Listen 127.0.0.1:8080
DirectoryIndex index.php index.cgi index.html
AddHandler cgi-script .cgi
AddHandler application/x-httpd-ea-php81 .php
ScriptAlias /cgi-sys {root}/cgi-sys/
{hosts}
"""
HOST = """\
<VirtualHost 127.0.0.1:8080>
ServerName {name}.test
DocumentRoot {root}/{name}
{more}
</VirtualHost>
"""
FPM = """\
<IfModule proxy_fcgi_module>
<FilesMatch \\.(phtml|php[0-9]*)$>
SetHandler "proxy:unix:/opt/cpanel/ea-php83/root/usr/var/run/php-fpm/x.sock|fcgi://fpm.test"
</FilesMatch>
</IfModule>
<Location /status>
SetHandler server-status
</Location>
"""


def kinds(root: Path, **hosts: str) -> dict[str, set[str]]:
    """{host: kinds of its addresses} of a configuration with these hosts."""
    texts = [HOST.format(name=name, root=root, more=more) for name, more in hosts.items()]
    (root / "httpd.conf").write_text(CONF.format(root=root, hosts="".join(texts)))
    conf = read_config(root, root / "httpd.conf")
    found: dict[str, set[str]] = {}
    for site in sites.candidates(HostConfig(server="x", spool=root), conf):
        found.setdefault(site.host.removesuffix(".test"), set()).add(site.kind)
    return found


def test_each_handler_of_php_is_a_kind_of_its_own(tmp_path: Path) -> None:
    for name in ("plain", "fpm", "older", "dso", "script"):
        page(tmp_path, f"{name}/index.{'cgi' if name == 'script' else 'php'}")
    page(tmp_path, "older/.htaccess", "# php\n  AddHandler application/x-httpd-ea-php74 .php\n")
    page(tmp_path, "account/.htaccess", 'SetHandler "application/x-httpd-ea-php80"\n')
    page(tmp_path, "account/addon/index.php")
    seen = kinds(
        tmp_path,
        plain="",
        fpm=FPM,
        older="",
        dso="AddType application/x-httpd-php-source .phps\nAddHandler application/x-httpd-php .php",
        script="",
        **{"account/addon": ""},
    )
    assert seen == {
        "plain": {"php ea-php81"},
        "fpm": {"php FPM ea-php83"},
        "older": {"php ea-php74"},
        "dso": {"php module"},
        "script": {"cgi"},
        "account/addon": {"php ea-php80"},
    }


def test_what_stands_in_the_place_of_an_htaccess_does_no_harm(tmp_path: Path) -> None:
    for name in ("pipe", "device", "folder", "secret"):
        page(tmp_path, f"{name}/index.php")
    os.mkfifo(tmp_path / "pipe/.htaccess")
    (tmp_path / "device/.htaccess").symlink_to("/dev/zero")
    (tmp_path / "folder/.htaccess").mkdir()
    (tmp_path / "secret/.htaccess").write_text("Include /dev/zero\n" + "x" * 200_000)
    seen = kinds(tmp_path, pipe="", device="", folder="", secret="")
    # All by the server's own handler, and no more than two of a kind.
    assert seen == {"pipe": {"php ea-php81"}, "device": {"php ea-php81"}}


def test_of_a_folder_of_scripts_only_what_is_meant_to_be_seen_is_asked(tmp_path: Path) -> None:
    page(tmp_path, "cgi-sys/defaultwebpage.cgi", mode=0o755)
    page(tmp_path, "cgi-sys/redirect.cgi", mode=0o755)
    page(tmp_path, "own/cgi-bin/delete.cgi", mode=0o755)
    page(tmp_path, "own/cgi-bin/index.pl", mode=0o755)
    page(tmp_path, "off/cgi-bin/index.pl")
    more = f"ScriptAlias /cgi-bin/ {tmp_path}/"
    hosts = {"own": f"{more}own/cgi-bin/", "off": f"{more}off/cgi-bin/"}
    texts = [HOST.format(name=name, root=tmp_path, more=text) for name, text in hosts.items()]
    (tmp_path / "httpd.conf").write_text(CONF.format(root=tmp_path, hosts="".join(texts)))
    conf = read_config(tmp_path, tmp_path / "httpd.conf")
    found = sites.candidates(HostConfig(server="x", spool=tmp_path), conf)
    asked = {site.url.partition(":8080")[2] for site in found}
    assert asked == {"/", "/cgi-sys/defaultwebpage.cgi", "/cgi-bin/index.pl"}


def alone(lab_made: Field) -> Field:
    """The same server with no site named in the agent's configuration."""
    lab_made.config = replace(lab_made.config, sites=())
    lab_made.server = RealServer(lab_made.config)
    remember(lab_made.config)
    return lab_made


@pytest.mark.lab
def test_a_server_with_no_site_named_has_one_of_each_kind_asked(make_lab: MakeLab) -> None:
    field = alone(Field(make_lab().up()))
    answers = field.server.sites()
    assert {"static", "cgi", "php ea-php", "tls static", "tls cgi"} <= {a.kind for a in answers}
    assert {answer.status for answer in answers} <= {200, 301}, answers


@pytest.mark.lab
def test_a_handler_of_php_that_breaks_alone_is_noticed_with_no_site_named(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """One domain of many has another version of PHP, and what runs that one is not there under
    event: httpd would hand out its source."""
    field = alone(Field(make_lab().up()))
    www, port = field.lab.root / "var/www", field.lab.setup.ports.http
    hosts = []
    for name in ("first", "second", "third", "older"):
        page(www, f"{name}/index.php", "<?php\nheader('Content-Type: text/plain');\necho 'ran';\n")
        hosts.append(
            f"<VirtualHost 127.0.0.1:{port}>\nServerName {name}.test\nDocumentRoot {www}/{name}\n"
            "AddHandler application/x-httpd-ea-php .php\n"
            "Action application/x-httpd-ea-php /cgi-sys/ea-php\n"
            f'<Directory "{www}/{name}">\nAllowOverride All\n</Directory>\n</VirtualHost>\n'
        )
    hosts[-1] = hosts[-1].replace("AddHandler application/x-httpd-ea-php .php\n", "")
    page(www, "older/.htaccess", "AddHandler application/x-httpd-ea-php74 .php\n")
    action = "Action application/x-httpd-ea-php74 /cgi-sys/ea-php\n"
    drop_in(
        field.lab,
        "".join(hosts) + f"<IfModule !mpm_event_module>\n{action}</IfModule>\n",
    )
    field.lab.down()
    field.lab.up()
    seen = {site.host: site for site in field.server.sites() if site.kind.startswith("php")}
    assert seen["older.test"].kind == "php ea-php74"
    assert seen["older.test"].status == 200
    assert "third.test" not in seen
    ending = record_ending(run(field, "one handler of PHP breaks"))
    assert (ending.end, ending.outcome) == (BEFORE, "restored"), ending
    assert "older.test (php ea-php74)" in sentence(field)


def test_a_stop_is_heard_while_sites_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIMIT", "LIMIT_OF_ALL"):
        monkeypatch.setattr(sites, name, 3600.0)
    wanted = threading.Event()
    threading.Timer(0.3, wanted.set).start()
    with Dripping(DRIPS["the body"]) as port, pytest.raises(Stopped):
        sites.probe([SiteAnswer(f"http://127.0.0.1:{port}/", "", "static")], wanted.is_set, 3600.0)


def test_all_sites_together_have_their_time_too() -> None:
    with Dripping(DRIPS["the body"]) as port:
        slow = SiteAnswer(f"http://127.0.0.1:{port}/", "slow.test", "static")
        found = sites.probe([slow] * 20, limit=0.3)
    assert all(site.error for site in found)
    assert "took too long" in found[-1].error


TENANT = """\
#!/bin/sh
# The first {steady} calls are answered at once; what follows is the owner's own idea.
echo >> {folder}/calls
calls=$(wc -l < {folder}/calls)
printf 'Content-Type: text/plain\\r\\n\\r\\n'
if [ "$calls" -le {steady} ]; then echo fine; exit 0; fi
{then}
"""
DRIP = "while :; do printf x; sleep 2; done"


def with_tenant(field: Field, steady: int, then: str) -> Field:
    """The same server with one more site, whose owner means no good."""
    folder = field.lab.root / "var/www/tenant"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    page(folder, "calls", "", 0o666)
    script = TENANT.format(steady=steady, folder=folder, then=then)
    page(folder, "index.cgi", script, 0o755)
    port = field.lab.setup.ports.http
    drop_in(
        field.lab,
        f"<VirtualHost 127.0.0.1:{port}>\nServerName tenant.test\n"
        f'ScriptAlias / "{folder}/index.cgi/"\n</VirtualHost>\n',
    )
    field.lab.down()
    field.lab.up()
    site = {"url": f"http://127.0.0.1:{port}/", "host": "tenant.test", "kind": "cgi"}
    field.config = replace(field.config, sites=(*field.config.sites, site))
    field.server = RealServer(field.config)
    remember(field.config)
    return field


@pytest.mark.lab
def test_a_site_that_answers_unlike_itself_is_no_witness(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """It has another length with every call, so no change of the server can be read from it."""
    more = 'head -c "$((calls * 5000))" /dev/zero'
    field = with_tenant(Field(make_lab().up()), 1, more)
    found = {site.host: site for site in field.server.sites()}
    assert "differently" in found["tenant.test"].error
    ending = record_ending(run(field, "a site answers unlike itself"))
    assert (ending.end, ending.outcome) == (AS_PLANNED, "succeeded"), ending


@pytest.mark.lab
def test_a_site_that_drips_after_the_change_neither_holds_it_nor_spoils_its_undo(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    # Two calls each of the test's own looks and of preflight are fine.
    field = with_tenant(Field(make_lab().up()), 4, DRIP)
    ending = record_ending(run(field, "a site drips after the change"))
    assert (ending.end, ending.outcome) == (BEFORE, "restored"), ending
    assert "tenant.test" in sentence(field)
