#!/usr/bin/env python3
"""Run a command where every account may enter this checkout: ``open_place.py COMMAND [ARG …]``.

Parts of the panel drop root's rights, and tests check that. In root's home, which only root can
enter, they could not even read the project. The command then sees the checkout at the same path in
an open place, by a mount in its own namespace; nothing changes on disk. If that is not needed or
not possible, the command simply runs.

Standard library only, as prepare.py, and for the same reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
MOUNTED = """
top=$1 closed=$2 open=$3 cache=$4
shift 4
mount --bind "$top" "$open/${top#"$closed"/}" || exit 1
[ -z "$cache" ] || mount --bind "$cache" "$open/${cache#"$closed"/}" || exit 1
mount --rbind "$open" "$closed" && cd "$top" && exec "$@"
"""


def closed_above(path: Path) -> Path | None:
    """The uppermost folder on the way that other accounts cannot pass through."""
    for folder in reversed(path.parents):
        if folder != Path("/") and not folder.stat().st_mode & 0o001:
            return folder
    return None


def cache_in(closed: Path) -> Path | None:
    """The user's cache, where it would be out of sight: servers of the lab are kept there."""
    cache = Path.home() / ".cache"
    if closed not in cache.parents:
        return None
    cache.mkdir(exist_ok=True)
    return cache


def can_mount() -> bool:
    probe = ["unshare", "--mount", "--propagation", "private", "true"]
    return bool(
        os.geteuid() == 0
        and shutil.which("unshare")
        and shutil.which("mount")
        and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    )


def main(command: list[str], top: Path = TOP) -> int:
    closed = closed_above(top)
    if closed is None or not can_mount():
        os.execvp(command[0], command)  # noqa: S606
    cache = cache_in(closed)
    folder = Path(tempfile.mkdtemp(prefix="ea4-open"))
    folder.chmod(0o755)
    for path in (top, *([cache] if cache else [])):
        (folder / path.relative_to(closed)).mkdir(parents=True, exist_ok=True)
    print(f"{closed} is closed to other accounts; {top} is shown to them meanwhile", flush=True)
    places = [str(top), str(closed), str(folder), str(cache or "")]
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTED, "sh"]
    process = subprocess.Popen([*argv, *places, *command])
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            continue  # the command has got it too, and ends as it likes
    # Nothing is mounted there outside; should it be after all, removing would go too far.
    if str(folder) not in Path("/proc/self/mounts").read_text():
        shutil.rmtree(folder)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
