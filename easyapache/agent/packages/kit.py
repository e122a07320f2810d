"""The rollback kit: everything needed to undo one change, in one folder.

The engine uses it through the server's driver. Without the engine, root runs its ``undo`` script:
plain sh that needs rpm and httpd, and uses dnf or yum if present.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from easyapache.agent.change.durable import sync_file, sync_folder, sync_tree, write_atomically
from easyapache.agent.config import HostConfig
from easyapache.agent.packages.undo_script import undo_script
from easyapache.agent.server import Kit
from easyapache.ea4.profile import Package, Profile, Transaction
from easyapache.ea4.schema import BadMessage, Schema, loads

T = TypeVar("T")
RPMS, INCOMING, FILES = "rpms", "incoming", "files"
BACK, FORTH = "undo-output", "forth-output"
"""What package managers wrote that were called with the kit's packages."""


Sealed = Mapping[str, tuple[int, str]]
"""Length and SHA-256 of each file of a kit."""


@dataclass(frozen=True, slots=True)
class Seals(Schema):
    """The digests of the kit's files in ``kit.json``; None in a kit without seals (of earlier
    versions)."""

    sealed: Sealed | None = None


@dataclass(frozen=True, slots=True)
class Manifest(Schema):
    """``kit.json``. ``files``: path on the server → name in the folder."""

    change: str
    transaction: Transaction
    mpm: str
    itk: bool
    files: Mapping[str, str]
    packages_before: tuple[str, ...] = ()
    sealed: Sealed | None = None


def prepare(
    folder: Path, change: str, before: Profile, transaction: Transaction, config: HostConfig
) -> Kit:
    """Lay out the kit of a change, with the edited module files it would lose. The driver
    then fetches the packages into it, and ``seal`` ends it. Doing it twice gives the same kit."""
    for name in (RPMS, INCOMING, FILES):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    mpm, itk = mpm_of(before)
    kit = Kit(folder, transaction, mpm, itk, _save_edited(folder, before, transaction, config))
    packages = sorted(item for item in before.packages if item.name.startswith("ea-"))
    nevras = tuple(item.nevra for item in packages)
    _write(folder, Manifest(change, transaction, mpm, itk, kit.files, nevras, {}))
    script = undo_script(kit, change, packages, config).encode()
    write_atomically(folder / "undo", script)
    (folder / "undo").chmod(0o700)
    return kit


def seal(folder: Path) -> None:
    """See all of a kit on the disk, and keep in ``kit.json`` how long each file is and what its
    digest is. Nothing that needs the kit may begin before this returns. Raises OSError."""
    sync_tree(folder)
    manifest = _read(Manifest, folder)
    if manifest is None:
        raise OSError(errno.EIO, "cannot be read", str(folder / "kit.json"))
    files = (path for name in (RPMS, INCOMING, FILES) for path in (folder / name).iterdir())
    sealed = {f"{path.parent.name}/{path.name}": _measures(path) for path in files}
    _write(folder, replace(manifest, sealed=sealed))


def whole(path: Path) -> bool:
    """Whether a file of a kit is complete: a power cut empties files that were not synced. In a kit
    without seals, whether it is not empty."""
    try:
        seals = _read(Seals, path.parent.parent) or Seals()
        if seals.sealed is None:
            return path.stat().st_size > 0
        sealed = seals.sealed.get(f"{path.parent.name}/{path.name}")
        return sealed is not None and sealed == _measures(path)
    except OSError:
        return False


def _measures(path: Path) -> tuple[int, str]:
    """Length in bytes and SHA-256 of a file."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return handle.tell(), digest


def _read(kind: type[T], folder: Path) -> T | None:
    """The contents of ``kit.json``; None if it is missing or cannot be read."""
    try:
        return loads(kind, (folder / "kit.json").read_bytes())
    except (OSError, BadMessage):
        return None


def _write(folder: Path, manifest: Manifest) -> None:
    data = json.dumps(manifest.as_json(), indent=1)
    write_atomically(folder / "kit.json", data.encode())


def load(folder: Path) -> Kit | None:
    """The kit laid out in ``folder``, None where there is none that can be read (any more)."""
    manifest = _read(Manifest, folder)
    if manifest is None:
        return None
    return Kit(folder, manifest.transaction, manifest.mpm, manifest.itk, manifest.files)


def gather(kit: Kit, spool: Path) -> list[str]:
    """Fill a kit in both directions from the kits of all changes in the spool, and seal it. Returns
    the builds that none of them has."""
    missing = []
    for name, packages in ((INCOMING, kit.transaction.install), (RPMS, kit.transaction.remove)):
        for package in packages:
            there = rpm_file(kit.folder / name, package)
            if there and whole(there):
                continue
            source = kept(spool, package)
            if source is None:
                missing.append(package.nevra)
            else:
                take_over(source, kit.folder / name / source.name)
    if not missing:
        seal(kit.folder)
    return missing


def take_over(source: Path, target: Path) -> None:
    """Copy a file of one kit into another one, replacing any file there."""
    scratch = target.with_name(f"{target.name}.part")
    scratch.unlink(missing_ok=True)
    try:
        os.link(source, scratch)
    except OSError:
        shutil.copy2(source, scratch)
    sync_file(scratch)
    scratch.rename(target)
    sync_folder(target.parent)


def rpm_file(folder: Path, package: Package) -> Path | None:
    """The file of one package in a folder."""
    path = folder / rpm_name(package)
    return path if path.is_file() else None


def rpm_name(package: Package) -> str:
    """rpm's file names leave the epoch out."""
    return f"{package.name}-{package.version}-{package.release}.{package.arch}.rpm"


def kept(spool: Path, package: Package) -> Path | None:
    """The complete file of exactly this package in any kit of the spool."""
    folders = (folder for name in (RPMS, INCOMING) for folder in spool.glob(f"*/kit/{name}"))
    files = (path for folder in folders if (path := rpm_file(folder, package)))
    return next((path for path in files if whole(path)), None)


def restore_files(kit: Kit) -> list[str]:
    """Put module files back as they had been edited, where their packages are there again.
    Returns the paths that were restored."""
    restored = []
    for path, name in sorted(kit.files.items()):
        copy, target = kit.folder / FILES / name, Path(path)
        if not whole(copy) or not target.is_file():
            continue
        if target.read_bytes() != copy.read_bytes():
            shutil.copy2(copy, target)
            sync_file(target)
            restored.append(path)
    return restored


def mpm_of(profile: Profile) -> tuple[str, bool]:
    """The MPM and ITK of a server: running, else configured, else installed."""
    for observation in (profile.running, profile.configured):
        if observation and observation.mpm:
            return observation.mpm, observation.itk
    prefix = "ea-apache24-mod_mpm_"
    found = sorted(
        name.removeprefix(prefix)
        for name in profile.names
        if name.startswith(prefix) and not name.endswith("_itk")
    )
    return (found[0] if len(found) == 1 else "prefork"), f"{prefix}itk" in profile.names


def _save_edited(
    folder: Path, before: Profile, transaction: Transaction, config: HostConfig
) -> dict[str, str]:
    edited = before.facts.get("edited_config_files")
    removed = {package.name for package in transaction.remove}
    saved: dict[str, str] = {}
    for path, package in sorted(edited.items()) if isinstance(edited, Mapping) else ():
        real = Path(path)
        if not real.is_relative_to(config.root):
            real = config.root / real.relative_to("/")
        if package in removed and real.is_file():
            name = f"{len(saved):03d}-{real.name}"
            shutil.copy2(real, folder / FILES / name)
            saved[str(real)] = name
    return saved
