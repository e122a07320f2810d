"""Virtual hosts as cPanel writes them are no reason for a finding, in either direction."""

from __future__ import annotations

from pathlib import Path

from easyapache.ea4.mpm import MPM, Choice
from easyapache.ea4.plan import make_plan
from easyapache.ea4.relations import load_catalogue
from lab.server import Lab
from lab.vhosts import many_hosts, stock_host
from tests.host.conftest import Manage
from tests.host.managed import Managed

ABOUT_FILES = {
    "prefork_only_directives",
    "threaded_only_directives",
    "guarded_mpm_lines",
    "misnamed_sections",
    "foreign_mpm_file",
    "config_unread",
    "configuration_broken",
}


def stock(lab: Lab) -> None:
    ssl, root = lab.root / "var/cpanel/ssl", lab.root / "var/www/static"
    ports = lab.setup.ports
    text = many_hosts(3, ports.http, root)
    pair = (ssl / "lab.crt", ssl / "lab.key")
    text += stock_host("tls.example", ports.https, root, pair=pair)
    (lab.root / "etc/apache2/conf.d/zz-stock.conf").write_text(text)
    lab.down()
    lab.up()


def findings(managed: Managed, mpm: str) -> set[str]:
    goal, transaction = managed.plan(mpm)
    assert list(managed.server.obstacles(goal, transaction)) == []
    plan = make_plan(managed.server.inspect(), Choice(MPM(mpm)), load_catalogue())
    return {finding.code for finding in plan.findings} & ABOUT_FILES


def test_a_stock_virtual_host_goes_both_ways_without_a_finding(make_managed: Manage) -> None:
    managed = make_managed(extra=["ea-apache24-mod_suexec"])
    assert managed.lab is not None
    stock(managed.lab)
    assert managed.real.httpd.test().ok
    for mpm in ("event", "prefork"):
        assert findings(managed, mpm) == set()
        managed.switch(mpm)
        seen = managed.server.inspect().running
        assert seen is not None
        assert seen.mpm == mpm
    tls = {host.name: host.tls for host in managed.real.httpd.read().virtual_hosts()}
    assert tls["tls.example"] is True
    assert tls["d0.example"] is False


def test_the_program_of_suexec_is_there(make_managed: Manage) -> None:
    managed = make_managed(extra=["ea-apache24-mod_suexec"])
    assert managed.lab is not None
    stock(managed.lab)
    log = Path(managed.config.error_log).read_text()
    assert "suEXEC mechanism enabled" in log
