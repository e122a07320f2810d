"""Files that not even root can replace: with the immutable flag, or on a read-only file system.

rpm fails in the middle of a transaction where it meets one (``cpio: rename failed - Operation not
permitted``), with packages half exchanged.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from easyapache.agent.config import HostConfig

_GET_FLAGS = 0x80086601
"""FS_IOC_GETFLAGS of linux/fs.h."""
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_MOST = 50
_CHANGED_BY_ALL = ("var/lib/rpm", "usr/share/rpm")
"""What every transaction writes to."""
_MACHINE = Path("/proc/1/root")
"""The file systems as process 1 has them mounted, where transactions run. The agent's own unit sees
nearly all of them read-only (ProtectSystem=strict)."""


def immutable_files(config: HostConfig, owned: Mapping[str, str]) -> dict[str, str]:
    """{path on the server: package} of what can't be replaced among the packages' files in httpd's
    configuration and modules; of httpd.conf, of the folders and of the rpm database the package is
    "". ``owned``: {path: package}."""
    found: dict[str, str] = {}
    for path, package in _places(config, owned):
        if len(found) < _MOST and _cannot_be_replaced(path):
            inside = path.is_relative_to(config.root)
            found[f"/{path.relative_to(config.root)}" if inside else str(path)] = package
    return found


def _places(config: HostConfig, owned: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    root = config.server_root
    for place in (root / "conf.modules.d", root / "modules", root / "conf/httpd.conf"):
        yield place, ""
    for name in _CHANGED_BY_ALL:
        yield config.root / name, ""
    for name, package in owned.items():
        if "/conf.modules.d/" in name or name.endswith(".so"):
            yield config.root / name.lstrip("/"), package


def _cannot_be_replaced(path: Path) -> bool:
    handle = _opened(_MACHINE / path.relative_to("/"))
    mounted_read_only = handle is not None and _is_read_only(handle)
    if handle is None:  # it isn't there for process 1, or this is another account
        handle = _opened(path)
    if handle is None:
        return False
    try:
        return mounted_read_only or _has_flag(handle)
    finally:
        os.close(handle)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None


def _is_read_only(handle: int) -> bool:
    return bool(os.fstatvfs(handle).f_flag & os.ST_RDONLY)


def _has_flag(handle: int) -> bool:
    try:
        answer = fcntl.ioctl(handle, _GET_FLAGS, struct.pack("l", 0))
    except OSError:  # a file system without such flags
        return False
    return bool(struct.unpack("l", answer)[0] & (_IMMUTABLE | _APPEND_ONLY))
