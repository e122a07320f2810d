"""Unpacks the files of packages to install without installing them."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from easyapache.agent.packages.kit import rpm_file
from easyapache.agent.runner import Runner
from easyapache.agent.server import HostError
from easyapache.ea4.profile import Package
from easyapache.ea4.sentences import Sentence


def unpack(runner: Runner, folder: Path, packages: Sequence[Package], target: Path) -> list[str]:
    """Unpack packages below ``target`` without running anything of theirs; the paths of their
    files on the server. Raises HostError ``rehearsal``."""
    target.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    for package in packages:
        source = rpm_file(folder, package)
        if source is None:
            raise HostError(
                "rehearsal",
                Sentence(
                    "The file of {package} is not in {folder}.",
                    package=package.nevra,
                    folder=str(folder),
                ),
            )
        link = target.parent / source.name
        link.unlink(missing_ok=True)
        link.symlink_to(source.resolve())
        done = runner.capture(["rpm2archive", str(link)], limit=300.0)
        archives = sorted(target.parent.glob(f"{source.name}.t*"))
        if not done.ok or not archives:
            why = Sentence("{file} can't be unpacked.", file=source.name)
            raise HostError("rehearsal", why, "", done.text)
        with tarfile.open(archives[0]) as archive:
            for member in archive:
                parts = PurePosixPath(member.name.lstrip("./")).parts
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    continue  # folders are made as needed; a link is no module and no configuration
                if ".." in parts:
                    raise HostError(
                        "rehearsal",
                        Sentence("{file} holds {name}.", file=source.name, name=member.name),
                    )
                place = target.joinpath(*parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("wb") as handle:
                    shutil.copyfileobj(content, handle)
                place.chmod(member.mode & 0o777)
                found.append("/" + "/".join(parts))
        archives[0].unlink()
        link.unlink()
    return found
