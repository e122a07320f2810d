"""The lab's requirements on this machine, and where the distribution has them.

Runs under any Python 3.9 with nothing installed, because it is used *before* there is a virtual
environment: ``python3 -m lab.system --list`` prints the operating system packages, one per line;
``--missing`` only those not installed; ``--check`` a sentence on whether the lab can run.
"""

from __future__ import annotations

import grp
import os
import platform
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEBIAN_PACKAGES = (
    "dnf",
    "rpm",
    "createrepo-c",
    "gnupg",
    "openssl",
    "apache2-bin",
    "apache2-suexec-pristine",
    "libapache2-mpm-itk",
    "libapache2-mod-php8.2",
    "php8.2-cgi",
    "libssl3",
    "procps",
    "util-linux",
)
"""``--no-install-recommends`` matters: recommendations include the whole ``apache2`` service.
libssl3 is named because apache2-bin may be built against a newer one than the base system
carries."""

EL_PACKAGES = (
    "dnf",
    "rpm-build",
    "rpm-sign",
    "createrepo_c",
    "gnupg2",
    "openssl",
    "httpd",
    "mod_ssl",
    "mod_http2",
    "mod_session",
    "mod_ldap",
    "mod_proxy_html",
    "mod_lua",
    "php-cli",
    "procps-ng",
    "util-linux",
)

_TOOLS = ("rpm", "rpmbuild", "rpmsign", "createrepo_c", "dnf", "gpg", "gpgconf", "openssl", "cp")


@dataclass(frozen=True)
class Distribution:
    """Where this machine's own Apache and PHP are.

    ``libphp`` and ``php_cgi`` are None where the distribution does not have them: then the
    lab's PHP packages hold no module, and PHP pages are not served.
    """

    name: str
    httpd: Path
    modules: Path
    packages: tuple[str, ...]
    install_command: tuple[str, ...]
    libphp: Path | None = None
    php_cgi: Path | None = None

    def module(self, name: str) -> Path | None:
        """The file of one module, as ``mod_cgi`` or ``mpm_itk``; None where there is none."""
        path = self.modules / f"{name}.so"
        return path if path.is_file() else None


def distribution() -> Distribution:
    """The distribution of this machine, whether or not everything is installed yet."""
    facts = _os_release()
    name = facts.get("PRETTY_NAME", platform.system())
    family = {facts.get("ID", ""), *facts.get("ID_LIKE", "").split()}
    if family & {"rhel", "fedora", "centos", "almalinux", "rocky"}:
        modules = Path("/usr/lib64/httpd/modules")
        return Distribution(
            name=name,
            httpd=Path("/usr/sbin/httpd"),
            modules=modules,
            packages=EL_PACKAGES,
            install_command=("dnf", "-y", "install"),
            libphp=_newest(modules, "libphp*.so"),
            php_cgi=_program("php-cgi"),
        )
    modules = Path("/usr/lib/apache2/modules")
    return Distribution(
        name=name,
        httpd=Path("/usr/sbin/apache2"),
        modules=modules,
        packages=_debian_packages(),
        install_command=("apt-get", "install", "-y", "--no-install-recommends"),
        libphp=_newest(modules, "libphp*.so"),
        php_cgi=_program("php-cgi") or _newest(Path("/usr/bin"), "php-cgi[0-9]*"),
    )


def missing(place: Distribution | None = None) -> list[str]:
    """Sentences on the lab's missing requirements; empty if it can run.

    ITK, the PHP module and php-cgi are optional: without them the lab has fewer real modules and
    notes that in the configuration files of those packages.
    """
    place = place or distribution()
    lacks = [f"the program {tool}" for tool in _TOOLS if _program(tool) is None]
    if not place.httpd.is_file():
        lacks.append(f"Apache's {place.httpd}")
    mpms = ("mod_mpm_event", "mod_mpm_worker", "mod_mpm_prefork")
    lacks += [f"Apache's {mpm}.so" for mpm in mpms if place.module(mpm) is None]
    if _program("dnf") is not None and not _can_import_dnf():
        lacks.append("the Python module dnf of /usr/bin/python3")
    if os.geteuid() != 0 and not _can_be_root_of_itself():
        lacks.append("root rights (user namespaces are disabled)")
    return lacks


def explain(lacks: list[str], place: Distribution | None = None) -> str:
    """One paragraph: what is missing and the command that installs it."""
    place = place or distribution()
    command = " ".join((*place.install_command, *place.packages))
    return f"The lab needs {', '.join(lacks)}. As root: {command}"


def web_identity() -> tuple[str, str]:
    """User and group httpd's children run as: nobody, as EasyApache 4 has it, and its group."""
    for user in ("nobody", "www-data", "apache"):
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            continue
        return user, grp.getgrgid(account.pw_gid).gr_name
    raise LookupError("this machine has no account nobody, www-data or apache")


def _os_release() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: value.strip().strip("\"'") for key, value in pairs}


def _program(name: str) -> Path | None:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin")
    return Path(found) if found else None


def _newest(folder: Path, pattern: str) -> Path | None:
    found = sorted(folder.glob(pattern)) if folder.is_dir() else []
    return found[-1] if found else None


def _debian_packages() -> tuple[str, ...]:
    """Debian 12 names its PHP 8.2; in other releases the version is detected."""
    version = _os_release().get("VERSION_ID", "12")
    php, ssl = {
        "13": ("8.4", "libssl3t64"),
        "22.04": ("8.1", "libssl3"),
        "24.04": ("8.3", "libssl3t64"),
    }.get(version, ("8.2", "libssl3"))
    return tuple(
        ssl if name == "libssl3" else name.replace("php8.2", f"php{php}")
        for name in DEBIAN_PACKAGES
    )


def _installed(package: str) -> bool:
    query = (
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
        if shutil.which("dpkg-query")
        else ["rpm", "-q", package]
    )
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.returncode == 0 and "not-installed" not in answer.stdout


def _can_import_dnf() -> bool:
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('dnf') is None)"
    return subprocess.run(["/usr/bin/python3", "-c", look], check=False).returncode == 0


def _can_be_root_of_itself() -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = subprocess.run(["unshare", "-Ur", "true"], capture_output=True, check=False)
    return probe.returncode == 0


def main(arguments: list[str]) -> int:
    place = distribution()
    if arguments == ["--list"]:
        _report(place.packages)
        return 0
    if arguments == ["--missing"]:
        _report([name for name in place.packages if not _installed(name)])
        return 0
    if arguments == ["--check"]:
        lacks = missing(place)
        _report([explain(lacks, place) if lacks else f"The lab can run on {place.name}."])
        return 1 if lacks else 0
    _report(["usage: python3 -m lab.system --list | --missing | --check"])
    return 2


def _report(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
