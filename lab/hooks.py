"""cPanel's side of the server: its scripts, and (when switched on) its universal hooks.

On a cPanel server a dnf plugin runs scripts after every transaction with an ``ea-*`` package. One
of them stops and starts httpd if Apache or one of its modules was in it, even after a failed
transaction. Programs that run dnf must handle that, so the lab has the same folders, plugin name,
script names and flag file.
"""

from __future__ import annotations

from pathlib import Path

BASE = "etc/dnf/universal-hooks"
HOOKS = f"{BASE}/multi_pkgs/transaction/ea-__WILDCARD__"
NOTES = "var/log/hooks"
"""The log of the lab's scripts that do nothing else: one line per run, with the script's path and
the packages it got."""
NO_RESTART_FLAG = "var/cpanel/ea4-disable-500-restartsrv_httpd-for-glibc"


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
    _script(root / HOOKS / "020-rebuild-httpdconf", _HOOK_REBUILD)
    _script(root / HOOKS / "500-restartsrv_httpd", _HOOK_RESTART)
    for place in _NOTING:
        _script(root / BASE / place, _NOTE.replace("@ROOT@", str(root)))


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


_NOTING = (
    "multi_pkgs/pre_transaction/ea-__WILDCARD__/001-ensure-nobody",
    "multi_pkgs/transaction/ea-php__WILDCARD__/490-restartsrv_apache_php_fpm",
    "multi_pkgs/transaction/__WILDCARD__-php__WILDCARD__/009-phpconf",
    "multi_pkgs/transaction/ea-apache24-config/000-local_template_check",
    "pkgs/ea-apache24-mod_mpm_event/transaction/100-event",
    "transaction/900-any",
)
"""Places of cPanel's other scripts, and one of each further kind that the plugin knows."""

_NOTE = f"""\
#!/bin/sh
place=${{0#@ROOT@/{BASE}/}}
list=${{1#--pkg_list=}}
echo "$place $([ -n "$list" ] && tr '\\n' ' ' <"$list")" >>"@ROOT@/{NOTES}"
"""

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
"""Runs the scripts of universal-hooks before and after a transaction."""

import fnmatch
import os
import subprocess
import tempfile

import dnf


class UniversalHooks(dnf.Plugin):
    name = "universal-hooks"

    def pre_transaction(self):
        self.fire("pre_transaction")

    def transaction(self):
        """Called after every transaction, also after one whose elements failed."""
        self.fire("transaction")

    def fire(self, slot):
        base = os.path.join(self.base.conf.installroot, "etc/dnf/universal-hooks")
        names = sorted({item.name for item in self.base.transaction})
        with tempfile.NamedTemporaryFile("w", suffix=".pkg_list") as packages:
            packages.write("\\n".join(names) + "\\n")
            packages.flush()
            for name in names:
                self.run(os.path.join(base, "pkgs", name, slot))
            several = os.path.join(base, "multi_pkgs", slot)
            for folder in sorted(os.listdir(several)) if os.path.isdir(several) else ():
                if fnmatch.filter(names, folder.replace("__WILDCARD__", "*")):
                    self.run(os.path.join(several, folder), "--pkg_list=" + packages.name)
            self.run(os.path.join(base, slot))

    def run(self, folder, *arguments):
        for script in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            path = os.path.join(folder, script)
            if os.access(path, os.X_OK):
                subprocess.call([path, *arguments])
'''
