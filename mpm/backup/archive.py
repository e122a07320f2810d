"""The backup file: a tar archive that ends with a list of its contents, optionally encrypted.

Encryption is GnuPG's with a passphrase (``gpg --symmetric``, AES-256 with integrity protection);
the passphrase is passed in a file, never as an argument. Contents to encrypt are never written to
disk unencrypted, except for the copy of the database beside the file.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

FORMAT = 1
MANIFEST = "manifest.json"
LARGEST_MEMBERS = 100_000
LARGEST_MANIFEST = 64 * 2**20
_NAME = re.compile(r"[A-Za-z0-9._@ +-]+(?:/[A-Za-z0-9._@ +-]+)*\Z")


class BadBackup(Exception):
    """The file is no backup, is damaged, or cannot be opened. The message has the reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``digest``: SHA-256 in hexadecimal digits."""

    size: int
    digest: str


class Writer:
    """Adds files to a backup, and its manifest at the end."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._entries: dict[str, Entry] = {}

    def add_file(self, name: str, path: Path) -> None:
        """Raises OSError, and BadBackup where the file grew or shrank meanwhile."""
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            self._add(name, source, size)

    def add_text(self, name: str, text: str) -> None:
        data = text.encode()
        self._add(name, io.BytesIO(data), len(data))

    def finish(self, about: Mapping[str, Any]) -> None:
        files = {
            name: {"size": entry.size, "sha256": entry.digest}
            for name, entry in self._entries.items()
        }
        manifest = {"format": FORMAT, **about, "files": files}
        data = json.dumps(manifest, indent=1, sort_keys=True).encode()
        self._tar.addfile(_member(MANIFEST, len(data)), io.BytesIO(data))

    def _add(self, name: str, source: IO[bytes], size: int) -> None:
        if not _is_inside(name):
            raise BadBackup(f"{name!r} can't be the name of a file in a backup.")
        reader = _Digesting(source)
        try:
            self._tar.addfile(_member(name, size), reader)
        except OSError as error:
            raise BadBackup(f"{name} can't be read: {error}") from error
        self._entries[name] = Entry(size, reader.digest)


class _Digesting(io.RawIOBase):
    """Passes on the data it reads, and computes its digest."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _is_inside(name: str) -> bool:
    return bool(_NAME.match(name)) and ".." not in PurePosixPath(name).parts


@contextmanager
def written(path: Path, passphrase_file: Path | None = None) -> Iterator[Writer]:
    """A new backup at ``path``, which is there as a whole or not at all, for its owner alone.

    Raises FileExistsError, OSError, and BadBackup where it cannot be encrypted.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already.")
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as target:
            if passphrase_file is None:
                with tarfile.open(fileobj=target, mode="w|") as tar:
                    yield Writer(tar)
            else:
                with (
                    _encrypted(target, passphrase_file) as pipe,
                    tarfile.open(fileobj=pipe, mode="w|") as tar,
                ):
                    yield Writer(tar)
            target.flush()
            os.fsync(target.fileno())
        os.link(unfinished, path)  # fails if another process created one meanwhile
        _sync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def unpack(path: Path, folder: Path, passphrase_file: Path | None = None) -> dict[str, Any]:
    """Extract a backup into ``folder``, which is empty and private; returns its manifest.

    Raises BadBackup for any file that ``written`` would not create.
    """
    # Unbuffered, because GnuPG continues reading where this process stopped.
    with path.open("rb", buffering=0) as source:
        begin = source.read(8)
        source.seek(0)
        encrypted = _is_encrypted(begin)
        if encrypted and passphrase_file is None:
            raise BadBackup(f"{path} is encrypted. Name the file that holds its passphrase.")
        if not encrypted and passphrase_file is not None:
            raise BadBackup(f"{path} isn't encrypted, although a passphrase was given for it.")
        if passphrase_file is None:
            return _unpacked(source, path, folder)
        with _decrypted(source, passphrase_file) as plain:
            return _unpacked(plain, path, folder)


def _is_encrypted(begin: bytes) -> bool:
    """A message of OpenPGP begins with a byte whose highest bit is set; a tar archive with the
    name of its first file."""
    return bool(begin) and begin[0] >= 0x80


def _unpacked(source: IO[bytes], path: Path, folder: Path) -> dict[str, Any]:
    found: dict[str, Entry] = {}
    manifest: Any = None
    try:
        with tarfile.open(fileobj=source, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or not _is_inside(member.name) or member.name in found:
                    raise BadBackup(f"{path} isn't a backup: {member.name[:100]!r} is in it.")
                if len(found) >= LARGEST_MEMBERS or manifest is not None:
                    raise BadBackup(f"{path} isn't a backup: it has too many files.")
                if member.name == MANIFEST:
                    manifest = json.loads(content.read(LARGEST_MANIFEST))
                    continue
                found[member.name] = _write(content, folder / member.name)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise BadBackup(f"{path} isn't a whole backup: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise BadBackup(f"{path} isn't a whole backup: its list of files is missing.")
    if manifest.get("format") != FORMAT:
        raise BadBackup(f"{path} has the format {manifest.get('format')!r}, not {FORMAT}.")
    listed = {name: (one.get("size"), one.get("sha256")) for name, one in manifest["files"].items()}
    if listed != {name: (entry.size, entry.digest) for name, entry in found.items()}:
        raise BadBackup(f"{path} is damaged: its files aren't those that were written.")
    return manifest


def _write(content: IO[bytes], target: Path) -> Entry:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while piece := content.read(2**20):
            digest.update(piece)
            size += len(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return Entry(size, digest.hexdigest())


# -- GnuPG -------------------------------------------------------------------------------------


@contextmanager
def _gpg(*words: str, passphrase_file: Path) -> Iterator[list[str]]:
    """The command line of a GnuPG that has a home of its own and leaves nothing behind."""
    if not passphrase_file.is_file() or passphrase_file.stat().st_size == 0:
        raise BadBackup(f"{passphrase_file} holds no passphrase.")
    program = shutil.which("gpg") or shutil.which("gpg2")
    if program is None:
        raise BadBackup("GnuPG isn't installed (gnupg, gnupg2): a backup can't be encrypted.")
    with tempfile.TemporaryDirectory(prefix="ea4g") as home:
        try:
            yield [
                program,
                *("--homedir", home, "--batch", "--quiet", "--no-tty", "--yes"),
                *("--pinentry-mode", "loopback", "--passphrase-file", str(passphrase_file)),
                *words,
            ]
        finally:
            agent = shutil.which("gpgconf")
            if agent is not None:
                subprocess.run(
                    [agent, "--homedir", home, "--kill", "gpg-agent"],
                    check=False,
                    capture_output=True,
                    timeout=30,
                )


@contextmanager
def _encrypted(target: IO[bytes], passphrase_file: Path) -> Iterator[IO[bytes]]:
    words = ("--symmetric", "--cipher-algo", "AES256", "--compress-algo", "zlib", "--output", "-")
    with _gpg(*words, passphrase_file=passphrase_file) as argv, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=target, stderr=errors)
        assert process.stdin is not None
        try:
            yield process.stdin
            process.stdin.close()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.wait() != 0:
            raise BadBackup(f"The backup can't be encrypted: {_error_text(errors)}")


@contextmanager
def _decrypted(source: IO[bytes], passphrase_file: Path) -> Iterator[IO[bytes]]:
    """The whole message is checked before anything of it is believed: the caller compares digests,
    and GnuPG's own status is looked at after the end."""
    with (
        _gpg("--decrypt", passphrase_file=passphrase_file) as argv,
        tempfile.TemporaryFile() as errors,
    ):
        process = subprocess.Popen(argv, stdin=source, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        try:
            yield process.stdout
            while process.stdout.read(2**20):
                pass  # what follows the archive's end
        except BadBackup as error:
            process.stdout.close()
            if process.wait() != 0:
                raise BadBackup(f"The backup can't be decrypted: {_error_text(errors)}") from error
            raise
        finally:
            process.stdout.close()
            status = process.wait()
        if status != 0:
            raise BadBackup(f"The backup can't be decrypted: {_error_text(errors)}")


def _error_text(file: IO[bytes]) -> str:
    file.seek(0)
    lines = file.read(4000).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "gpg doesn't say why"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
