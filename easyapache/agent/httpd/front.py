"""Who else answers visitors on this machine: a server in front of Apache, or one in its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from easyapache.agent.httpd.processes import PROC
from easyapache.agent.httpd.sockets import holders, listening, listening_of, socket_inodes

PUBLIC_PORTS = (80, 443)
_HTTPD = frozenset({"httpd", "apache2"})
_MOST = 8


def other_servers(parent: int | None, ports: Iterable[int] = PUBLIC_PORTS) -> list[dict[str, Any]]:
    """[{program, port, pid}] of what listens on these ports and is no httpd; ``parent``: the httpd
    whose sockets are its own. One entry for each program and port; the machine's processes are
    looked through only where there is such a socket."""
    wanted = set(ports)
    own = {item.inode for item in listening_of(parent).values()} if parent else set()
    foreign = {
        item.inode: item.port
        for item in listening()
        if item.port in wanted and item.inode not in own
    }
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for pid in holders(foreign):
        program = _program(pid)
        if not program or program in _HTTPD:
            continue
        for inode in socket_inodes(pid).keys() & foreign.keys():
            port = foreign[inode]
            found.setdefault((program, port), {"program": program, "port": port, "pid": pid})
    return [found[key] for key in sorted(found)][:_MOST]


def _program(pid: int) -> str:
    """The kernel's name for it, even if it has overwritten its command line."""
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""
