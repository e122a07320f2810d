"""``Lab``: one real EasyApache 4-like server in a folder, from nothing to serving pages.

    lab = Lab.create(folder)          # default profile: prefork, ruid2, cgi
    lab.up()                          # httpd answers on lab.address
    HostConfig for the drivers:       lab.host_config(spool)
    lab.down()

``Lab.create`` copies a pristine server that is made once per machine and stock, so a second
one takes a fraction of a second. Every lab has its own ports, package database, package
manager configuration and processes; nothing outside its folder is written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from easyapache.agent.config import HostConfig
from lab import apache, hooks, installroot, website
from lab.installroot import Installroot
from lab.ports import claim_ports, keep_ports
from lab.pristine import STOCKS, pristine_server
from lab.process import LabError, run
from lab.repository import Repository, Variant, cache_folder, repository
from lab.system import distribution, explain, missing, web_identity
from lab.website import Ports, Site

L = TypeVar("L", bound="Lab")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a lab was made as; kept in its ``lab.json``."""

    stock: str
    ports: Ports
    repository: str
    extra: tuple[str, ...] = ()
    hooks: bool = False
    yum: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """What a lab is at this moment. ``running`` is httpd's own answer; None when it is down."""

    address: str
    root: Path
    installed: tuple[str, ...]
    running: str | None
    itk: bool
    pid: int | None

    def as_json(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "root": str(self.root),
            "installed": self.installed[0] if len(self.installed) == 1 else list(self.installed),
            "running": self.running,
            "itk": self.itk,
            "pid": self.pid,
        }


@dataclass(frozen=True)
class Lab:
    """One lab. Make it with ``create``, ``clone`` or ``open``."""

    folder: Path
    setup: Setup

    # -- making ------------------------------------------------------------------------
    @classmethod
    def create(
        cls,
        folder: Path,
        stock: str = "default",
        *,
        extra: Sequence[str] = (),
        hooks: bool = False,
        yum: bool = False,
        variant: Variant | None = None,
    ) -> Self:
        """Make a server in an empty or new folder.

        ``stock``: a key of STOCKS. ``extra``: packages to install on top. ``hooks``: cPanel's
        hook that restarts httpd after a transaction. ``yum``: hand out ``yum`` as the package
        manager. ``variant``: the repository it is made from and keeps. Raises LabError.
        """
        if stock not in STOCKS:
            raise LabError(f"unknown stock {stock!r}; known: {', '.join(sorted(STOCKS))}")
        lacks = missing()
        if lacks:
            raise LabError(explain(lacks))
        folder = folder.absolute()
        Installroot(folder).refuse_too_deep()
        source = repository(variant)
        pristine = pristine_server(source, stock, tuple(sorted(set(extra))))
        setup = Setup(
            stock=stock,
            ports=claim_ports(folder, cache_folder()),
            repository=str(source.folder),
            extra=tuple(sorted(set(extra))),
            hooks=hooks,
            yum=yum,
        )
        installroot.copy(pristine, folder)
        return _settled(cls(folder, setup))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The lab that is in a folder. Raises LabError when there is none."""
        folder = folder.absolute()
        try:
            data = json.loads((folder / "lab.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise LabError(f"there is no lab in {folder}; create one: manage.py lab up") from error
        ports = Ports(**data.pop("ports"))
        return cls(folder, Setup(**{**data, "ports": ports, "extra": tuple(data["extra"])}))

    def clone(self, folder: Path) -> Self:
        """An independent copy with its own ports. The lab must be down, or the copy would
        have the other's process id."""
        if self.pid is not None:
            raise LabError("a running lab can't be copied; stop it first: manage.py lab down")
        folder = folder.absolute()
        Installroot(folder).refuse_too_deep()
        setup = replace(self.setup, ports=claim_ports(folder, cache_folder()))
        installroot.copy(self.folder, folder)
        return _settled(type(self)(folder, setup))

    # -- being used --------------------------------------------------------------------
    @property
    def place(self) -> Installroot:
        return Installroot(self.folder)

    @property
    def root(self) -> Path:
        return self.place.root

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.setup.ports.http}"

    @property
    def status_url(self) -> str:
        return f"{self.address}{website.STATUS_PATH}"

    @property
    def pid(self) -> int | None:
        """The process id of the running httpd, or None."""
        return apache.running_pid(self.root)

    def up(self) -> Self:
        """Start httpd and wait until it answers. A running one is left alone.

        A repository that has been cleared away with the user's cache is built again first.
        """
        if not Path(self.setup.repository).is_dir():
            self.use_repository(Variant())
        if self.pid is None:
            keep_ports(self.folder, self.setup.ports, cache_folder())
            apache.start(self.root, self.status_url)
        return self

    def down(self) -> Self:
        """Stop httpd and everything else that runs from this folder."""
        apache.stop(self.root)
        self.place.end_key_agents()
        return self

    def destroy(self) -> None:
        """Take it down and remove the folder."""
        self.down()
        installroot.remove(self.folder)

    def reset(self, stock: str | None = None) -> Self:
        """Back to a pristine server at the same address, running when it ran before."""
        ran = self.pid is not None
        self.down()
        stock = stock or self.setup.stock
        extra = self.setup.extra if stock == self.setup.stock else ()
        if stock not in STOCKS:
            raise LabError(f"unknown stock {stock!r}; known: {', '.join(sorted(STOCKS))}")
        source = repository()
        pristine = pristine_server(source, stock, extra)
        for part in pristine.iterdir():
            old = self.folder / part.name
            if old.is_dir():
                shutil.rmtree(old)
            run(["cp", "--reflink=auto", "--sparse=always", "-a", part, self.folder])
        setup = replace(self.setup, stock=stock, extra=extra, repository=str(source.folder))
        fresh = _settled(type(self)(self.folder, setup))
        return fresh.up() if ran else fresh

    def status(self) -> Status:
        names = self.packages()
        prefix = "ea-apache24-mod_mpm_"
        mpms = tuple(
            sorted(
                name.removeprefix(prefix)
                for name in names
                if name.startswith(prefix) and not name.endswith("_itk")
            )
        )
        seen = apache.read_status(self.status_url) if self.pid is not None else {}
        itk = "mpm-itk/" in seen["ServerVersion"] if seen else f"{prefix}itk" in names
        return Status(self.address, self.root, mpms, seen.get("ServerMPM"), itk, self.pid)

    def packages(self) -> frozenset[str]:
        """Names of the installed packages, from the rpm database."""
        return frozenset(self.rpm("-qa", "--qf", "%{NAME}\\n").split())

    def dnf(self, *arguments: str, check: bool = True) -> str:
        """Run dnf (or yum, where the lab is set so) on this server; returns its output."""
        argv = [*self.place.package_manager(yum=self.setup.yum), *arguments]
        done = run(argv, environment=self.place.environment, check=check)
        return done.stdout + done.stderr

    def rpm(self, *arguments: str, check: bool = True) -> str:
        argv = [*self.place.rpm(), *arguments]
        done = run(argv, environment=self.place.environment, check=check)
        return done.stdout + done.stderr

    def httpd(self, *arguments: str, check: bool = True) -> str:
        done = run([*apache.program(self.root), *arguments], check=check)
        return done.stdout + done.stderr

    def fetch(self, site: Site) -> apache.Answer:
        """Request one site as a visitor would."""
        port = self.setup.ports.https if site.tls else self.setup.ports.http
        return apache.fetch(port, site.host, site.path, tls=site.tls)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites available on this machine (PHP only if installed)."""
        place = distribution()
        php = place.php_cgi is not None or place.libphp is not None
        return tuple(site for site in website.SITES if php or site.kind != "php")

    def use_repository(self, variant: Variant) -> Self:
        """Put another repository in place, as if the mirror had changed."""
        source = repository(variant)
        self.place.point_to(source)
        self.place.forget_metadata()
        setup = replace(self.setup, repository=str(source.folder))
        return _kept(type(self)(self.folder, setup))

    # -- for the drivers ---------------------------------------------------------------
    def host_config(self, spool: Path | None = None, server: str = "lab") -> HostConfig:
        """What the drivers need to manage this lab as they would a real server."""
        root = self.root
        return HostConfig(
            server=server,
            spool=spool or self.folder / "spool",
            package_manager=self.place.package_manager(yum=self.setup.yum),
            rpm=self.place.rpm(),
            httpd=apache.program(root),
            root=root,
            server_root=root / "etc/apache2",
            pid_file=root / apache.PID_FILE,
            error_log=root / apache.ERROR_LOG,
            status_url=self.status_url,
            sites=tuple(
                {"url": self._url(site), "host": site.host, "kind": site.kind}
                for site in self.sites
            ),
            restart_script=(str(root / "usr/local/cpanel/scripts/restartsrv_httpd"),),
            environment=self.place.environment,
        )

    def write_agent_config(
        self, spool: Path, server: str = "lab", path: Path | None = None
    ) -> Path:
        """Write the agent's configuration file (``agent.toml`` in the lab's folder, mode 600)."""
        path = path or self.folder / "agent.toml"
        config = self.host_config(spool, server)
        names = (
            *("server", "spool", "package_manager", "rpm", "httpd", "root", "server_root"),
            *("pid_file", "error_log", "status_url", "sites", "restart_script", "environment"),
        )
        lines = [f"{name} = {_toml(getattr(config, name))}\n" for name in names]
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text("".join(lines), encoding="utf-8")
        return path

    # -- inside ------------------------------------------------------------------------
    def _url(self, site: Site) -> str:
        ports = self.setup.ports
        scheme, port = ("https", ports.https) if site.tls else ("http", ports.http)
        return f"{scheme}://127.0.0.1:{port}{site.path}"


def _settled(lab: L) -> L:
    """Write everything that names this lab's folder or its ports."""
    user, group = web_identity()
    apache.refuse_unreachable(lab.folder, user)
    source = Repository(Path(lab.setup.repository))
    if not source.packages.is_dir():
        raise LabError(f"the repository {source.packages} is missing; use: manage.py lab reset")
    lab.place.point_to(source)
    conf = website.httpd_conf(
        lab.root,
        lab.setup.ports,
        user,
        group,
        php_cgi=distribution().php_cgi is not None,
        accounts=apache.may_change_user(),
    )
    for name in ("etc/apache2/conf/httpd.conf", "var/cpanel/conf/apache/main"):
        path = lab.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(conf, encoding="utf-8")
    if lab.setup.hooks:
        hooks.install_hooks(lab.root, lab.place.folder / "plugins")
    return _kept(lab)


def _kept(lab: L) -> L:
    text = json.dumps(asdict(lab.setup), indent=1) + "\n"
    (lab.folder / "lab.json").write_text(text, encoding="utf-8")
    return lab


def _toml(value: Any) -> str:
    """A value as TOML. (JSON strings are TOML strings; tables are written inline.)"""
    if isinstance(value, (str, Path)):
        return json.dumps(str(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(_toml(item) for item in value) + "]"
