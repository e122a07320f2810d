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
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return False
    try:
        if os.fstatvfs(handle).f_flag & os.ST_RDONLY:
            return True
        answer = fcntl.ioctl(handle, _GET_FLAGS, struct.pack("l", 0))
        return bool(struct.unpack("l", answer)[0] & (_IMMUTABLE | _APPEND_ONLY))
    except OSError:  # a file system without such flags
        return False
    finally:
        os.close(handle)
