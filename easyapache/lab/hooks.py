"""cPanel's side of the server: its scripts, and (when switched on) its universal hooks.

On a cPanel server a dnf plugin runs scripts after every transaction with an ``ea-*`` package,
and one of them stops and starts httpd when Apache or one of its modules was in it, also after
a transaction that failed halfway. Whoever drives dnf has to know, so the lab does the same:
same folders, same plugin name, same script names, same flag file.
"""

from __future__ import annotations

from pathlib import Path

HOOKS = "etc/dnf/universal-hooks/multi_pkgs/transaction/ea-__WILDCARD__"
NO_RESTART_FLAG = "var/cpanel/ea4-disable-500-restartsrv_httpd-for-glibc"
PLUGIN = "universal-hooks"


def install_scripts(root: Path) -> None:
    """``restartsrv_httpd`` and ``rebuildhttpdconf`` where cPanel has them. They find the server
    from their own place, so a copied lab's scripts work on the copy."""
    folder = root / "usr/local/cpanel/scripts"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("restartsrv_httpd", _RESTARTSRV), ("rebuildhttpdconf", _REBUILD)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)


def install_hooks(root: Path, plugins: Path) -> None:
    """The plugin and the hook scripts. ``--disableplugin=universal-hooks`` switches them off."""
    (plugins / "universal_hooks.py").write_text(_PLUGIN, encoding="utf-8")
    (plugins / "conf").mkdir(exist_ok=True)
    (plugins / "conf/universal-hooks.conf").write_text("[main]\nenabled=1\n", encoding="utf-8")
    folder = root / HOOKS
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("020-rebuild-httpdconf", _HOOK_REBUILD),
        ("500-restartsrv_httpd", _HOOK_RESTART),
    ):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)


_HERE = """\
here=$(cd "$(dirname "$0")" && pwd)
root=${here%%%s}
"""

_RESTARTSRV = (
    "#!/bin/sh\n# restartsrv_httpd [--check|--stop|--start|--restart|--hard|--graceful]\n"
    + _HERE % "/usr/local/cpanel/scripts"
    + """\
pid_file=$root/run/apache2/httpd.pid
httpd() { "$root/usr/sbin/httpd" -d "$root/etc/apache2" -f conf/httpd.conf "$@"; }
running() { [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }
stop() {
    running || return 0
    pid=$(cat "$pid_file")
    kill -TERM "$pid"
    tries=0
    while [ -e "$pid_file" ] && [ $tries -lt 300 ]; do tries=$((tries + 1)); sleep 0.1; done
    [ ! -e "$pid_file" ]
}
start() {
    if [ -e "$root/etc/httpddisable" ] || [ -e "$root/etc/apachedisable" ]; then
        echo "httpd is disabled" >&2
        return 1
    fi
    running || httpd -k start
}
case ${1:---restart} in
    --check) httpd -t ;;
    --stop) stop ;;
    --start) start ;;
    --graceful|--reload) if running; then httpd -k graceful; else start; fi ;;
    --restart|--hard) stop && start ;;
    *) echo "restartsrv_httpd: unknown option $1" >&2; exit 2 ;;
esac
"""
)

_REBUILD = (
    "#!/bin/sh\n# rebuildhttpdconf [--preview]: httpd.conf anew from what is stored\n"
    + _HERE % "/usr/local/cpanel/scripts"
    + """\
conf=$root/etc/apache2/conf
cp "$root/var/cpanel/conf/apache/main" "$conf/httpd-preview.conf" || exit 1
[ "$1" = --preview ] && exit 0
if ! "$root/usr/sbin/httpd" -d "$root/etc/apache2" -f conf/httpd-preview.conf -t; then
    echo "the new configuration fails its test; the old one stays" >&2
    exit 1
fi
mv "$conf/httpd-preview.conf" "$conf/httpd.conf" && echo "Built $conf/httpd.conf OK"
"""
)

_HOOK_REBUILD = (
    "#!/bin/sh\n" + _HERE % f"/{HOOKS}" + 'exec "$root/usr/local/cpanel/scripts/rebuildhttpdconf"\n'
)

_HOOK_RESTART = (
    "#!/bin/sh\n# --pkg_list=FILE: the packages of the transaction, one per line\n"
    + _HERE % f"/{HOOKS}"
    + f"""\
[ -e "$root/{NO_RESTART_FLAG}" ] && exit 0
list=${{1#--pkg_list=}}
scripts=$root/usr/local/cpanel/scripts
if grep -Eq '^ea-apache24(-mod[_-].*)?$' "$list"; then
    "$scripts/restartsrv_httpd" --stop
    "$scripts/restartsrv_httpd" --start
else
    "$scripts/restartsrv_httpd" --restart
fi
"""
)

_PLUGIN = '''\
"""Runs the scripts of universal-hooks after a transaction with a matching package."""

import os
import subprocess
import tempfile

import dnf


class UniversalHooks(dnf.Plugin):
    name = "universal-hooks"

    def transaction(self):
        """Called after every transaction, also after one whose elements failed."""
        names = sorted(
            {item.name for item in self.base.transaction if item.name.startswith("ea-")}
        )
        root = self.base.conf.installroot
        folder = os.path.join(
            root, "etc/dnf/universal-hooks/multi_pkgs/transaction/ea-__WILDCARD__"
        )
        if not names or not os.path.isdir(folder):
            return
        with tempfile.NamedTemporaryFile("w", suffix=".pkg_list") as packages:
            packages.write("\\n".join(names) + "\\n")
            packages.flush()
            for script in sorted(os.listdir(folder)):
                path = os.path.join(folder, script)
                if os.access(path, os.X_OK):
                    subprocess.call([path, "--pkg_list=" + packages.name])
'''
