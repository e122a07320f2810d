"""Installs EasyApache 4 in ``/`` of a machine. Runs inside it before it boots, with the machine's
own Python: ``python3 -m lab.machine.furnish``, or ``… slow SECONDS`` in a booted one.

The packages of cPanel's default profile are installed by dnf into ``/`` from the lab's repository;
then the machine gets the other parts of a cPanel server: sites, httpd.service, the scripts, the
hook that restarts httpd after a transaction, and log rotation.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lab import apache, hooks, installroot, website
from lab.catalog import profile_packages
from lab.pristine import OPERATING_SYSTEM
from lab.process import run
from lab.repository import Repository, Variant, repository
from lab.system import distribution, web_identity

ROOT = Path("/")
FILES = Path(__file__).resolve().parent / "files"
MPMS = ("event", "worker", "prefork")


def furnish() -> None:
    machine, source = distribution(), repository()
    for name in ("etc/dnf/vars", "etc/dnf/plugins", "etc/yum.repos.d"):
        (ROOT / name).mkdir(parents=True, exist_ok=True)
    usual = installroot.dnf_conf(Path("/nowhere")).splitlines()
    own = [line for line in usual if "/nowhere" not in line]
    (ROOT / "etc/dnf/dnf.conf").write_text("\n".join(own) + "\n", encoding="utf-8")
    (ROOT / "etc/dnf/vars/releasever").write_text(f"{installroot.RELEASE}\n", encoding="utf-8")
    point_to(source)
    names = [*profile_packages("default"), *OPERATING_SYSTEM]
    run(["dnf", "-y", "--color=never", "install", *names])
    website.write_content(ROOT, machine.php_cgi)
    hooks.install_scripts(ROOT)
    _hook()
    apache.make_certificate(ROOT)
    _configuration(machine.php_cgi is not None)
    _scripts()
    run(["gpgconf", "--kill", "all"], check=False)
    for ring in ROOT.glob("var/cache/dnf/*/pubring"):
        run(["gpgconf", "--homedir", ring, "--kill", "all"], check=False)


def point_to(source: Repository) -> None:
    text = installroot.repo_file(source)
    (ROOT / "etc/yum.repos.d/EA4.repo").write_text(text, encoding="utf-8")


def slow(seconds: int) -> None:
    """Set the duration of the scriptlets of the MPMs' packages; 0: normal."""
    faults = tuple((f"ea-apache24-mod_mpm_{mpm}", f"slowpost={seconds}") for mpm in MPMS)
    point_to(repository(Variant(faults=faults) if seconds else Variant()))
    for cache in ROOT.glob("var/cache/dnf/*"):
        shutil.rmtree(cache) if cache.is_dir() else cache.unlink()


def _hook() -> None:
    """cPanel's plugin of dnf, in the folder where this machine's dnf looks for plugins."""
    plugins = ROOT / "usr/lib/python3/dist-packages/dnf-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    hooks.install_hooks(ROOT, plugins)
    shutil.move(plugins / "conf/universal-hooks.conf", ROOT / "etc/dnf/plugins")


def _configuration(php_cgi: bool) -> None:
    user, group = web_identity()
    ports = website.Ports(80, 443)
    text = website.httpd_conf(ROOT, ports, user, group, php_cgi=php_cgi, accounts=True)
    text = text.replace("Listen 127.0.0.1:80\n", "Listen 0.0.0.0:80\n")
    text = text.replace("Listen 127.0.0.1:443 https", "Listen 0.0.0.0:443 https")
    if os.environ.get("IPV6"):  # as cPanel writes it where IPv6 is on
        text = text.replace("Listen 0.0.0.0:80\n", "Listen 0.0.0.0:80\nListen [::]:80\n")
    for name in ("etc/apache2/conf/httpd.conf", "var/cpanel/conf/apache/main"):
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")


def _scripts() -> None:
    # EasyApache 4's httpd has conf/httpd.conf compiled in, Debian's another name.
    named = ROOT / "etc/apache2/apache2.conf"
    named.unlink(missing_ok=True)
    named.symlink_to("conf/httpd.conf")
    # /run is empty after a boot.
    (ROOT / "usr/lib/tmpfiles.d/ea-apache24.conf").write_text(
        "d /run/apache2 0755 root root\n", encoding="ascii"
    )
    units = ROOT / "etc/systemd/system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    for name in ("httpd.service", "chkservd.service", "one-boot-id.service"):
        shutil.copy(FILES / name, units)
    (wanted / "httpd.service").symlink_to("../httpd.service")
    (units / "sysinit.target.wants").mkdir(exist_ok=True)
    (units / "sysinit.target.wants/one-boot-id.service").symlink_to("../one-boot-id.service")
    scripts = ROOT / "usr/local/cpanel/scripts"
    for name in ("restartsrv_httpd", "chkservd", "rotate_httpd_logs"):
        shutil.copy(FILES / name, scripts / name)
        (scripts / name).chmod(0o755)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["slow"]:
        slow(int(arguments[1]))
    else:
        furnish()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
