"""The root folder of the lab's server, and the programs that work on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.process import LabError, run
from lab.repository import Repository
from lab.system import Distribution

RELEASE = "9"
"""The release of Enterprise Linux the installroot claims to be."""

_LONGEST = 107 - len("/etc/apache2/run/cgid_sock.4194304")
"""A Unix socket's path ends at 107 bytes; httpd puts its process id behind mod_cgid's."""


@dataclass(frozen=True, slots=True)
class Installroot:
    """One installroot in its lab folder.

    Layout of the folder: ``root/`` is the server's ``/``; ``bin/`` holds its ``yum``;
    ``plugins/`` dnf's plugins; ``rpm/`` rpm's own configuration where the machine's would put
    the database elsewhere.
    """

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def dnf_conf(self) -> Path:
        return self.root / "etc/dnf/dnf.conf"

    @property
    def repo_file(self) -> Path:
        return self.root / "etc/yum.repos.d/EA4.repo"

    @property
    def environment(self) -> dict[str, str]:
        """What every rpm and dnf on this root needs to find its database."""
        config = self.folder / "rpm"
        return {"RPM_CONFIGDIR": str(config)} if config.exists() else {}

    def package_manager(self, *, yum: bool = False) -> tuple[str, ...]:
        """The argv prefix of dnf, or of yum, which is dnf under its older name."""
        program = str(self.folder / "bin/yum") if yum else "/usr/bin/dnf"
        return (
            *as_root(),
            program,
            *("-c", str(self.dnf_conf), "--installroot", str(self.root)),
            *("--releasever", RELEASE),
        )

    def rpm(self) -> tuple[str, ...]:
        return (*as_root(), "rpm", "--root", str(self.root))

    def refuse_too_deep(self) -> None:
        """Raise LabError when httpd could not serve from here. (A pristine server in the cache
        is only copied, so its own path may be longer.)"""
        if len(str(self.root)) > _LONGEST:
            raise LabError(
                f"{self.root} is too long a path by {len(str(self.root)) - _LONGEST} characters: "
                "the socket of mod_cgid would not fit. Choose a folder nearer to /."
            )

    def prepare(self, place: Distribution, repository: Repository) -> None:
        """Make the empty server: the folders and files no package owns."""
        for name in ("etc/dnf", "etc/yum.repos.d", "var/lib/rpm", "run", "usr/sbin", "tmp"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "var/run").symlink_to("../run")
        release = (
            'NAME="EasyApache 4 lab"\nID="ea4-lab"\nID_LIKE="rhel"\n'
            f'VERSION_ID="{RELEASE}"\nPRETTY_NAME="EasyApache 4 lab on {place.name}"\n'
        )
        (self.root / "etc/os-release").write_text(release, encoding="utf-8")
        for name in ("bin", "plugins", "plugins/conf"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "bin/yum").symlink_to("/usr/bin/dnf")
        self._fix_rpm_database()
        self.point_to(repository)

    def point_to(self, repository: Repository) -> None:
        """(Re)write dnf's configuration, which holds absolute paths, for this repository."""
        self.dnf_conf.write_text(dnf_conf(self.folder), encoding="utf-8")
        self.repo_file.write_text(repo_file(repository), encoding="utf-8")

    def install(self, packages: Sequence[str]) -> None:
        """Install as an administrator would; raises LabError with dnf's own words."""
        run(
            [*self.package_manager(), "-y", "--color=never", "install", *packages],
            environment=self.environment,
        )
        self.end_key_agents()

    def end_key_agents(self) -> None:
        """Checking a repository's signature leaves a gpg-agent behind for its keyring."""
        for ring in self.root.glob("var/cache/dnf/*/pubring"):
            run(["gpgconf", "--homedir", ring, "--kill", "all"], check=False)

    def forget_metadata(self) -> None:
        """As after ``dnf clean all``, and without the repository's own keyring."""
        self.end_key_agents()
        remove(self.root / "var/cache/dnf")

    def _fix_rpm_database(self) -> None:
        """Debian's rpm keeps its database under $HOME. A copy of its configuration with that line
        changed puts it into the installroot, for rpm and dnf."""
        if not run(["rpm", "-E", "%_dbpath"]).stdout.startswith(str(Path.home())):
            return
        source, target = Path("/usr/lib/rpm"), self.folder / "rpm"
        target.mkdir()
        for path in source.iterdir():
            if path.name != "macros":
                (target / path.name).symlink_to(path)
        macros = (source / "macros").read_text(encoding="utf-8").splitlines(keepends=True)
        changed = [
            "%_dbpath /var/lib/rpm\n" if line.split()[:1] == ["%_dbpath"] else line
            for line in macros
        ]
        (target / "macros").write_text("".join(changed), encoding="utf-8")


def dnf_conf(folder: Path) -> str:
    """dnf's configuration for the installroot in a lab folder."""
    return _DNF_CONF.format(folder=folder)


def repo_file(repository: Repository) -> str:
    """What makes dnf install from this repository."""
    return _REPO.format(packages=repository.packages, key=repository.key)


def as_root() -> tuple[str, ...]:
    """What makes rpm believe that it may own files: nothing for root, else a user namespace."""
    return () if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user")


def copy(source: Path, target: Path) -> None:
    """A copy of a whole lab folder, owners and times kept, without copying bytes where the
    file system can share them."""
    if target.exists() and any(target.iterdir()):
        raise LabError(f"{target} is not empty")
    if target.exists():
        target.rmdir()
    target.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "--reflink=auto", "--sparse=always", "-a", source, target])


def remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


_DNF_CONF = """\
[main]
gpgcheck=1
best=True
clean_requirements_on_remove=True
skip_if_unavailable=False
install_weak_deps=False
keepcache=0
plugins=1
pluginpath={folder}/plugins
pluginconfpath={folder}/plugins/conf
reposdir={folder}/root/etc/yum.repos.d
varsdir={folder}/root/etc/dnf/vars
module_platform_id=platform:el9
"""

_REPO = """\
[EA4]
name=EasyApache 4 (lab)
baseurl=file://{packages}
enabled=1
gpgcheck=1
repo_gpgcheck=1
gpgkey=file://{key}
"""
