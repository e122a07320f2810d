"""Restore a valid state of the packages, whatever state they are in.

The order has proved right on broken servers: first the package manager with the available files,
then reinstalling packages with missing files, last rpm itself without scriptlets. Each call runs
detached, like the transaction it undoes. Its result is read from the rpm database and the files: on
a broken server a package manager may print "Nothing to do" and exit with 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from easyapache.agent.config import HostConfig
from easyapache.agent.httpd.processes import described
from easyapache.agent.httpd.verification import MPMS, cgi_package, mpm_package
from easyapache.agent.packages import kit as kits
from easyapache.agent.packages.dnf import ALWAYS_PROTECTED, LOCKED, PackageManager
from easyapache.agent.packages.manager_locks import manager_at_work
from easyapache.agent.packages.rpm import RpmDatabase
from easyapache.agent.runner import Detached, Runner
from easyapache.agent.server import HostError, Kit, Log
from easyapache.ea4.profile import Package, Transaction
from easyapache.ea4.sentences import Sentence, joined, marked

_LOCK_PATIENCE, _LOCK_PAUSE = 900.0, 1.0
"""Seconds. An update of a whole server takes minutes; what hangs longer is not worth the wait."""


@dataclass(frozen=True, slots=True)
class Aim:
    """``wanted``: exactly these builds, or (build None) any build of that name; ``unwanted``:
    names that must not be there."""

    wanted: tuple[tuple[str, Package | None], ...]
    unwanted: frozenset[str]


@dataclass(frozen=True, slots=True)
class Distance:
    """How far the server is from an aim. ``absent`` and ``broken`` are wanted names,
    ``surplus`` what must go: names, or exact builds where another build is wanted."""

    absent: tuple[str, ...]
    broken: tuple[str, ...]
    surplus: tuple[str, ...]

    @property
    def none(self) -> bool:
        return not (self.absent or self.broken or self.surplus)

    @property
    def summary(self) -> str:
        parts = (
            (marked("not installed: {names}"), self.absent),
            (marked("files missing: {names}"), self.broken),
            (marked("not removed: {names}"), self.surplus),
        )
        return joined(
            "; ", [Sentence(what, names=", ".join(names)) for what, names in parts if names]
        )

    def __str__(self) -> str:
        return str(self.summary)


class Undo:
    def __init__(
        self, config: HostConfig, runner: Runner, manager: PackageManager, rpm: RpmDatabase
    ) -> None:
        self.config, self.runner, self.manager, self.rpm = config, runner, manager, rpm

    # -- looking ---------------------------------------------------------------------------

    def distance(self, aim: Aim) -> Distance:
        installed = self.rpm.installed()
        names = {package.name for package in installed}
        nevras = {package.nevra for package in installed}
        absent, surplus = [], []
        for name, build in aim.wanted:
            if name not in names or (build is not None and build.nevra not in nevras):
                absent.append(name)
            if build is not None:
                surplus += [p.nevra for p in installed if p.name == name and p.nevra != build.nevra]
        surplus += sorted(aim.unwanted & names)
        broken = [
            name
            for name, items in self.rpm.verify({n for n, _ in aim.wanted} & names).items()
            if any(item.lost for item in items)
        ]
        return Distance(tuple(absent), tuple(sorted(broken)), tuple(surplus))

    # -- from a kit -----------------------------------------------------------------------

    def back(self, kit: Kit, log: Log) -> None:
        """Restore the state before the kit's change. Raises HostError ``undo`` with the remaining
        differences."""
        log("restoring the previous packages")
        rpms, incoming, output = kits.RPMS, kits.INCOMING, kits.BACK
        now, output_text = self._bring_about(
            kit, kit.transaction.inverse, rpms, incoming, output, log
        )
        if not now.none:
            raise HostError(
                "undo",
                Sentence("The packages could not be restored ({now}).", now=now.summary),
                Sentence("Run as root: {program}", program=f"{kit.folder}/undo"),
                output_text,
            )

    def forth(self, kit: Kit, log: Log) -> None:
        """To what the kit's change is to lead to. Raises HostError ``packages``."""
        log("using the saved packages")
        rpms, incoming, output = kits.RPMS, kits.INCOMING, kits.FORTH
        now, output_text = self._bring_about(kit, kit.transaction, incoming, rpms, output, log)
        if not now.none:
            message = Sentence(
                "The installed packages don't match the plan: {difference}.", difference=now.summary
            )
            raise HostError("packages", message, "", output_text)

    def _bring_about(
        self, kit: Kit, moves: Transaction, incoming: str, outgoing: str, output: str, log: Log
    ) -> tuple[Distance, str]:
        """Install and remove packages from files alone, whatever state they are in. Returns the
        remaining differences, and the output of the last call. ``incoming``, ``outgoing``,
        ``output``: folders of the kit."""
        there = {package.name for package in moves.install}
        aim = Aim(
            tuple((package.name, package) for package in moves.install),
            frozenset(package.name for package in moves.remove) - there,
        )
        calls = _Calls(self.runner, self.config.root, kit.folder / output, log)
        calls.finish_earlier()
        now = self.distance(aim)
        files = {} if now.none else self._whole(moves.install, kit.folder / incoming, log)
        log(str(now) if not now.none else "the packages are already restored")
        local = ["--disablerepo=*"]
        self._clear([*now.broken, *now.surplus], log)
        if now.absent:
            paths = _paths(files, now.absent)
            calls.run_dnf(self._dnf([*local, "install", "--allowerasing", *paths], aim))
            now = self.distance(aim)
        if now.surplus:
            calls.run_dnf(self._dnf([*local, "remove", *now.surplus], aim))
            now = self.distance(aim)
        if now.broken:
            calls.run_dnf(self._dnf([*local, "reinstall", *_paths(files, now.broken)], aim))
            now = self.distance(aim)
        if not now.none:
            log(f"the package manager failed: {now}; using rpm")
            self._by_force(now, files, calls)
            now = self.distance(aim)
        self._sweep(moves.remove, kit.folder / outgoing, log)
        return now, calls.output()

    def _whole(self, packages: Sequence[Package], folder: Path, log: Log) -> dict[str, Path | None]:
        """{name: its file} of a kit whose files may be incomplete: those are replaced from another
        kit, else from the repositories."""
        files: dict[str, Path | None] = {}
        torn: list[Package] = []
        for package in packages:
            path = folder / kits.rpm_name(package)
            good = kits.whole(path) or self._digests_fit(path)
            other = path if good else kits.kept(self.config.spool, package)
            files[package.name] = other
            if other is None:
                torn.append(package)
        if not torn:
            return files
        names = ", ".join(package.nevra for package in torn)
        log(f"damaged or missing in the restore point: {names}")
        try:
            self.manager.fetch(Transaction(tuple(torn)), folder, folder, log)
        except HostError as error:
            log(f"{error.message} {error.output}".rstrip())
            return files
        return {**files, **{package.name: kits.rpm_file(folder, package) for package in torn}}

    def _digests_fit(self, path: Path) -> bool:
        """Whether a file of a kit whose own list is lost is a whole package, by rpm's digests."""
        argv = [*self.rpm.command, "-K", "--nosignature", str(path)]
        return path.is_file() and self.runner.capture(argv).ok

    def _clear(self, names: Iterable[str], log: Log) -> None:
        """Remove files that a power cut left without their content: rpm takes a configuration
        file that is not its own for edited, and leaves it, under another name even."""
        for owner, items in self.rpm.verify(names).items():
            for item in items:
                if item.torn:
                    log(f"removing {item.path} of {owner}: its content was lost")
                    (self.config.root / item.path.lstrip("/")).unlink(missing_ok=True)

    def _sweep(self, removed: Iterable[Package], folder: Path, log: Log) -> None:
        """Remove files of packages that are not there: a transaction killed between a package's
        files and its line in the database leaves them, and httpd would load them."""
        installed = {package.nevra for package in self.rpm.installed()}
        for package in removed:
            file = kits.rpm_file(folder, package)
            if file is None or package.nevra in installed:
                continue
            listed = self.runner.capture([*self.rpm.command, "-qpl", "--nosignature", str(file)])
            for name in listed.stdout.split("\n"):
                path = self.config.root / name.lstrip("/")
                if not name.startswith("/") or not (path.is_file() or path.is_symlink()):
                    continue
                if not self.runner.capture([*self.rpm.command, "-qf", name]).ok:
                    log(f"removing {name}: it belongs to {package.name}, which is not installed")
                    path.unlink()

    # -- from the repositories -------------------------------------------------------------

    def repair(self, mpm: str, log: Log) -> None:
        """A torn server (two MPMs, none, files missing) gets the one MPM named, with its CGI
        module, from the repositories. Raises HostError ``repair``."""
        right = (mpm_package(mpm), cgi_package(mpm))
        wrong = {mpm_package(name) for name in MPMS if name != mpm}
        wrong.add(cgi_package("event") if mpm == "prefork" else cgi_package("prefork"))
        if mpm != "prefork":
            wrong.add(mpm_package("itk"))
        aim = Aim(tuple((name, None) for name in right), frozenset(wrong))
        calls = _Calls(self.runner, self.config.root, self.config.spool / "repair-output", log)
        calls.finish_earlier()
        now = self.distance(aim)
        for name in now.surplus:
            if name.startswith("ea-apache24-mod_mpm_"):
                calls.run_dnf(self._dnf(["swap", name, right[0], "--allowerasing"], aim))
        now = self.distance(aim)
        if now.absent:
            calls.run_dnf(self._dnf(["install", *right, "--allowerasing"], aim))
            now = self.distance(aim)
        if now.broken:
            self._clear(now.broken, log)
            calls.run_dnf(self._dnf(["reinstall", *now.broken], aim))
            now = self.distance(aim)
        if now.surplus:
            calls.run_dnf(self._dnf(["remove", *now.surplus], aim))
            now = self.distance(aim)
        if now.surplus and not now.absent:
            self._by_force(now, {}, calls)
            now = self.distance(aim)
        if not now.none:
            raise HostError(
                "repair",
                Sentence("The packages could not be repaired ({now}).", now=now.summary),
                "",
                calls.output(),
            )

    def reinstall(self, names: Iterable[str], log: Log) -> None:
        """Packages get their missing files back, in the builds that are installed: from the
        repositories, else from a kit that has kept them. Raises HostError ``repair``."""
        wanted = frozenset(names)
        installed = {p.name: p for p in self.rpm.installed() if p.name in wanted}
        aim = Aim(tuple((name, None) for name in sorted(installed)), frozenset())
        calls = _Calls(self.runner, self.config.root, self.config.spool / "repair-output", log)
        calls.finish_earlier()
        now = self.distance(aim)
        if now.broken:
            self._clear(now.broken, log)
            calls.run_dnf(self._dnf(["reinstall", *now.broken], aim))
            now = self.distance(aim)
        kept = {name: kits.kept(self.config.spool, installed[name]) for name in now.broken}
        if paths := _paths(kept, now.broken):
            log(f"no repository provides {', '.join(now.broken)} anymore; a restore point does")
            calls.run_dnf(self._dnf(["--disablerepo=*", "reinstall", *paths], aim))
            now = self.distance(aim)
        if now.broken:
            raise HostError(
                "repair",
                Sentence("Files of {names} are still missing.", names=", ".join(now.broken)),
                Sentence("If the repositories only have newer builds, run: dnf upgrade 'ea-*'"),
                calls.output(),
            )

    def _dnf(self, arguments: Sequence[str], aim: Aim) -> list[str]:
        """A guarded call: it may remove only the packages that the goal removes."""
        names = {package.name for package in self.rpm.installed()}
        moving = aim.unwanted | {name for name, _ in aim.wanted}
        protect = [*(names - moving), *ALWAYS_PROTECTED, *self.manager.protected_by_server()]
        return self.manager.repair_argv(arguments, protect)

    def _by_force(self, now: Distance, files: dict[str, Path | None], calls: _Calls) -> None:
        """rpm alone: for a %preun that always fails, and a database no solver accepts. The
        surplus leaves first, so that files of the same name are not taken along later."""
        rpm = self.rpm.command
        if now.surplus:
            erase = [*rpm, "-e", "--nodeps", "--allmatches"]
            if calls.run([*erase, *now.surplus]) != 0:
                calls.run([*erase, "--noscripts", *now.surplus])
        paths = _paths(files, [*now.absent, *now.broken])
        if paths:
            put = [*rpm, "-U", "--nodeps", "--oldpackage", "--replacepkgs", "--replacefiles"]
            if calls.run([*put, *paths]) != 0:
                calls.run([*put, "--noscripts", *paths])


class _Calls:
    """Consecutive detached calls, numbered in a folder, so that a resumed undo first waits for the
    call that was running."""

    def __init__(self, runner: Runner, root: Path, folder: Path, log: Log) -> None:
        self.runner, self.root, self.folder, self.log = runner, root, folder, log
        self.last: Detached | None = None

    def _begun(self) -> list[Detached]:
        names = {path.stem for path in self.folder.glob("call-*.start")}
        return [Detached(self.folder, name) for name in sorted(names)]

    def finish_earlier(self) -> None:
        for call in self._begun():
            if call.running:
                self.log("an earlier undo is still running: waiting for it")
                call.follow(self.log)

    def run_dnf(self, argv: Sequence[str]) -> int | None:
        """Wait for a package manager that started in between (a nightly update waits for our lock
        and gets it when we release it): forcing rpm beside it would break both."""
        end = time.monotonic() + _LOCK_PATIENCE
        while (status := self.run(argv)) == LOCKED and time.monotonic() < end:
            other = manager_at_work(self.root)
            if other is None:
                # It has just ended; or a stale file names an unrelated process, and force is right.
                return self.run(argv)
            self.log(f"another package manager is running: waiting for {described(other)}")
            time.sleep(_LOCK_PAUSE)
        return status

    def run(self, argv: Sequence[str]) -> int | None:
        self.log("$ " + " ".join(_short(argv)))
        name = f"call-{len(self._begun()) + 1:03d}-{int(time.time() * 1000)}"
        unit = f"ea4-undo-{name}"
        what = "EA4 MPM: packages are being restored"
        self.runner.start_detached(argv, self.folder, name, unit, what)
        self.last = Detached(self.folder, name)
        return self.last.follow(self.log)

    def output(self) -> str:
        return self.last.output()[-4000:] if self.last else ""


def _short(argv: Sequence[str]) -> Iterable[str]:
    """A command for the log, without the long list of protected packages."""
    for item in argv:
        yield (
            "--setopt=protected_packages=…"
            if item.startswith("--setopt=protected_packages")
            else item
        )


def _paths(files: dict[str, Path | None], names: Iterable[str]) -> list[str]:
    return [str(path) for name in dict.fromkeys(names) if (path := files.get(name)) is not None]
