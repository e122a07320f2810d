"""Builds the lab's package repository: real packages, signed, with signed metadata.

A repository is built once for its inputs (the relations, the distribution's modules, the variant)
and stored under their digest; all processes on this machine share it. Concurrent requests wait for
one build.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.catalog import LabPackage, catalogue
from lab.process import LabError, run
from lab.spec import spec_text
from lab.system import Distribution, distribution, explain, missing

KEY_NAME = "EasyApache 4 lab (throwaway) <lab@localhost.localdomain>"
_FILE_NAME = "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"
_MAGIC = "0\tstring\t\\177ELF\tELF\n"
"""rpmbuild guesses every file's type, for requirements it then does not want; with the machine's
whole table of file types that is two thirds of the build."""
_FORMAT = "1"
"""Increase it when the build changes although the inputs of the digest do not."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How a repository differs from the valid one, for fault tests.

    ``faults``: (package, fault of ``spec.FAULTS``) pairs. ``unsigned``: packages without a
    signature. ``tampered``: packages whose content does not match their signature, in a repository
    with matching metadata (a stolen mirror). ``corrupt``: packages whose file does not match the
    metadata (a broken download). ``bad_metadata``: repomd.xml changed after it was signed.
    """

    release: int = 1
    faults: tuple[tuple[str, str], ...] = ()
    unsigned: tuple[str, ...] = ()
    tampered: tuple[str, ...] = ()
    corrupt: tuple[str, ...] = ()
    bad_metadata: bool = False

    @property
    def plain(self) -> bool:
        return self == Variant(release=self.release)


@dataclass(frozen=True, slots=True)
class Repository:
    """A built repository. ``key`` is the public key to trust, ``packages`` the folder to serve."""

    folder: Path

    @property
    def packages(self) -> Path:
        return self.folder / "repo"

    @property
    def key(self) -> Path:
        return self.folder / "RPM-GPG-KEY-EA4-lab"

    @property
    def digest(self) -> str:
        return self.folder.name

    def rpm_file(self, name: str) -> Path:
        """The file of a package. Raises LabError when the repository does not hold it."""
        for path in self.packages.glob(f"{name}-*.rpm"):
            if path.name.rsplit("-", 2)[0] == name:
                return path
        raise LabError(f"the lab's repository has no package {name}")


def cache_folder() -> Path:
    """Where repositories and pristine servers are kept: $EA4_LAB_CACHE, or the user's cache."""
    chosen = os.environ.get("EA4_LAB_CACHE")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "ea4-lab"


def repository(variant: Variant | None = None, cache: Path | None = None) -> Repository:
    """The repository of a variant, built now if it never was. Raises LabError."""
    variant, cache = variant or Variant(), cache or cache_folder()
    place = distribution()
    packages = catalogue(place, next_release=variant.release > 1)
    _refuse_unknown(variant, packages)
    folder = cache / f"repository-{_digest(packages, variant, place)}"
    if (folder / "complete").exists():
        return Repository(folder)
    lacks = missing(place)
    if lacks:
        raise LabError(explain(lacks, place))
    cache.mkdir(parents=True, exist_ok=True)
    base = None if variant.plain else repository(Variant(release=variant.release), cache)
    with locked(cache / "build.lock"):
        if not (folder / "complete").exists():
            _build_in(folder, cache, packages, variant, base)
    return Repository(folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; it is let go of when the process ends, however it ends."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _refuse_unknown(variant: Variant, packages: Sequence[LabPackage]) -> None:
    names = {package.name for package in packages}
    touched = {name for name, _ in variant.faults}.union(
        variant.unsigned, variant.tampered, variant.corrupt
    )
    if touched - names:
        raise LabError(f"the lab's repository has no package {min(touched - names)}")


def _digest(packages: Sequence[LabPackage], variant: Variant, place: Distribution) -> str:
    """Names everything that decides the content: relations, texts, payload files, tools."""
    state = hashlib.sha256(f"{_FORMAT}|{variant}|{place.name}".encode())
    state.update(spec_text("digest", packages, "tree", dict(variant.faults)).encode())
    for package in packages:
        for path, text in sorted(package.texts.items()):
            state.update(f"{path}\0{text}\0".encode())
        for path, source in sorted(package.copies.items()):
            facts = source.stat()
            state.update(f"{path}\0{source}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
        state.update(repr(sorted(package.links.items())).encode())
    return state.hexdigest()[:16]


def _build_in(
    folder: Path,
    cache: Path,
    packages: Sequence[LabPackage],
    variant: Variant,
    base: Repository | None,
) -> None:
    """Build elsewhere and rename into place, so that an incomplete repository is never visible."""
    work = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
    try:
        work.chmod(0o755)
        (work / "repo").mkdir()
        with _keyring(cache) as rings:
            if base is None:
                built = _build_packages(work, packages, variant)
                _sign_packages(built, rings)
            else:
                _vary(work, packages, variant, base, rings)
            _describe(work / "repo", rings[0], variant)
            key = run(["gpg", "--homedir", rings[0], "--armor", "--export", KEY_NAME]).stdout
        (work / "RPM-GPG-KEY-EA4-lab").write_text(key, encoding="ascii")
        (work / "complete").touch()
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)
    finally:
        if work.exists():
            shutil.rmtree(work)


def _vary(
    work: Path,
    packages: Sequence[LabPackage],
    variant: Variant,
    base: Repository,
    rings: Sequence[Path],
) -> None:
    """Reuse the valid packages and build only those that differ."""
    different = {name for name, _ in variant.faults}.union(variant.unsigned)
    for path in base.packages.glob("*.rpm"):
        if path.name.rsplit("-", 2)[0] not in different:
            os.link(path, work / "repo" / path.name)
    built = _build_packages(work, [item for item in packages if item.name in different], variant)
    _sign_packages(
        [path for path in built if path.name.rsplit("-", 2)[0] not in variant.unsigned], rings
    )
    for name in variant.tampered:
        _spoil(Repository(work).rpm_file(name))


def _build_packages(work: Path, packages: Sequence[LabPackage], variant: Variant) -> list[Path]:
    """Run rpmbuild, one process for each processor."""
    if not packages:
        return []
    shares = min(os.cpu_count() or 1, 4, len(packages))

    def share(number: int) -> list[Path]:
        top = work / f"build{number}"
        mine = packages[number::shares]
        _lay_out(top / "tree", mine)
        spec = top / "lab.spec"
        text = spec_text(f"ea4-lab-{number}", mine, str(top / "tree"), dict(variant.faults))
        spec.write_text(text, encoding="utf-8")
        (top / "magic").write_text(_MAGIC, encoding="ascii")
        run(
            [
                *("rpmbuild", "-bb", "--quiet", "--nodeps", "--define", f"_topdir {top}"),
                *("--define", f"_tmppath {top}", "--define", f"_rpmfilename {_FILE_NAME}"),
                *("--define", "_buildhost lab", spec),
            ],
            environment={"MAGIC": str(top / "magic"), "OMP_NUM_THREADS": "1"},
        )
        made = sorted((top / "RPMS").glob("*.rpm"))
        moved = [path.rename(work / "repo" / path.name) for path in made]
        shutil.rmtree(top)
        return moved

    with ThreadPoolExecutor(shares) as pool:
        built = [path for part in pool.map(share, range(shares)) for path in part]
    if len(built) != len(packages):
        raise LabError(f"rpmbuild made {len(built)} of {len(packages)} packages")
    return built


def _lay_out(tree: Path, packages: Sequence[LabPackage]) -> None:
    tree.mkdir(parents=True)
    for package in packages:
        for name in package.folders:
            (tree / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
        for path, text in package.texts.items():
            target = _place(tree, path)
            target.write_text(text, encoding="utf-8")
            target.chmod(0o644)
        for path, source in package.copies.items():
            shutil.copyfile(source, _place(tree, path))
            _place(tree, path).chmod(0o755)
        for path, link in package.links.items():
            _place(tree, path).symlink_to(link)


def _place(tree: Path, path: str) -> Path:
    target = tree / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


@contextmanager
def _keyring(cache: Path) -> Iterator[list[Path]]:
    """Copies of the signing keyring in short-lived short-named folders (an agent's socket must
    fit into 107 bytes), one for each signing process; their agents are ended with them."""
    kept = cache / "signing-key"
    rings = [Path(tempfile.mkdtemp(prefix="ea4k")) for _ in range(min(os.cpu_count() or 1, 4))]
    try:
        if not (kept / "pubring.kbx").exists():
            run(
                [
                    *("gpg", "--homedir", rings[0], "--batch", "--passphrase", ""),
                    *("--quick-generate-key", KEY_NAME, "rsa2048", "sign", "never"),
                ]
            )
            run(["gpgconf", "--homedir", rings[0], "--kill", "all"])
            _copy_ring(rings[0], kept)
        for ring in rings:
            _copy_ring(kept, ring)
        yield rings
    finally:
        for ring in rings:
            run(["gpgconf", "--homedir", ring, "--kill", "all"], check=False)
            shutil.rmtree(ring, ignore_errors=True)


def _copy_ring(source: Path, target: Path) -> None:
    not_sockets = shutil.ignore_patterns("S.*", "*.lock")
    shutil.copytree(source, target, ignore=not_sockets, dirs_exist_ok=True)
    target.chmod(0o700)


def _sign_packages(paths: Sequence[Path], rings: Sequence[Path]) -> None:
    def sign(number: int) -> None:
        mine = paths[number :: len(rings)]
        if mine:
            run(
                [
                    *("rpmsign", "--define", f"_gpg_name {KEY_NAME}"),
                    *("--define", f"_gpg_path {rings[number]}", "--define", "__gpg /usr/bin/gpg"),
                    "--addsign",
                    *mine,
                ],
                environment={"GNUPGHOME": str(rings[number])},
            )

    with ThreadPoolExecutor(len(rings)) as pool:
        for _ in pool.map(sign, range(len(rings))):
            pass


def _describe(packages: Path, ring: Path, variant: Variant) -> None:
    """Metadata and its detached signature."""
    run(["createrepo_c", "--quiet", "--no-database", "--simple-md-filenames", packages])
    repomd = packages / "repodata" / "repomd.xml"
    run(
        [
            *("gpg", "--homedir", ring, "--batch", "--yes", "--local-user", KEY_NAME),
            *("--detach-sign", "--armor", "--output", f"{repomd}.asc", repomd),
        ]
    )
    for name in variant.corrupt:
        _spoil(Repository(packages.parent).rpm_file(name))
    if variant.bad_metadata:
        with repomd.open("a", encoding="utf-8") as text:
            text.write("<!-- changed -->\n")


def _spoil(path: Path) -> None:
    """Change the last byte of a package's payload (in a copy: the sound one may be shared)."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.unlink()
    path.write_bytes(content)
