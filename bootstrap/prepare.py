#!/usr/bin/env python3
"""Prepare a bare machine to run the project: ``prepare.py demo``, ``… test`` or ``… bench``.

Standard library only, and no newer than Python 3.9, because it runs before anything is installed.
Every step checks first and does nothing if it was done, so a second run takes 0.1 seconds.

* Operating system packages, by apt-get (Debian, Ubuntu) or dnf (AlmaLinux, Rocky). Needs root.
  Without root, or without either, ``demo`` reports what is missing and continues: the panel then
  uses the simulated server. ``test`` stops, because tests are never skipped.
* ``.venv`` from ``requirements/*.lock``, hashes required; created again only if the lock file or
  the interpreter has changed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
VENV = TOP / ".venv"
OLDEST = (3, 11)
APART = {"bench": TOP / ".venv-bench", "clients": TOP / ".venv-clients"}
"""Tools that the bench compares with, and clients of others: each has its own dependencies."""
LOCKS = {
    "demo": "demo.lock",
    "test": "dev.lock",
    "bench": "bench.lock",
    "clients": "clients.lock",
}
FROM_SOURCE = {"clients": ("pycpanel", "whambampy")}
"""Published as source only."""

NOBODY = "65534"
WHICH_PYTHON = (
    "import ensurepip, os, ssl, sys, venv\n"
    "print(sys.version, os.path.realpath(sys._base_executable))\n"
)

SHELLS = ("zsh", "fish")
FONTS_DEBIAN = ("fonts-dejavu-core", "fonts-liberation")
FONTS_EL = ("dejavu-sans-fonts", "liberation-fonts")
TEST_DEBIAN = (
    *("chromium-headless-shell", "firefox-esr", "libatomic1", *SHELLS, *FONTS_DEBIAN),
    "postgresql",
    "e2fsprogs",  # a disk whose plug can be pulled
)
TEST_EL = (
    *("chromium", "firefox", "libatomic", *SHELLS, *FONTS_EL, "postgresql-server"),
    "e2fsprogs",
)
"""For the tests only. What the lab is made of is known to lab/system.py."""


class CannotPrepare(Exception):
    """This machine lacks something that can't be installed; the message has the recommended
    action."""


def report(text: str) -> None:
    print(f"  {text}", flush=True)


def run(argv: Sequence[str], *, quiet: bool = True) -> None:
    """Run to the end. Raises CannotPrepare with the last lines of output when it fails."""
    done = subprocess.run(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        check=False,
    )
    if done.returncode:
        tail = "\n    ".join((done.stdout or "").strip().splitlines()[-8:])
        raise CannotPrepare(f"{' '.join(argv[:3])} … failed ({done.returncode})\n    {tail}")


# -- the operating system ----------------------------------------------------------------


def missing_debs(names: Sequence[str]) -> list[str]:
    """Which of these Debian packages are not installed."""
    listing = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n", *names],
        capture_output=True,
        text=True,
        check=False,  # it fails if one name is unknown
    )
    there = {line.split()[1] for line in listing.stdout.splitlines() if line.startswith("ii")}
    return [name for name in names if name not in there]


def missing_rpms(names: Sequence[str]) -> list[str]:
    return [
        name
        for name in names
        if subprocess.run(["rpm", "-q", "--quiet", name], check=False).returncode != 0
    ]


def install_rpms(names: Sequence[str]) -> None:
    run(["dnf", "-y", "-q", "install", *names])


@contextlib.contextmanager
def no_services_started() -> Iterator[None]:
    """Packages installed meanwhile start no daemon: the tests run their own PostgreSQL."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def install_debs(names: Sequence[str]) -> None:
    if shutil.which("postgres") is None and "postgresql" in names:
        # Without this the package makes and keeps a cluster of its own.
        settings = Path("/etc/postgresql-common/createcluster.conf")
        if not settings.exists():
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text("create_main_cluster = false\n")
    with no_services_started():
        run(["apt-get", "update", "-q"])
        run(
            [
                "apt-get",
                "install",
                "-q",
                "-y",
                "--no-install-recommends",
                "-o",
                "Dpkg::Options::=--force-confold",
                "-o",
                "Dpkg::Options::=--force-unsafe-io",  # half the time: nothing is synced per file
                *names,
            ]
        )


def lab_packages() -> tuple[str, ...]:
    """From the lab's own module, loaded by its path: it only needs Python."""
    path = TOP / "lab" / "system.py"
    spec = importlib.util.spec_from_file_location("lab_system", path)
    if spec is None or spec.loader is None:
        raise CannotPrepare(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    packages: tuple[str, ...] = module.distribution().packages
    return packages


def let_accounts_in() -> None:
    """Open ``/`` for passing through, should only root be able to enter it (an unpacked image
    may have it so). httpd's workers, PostgreSQL and the panel run as accounts of their own."""
    top = Path("/")
    mode = top.stat().st_mode
    if not mode & 0o001:
        top.chmod(0o755)
        report("/ could be entered by root alone; it now has the usual rights (755)")


def system_packages(purpose: str) -> list[str]:
    """Install missing packages. Returns those that can't be installed."""
    testing = purpose == "test"
    if shutil.which("apt-get"):
        missing = missing_debs(lab_packages() + (TEST_DEBIAN if testing else ()))
        install = install_debs
    elif Path("/etc/redhat-release").exists() and shutil.which("dnf"):
        missing = missing_rpms(lab_packages() + (TEST_EL if testing else ()))
        install = install_rpms
    else:
        return ["a package manager (apt-get or dnf)"]
    if os.geteuid() != 0:
        return missing
    let_accounts_in()
    if not missing:
        return []
    started = time.monotonic()
    report(f"operating system packages: {' '.join(missing)}")
    install(missing)
    report(f"operating system packages: done in {time.monotonic() - started:.0f} s")
    return []


# -- the virtual environment -----------------------------------------------------------------


def digest_of_locks() -> str:
    """Changes when a lock file or the interpreter does."""
    digest = hashlib.sha256(f"{VENV}{sys.version_info[:3]}".encode())
    for lock in sorted((TOP / "requirements").glob("*.lock")):
        digest.update(lock.read_bytes())
    return digest.hexdigest()


def virtual_environment(purpose: str) -> None:
    """Make .venv hold what ``purpose`` needs, or the environment of its own that it has. What
    ``test`` needs includes ``demo``."""
    venv = APART.get(purpose, VENV)
    stamp = venv / "made-from"
    digest = digest_of_locks()
    made = stamp.read_text().split() if stamp.exists() else []
    if made[:1] == [digest] and (purpose in made or "test" in made):
        return
    started = time.monotonic()
    python = venv / "bin" / "python"
    if not python.exists() or not same_python(str(python)):
        report(f"virtual environment: {venv.name}")
        try:
            run([sys.executable, "-m", "venv", "--clear", str(venv)])
        except CannotPrepare as error:
            raise CannotPrepare(f"{error}\n    On Debian: apt-get install python3-venv") from error
    lock = TOP / "requirements" / LOCKS[purpose]
    report(f"Python packages: {lock.relative_to(TOP)}")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    stamp.unlink(missing_ok=True)
    source = FROM_SOURCE.get(purpose, ())
    kinds = ["--only-binary", ":all:", *(("--no-binary", ",".join(source)) if source else ())]
    run([*pip, "install", "-q", "--require-hashes", *kinds, "-r", str(lock)])
    stamp.write_text(f"{digest} {purpose}\n")
    report(f"Python packages: done in {time.monotonic() - started:.0f} s")


def which_python(python: str, *, account: str = "") -> str:
    """An interpreter's version, build and path. Empty if it cannot be run or cannot create a
    virtual environment. ``account``: run as that account."""
    argv = [python, "-I", "-c", WHICH_PYTHON]
    if account:
        argv = ["setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups", *argv]
    try:
        answer = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def same_python(python: str) -> bool:
    """Is this interpreter, or the one a virtual environment was made with, the one we run in?"""
    return which_python(python) == which_python(sys.executable)


def everybody_may_run(python: str) -> bool:
    """The web part gives root's rights up, so its Python must be one that any account can run.
    One in root's home is not: at worst it starts with another Python's library and half works."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return True
    return which_python(python) == which_python(python, account=NOBODY) != ""


def right_python() -> None:
    """Go on with a Python that is new enough and that every account may run: this one, another
    one, or one installed now. Where the only one is root's own, it has to do."""
    if sys.version_info >= OLDEST and everybody_may_run(sys.executable):
        return
    for attempt in range(2):
        for name in ("python3.13", "python3.12", "python3.11"):
            found = shutil.which(name, path=f"/usr/bin:/usr/local/bin:{os.environ.get('PATH', '')}")
            if found and which_python(found) and everybody_may_run(found):
                os.execv(found, [found, *sys.argv])  # noqa: S606
        if sys.version_info >= OLDEST:
            return
        if attempt == 0 and os.geteuid() == 0 and shutil.which("dnf"):
            run(["dnf", "-y", "-q", "install", "python3.11"])
    raise CannotPrepare("Python 3.11 or newer is needed; on AlmaLinux: dnf install python3.11")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("purpose", choices=tuple(LOCKS))
    requested = parser.parse_args().purpose
    purpose = "demo" if requested == "demo" else "test"
    try:
        right_python()
        # At the same time: one waits for the network and dpkg, the other for the network and pip.
        with concurrent.futures.ThreadPoolExecutor() as both:
            python_packages = both.submit(virtual_environment, purpose)
            missing = system_packages(purpose)
            python_packages.result()
        if requested in APART:
            virtual_environment(requested)
        if missing and purpose == "test":
            raise CannotPrepare(
                f"missing on this machine: {' '.join(missing)}\n"
                "    Tests are not skipped here. Run this once as root, or install them."
            )
        if missing:
            report(
                f"missing, and not root: {' '.join(missing)}. The simulated server is used instead."
            )
    except CannotPrepare as error:
        print(f"This machine could not be prepared: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
