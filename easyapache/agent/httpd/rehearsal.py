"""The trial start: httpd started with the new set of modules on the current configuration.

``httpd -t`` accepts configurations that then fail to start, such as ITK under a threaded MPM. So
the ServerRoot is copied, files of packages to remove are deleted from the copy, those of packages
to install are added, and httpd is started there in its own network namespace on its real addresses
or, without the rights for that, on unused loopback ports.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from easyapache.agent.change.progress import label, observed
from easyapache.agent.config import HostConfig
from easyapache.agent.httpd import rehearsal_stage
from easyapache.agent.httpd.addresses import own_addresses
from easyapache.agent.httpd.apache_config import ApacheConfig, read_config
from easyapache.agent.httpd.httpd import Httpd
from easyapache.agent.httpd.listeners import ways_in
from easyapache.agent.httpd.server_root_copy import Copier
from easyapache.agent.httpd.sockets import is_address
from easyapache.agent.packages.rpm import RpmDatabase
from easyapache.agent.packages.unpack import unpack
from easyapache.agent.runner import Runner
from easyapache.agent.server import HostError, Log
from easyapache.ea4.profile import Transaction
from easyapache.ea4.sentences import Sentence

_UNSHARE = ("unshare", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")
_NAMESPACE, _LOOPBACK = "network namespace", "loopback ports"
_LINKS = ("modules", "logs", "run")
_LIMIT = 30


class Rehearsal:
    def __init__(self, config: HostConfig, runner: Runner, httpd: Httpd, rpm: RpmDatabase) -> None:
        self.config, self.runner, self.httpd, self.rpm = config, runner, httpd, rpm

    def isolation(self) -> str:
        """``network namespace`` where this process may make one, else ``loopback ports``."""
        probe = self.runner.capture([*_UNSHARE, "true"])
        return _NAMESPACE if probe.ok else _LOOPBACK

    def perform(
        self, transaction: Transaction, mpm: str, itk: bool, folder: Path, incoming: Path, log: Log
    ) -> None:
        """Raises HostError ``rehearsal`` with httpd's output. ``incoming`` holds the files of the
        packages to install; ``folder`` is scratch space and is emptied."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        server_root = self._stage(transaction, folder, incoming)
        # Short, because the path of a Unix socket ends at 107 bytes.
        runtime = Path(tempfile.mkdtemp(prefix="ea4-"))
        try:
            self._play(server_root, runtime, mpm, itk, folder, log)
        finally:
            shutil.rmtree(runtime, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)

    # -- the copy --------------------------------------------------------------------------

    def _stage(self, transaction: Transaction, folder: Path, incoming: Path) -> Path:
        """The copied ServerRoot with the modules as they will be."""
        real = self.config.server_root
        copy = folder / "etc"
        read = {path.parent for path in self.httpd.read().files}
        Copier(real, copy, _LINKS, frozenset(read)).copy()
        modules = (real / "modules").resolve()
        (copy / "modules").mkdir()
        for path in modules.iterdir():
            (copy / "modules" / path.name).symlink_to(path)
        (copy / "logs").symlink_to((real / "logs").resolve())
        (copy / "run").mkdir()

        on_server, modules_on_server = self._server_path(real), self._server_path(modules)
        for removed in self.rpm.owned_paths(package.name for package in transaction.remove):
            self._place(removed, copy, on_server, modules_on_server, None)
        unpacked = folder / "unpacked" / "root"
        for fresh in unpack(self.runner, incoming, transaction.install, unpacked):
            self._place(fresh, copy, on_server, modules_on_server, unpacked)
        replaced = {str(real): str(copy), **self._other_names(copy)}
        for path in copy.rglob("*"):
            if path.is_file() and not path.is_symlink():
                for old, new in replaced.items():
                    _replace_in(path, old, new)
        return copy

    def _other_names(self, copy: Path) -> dict[str, str]:
        """{path: place in the copy} of links elsewhere that lead into the ServerRoot and that the
        configuration uses, as /usr/local/apache/conf of cPanel."""
        real = self.config.server_root
        root, found = real.resolve(), {}
        for path in self.httpd.read().files:
            end = path.resolve()
            if path.is_relative_to(real) or not end.is_relative_to(root):
                continue
            while path.name == end.name and end != root and path.parent.resolve() == end.parent:
                path, end = path.parent, end.parent
            found[str(path)] = str(copy / end.relative_to(root))
        return found

    def _place(
        self, path: str, copy: Path, on_server: str, modules: str, source: Path | None
    ) -> None:
        """Delete one packaged file from the copy (no ``source``), or add it. An existing
        configuration file is kept: rpm would not overwrite it either."""
        for prefix, target in ((modules, copy / "modules"), (on_server, copy)):
            if path.startswith(prefix + "/"):
                place = target / path.removeprefix(prefix + "/")
                break
        else:
            return
        if not place.parent.resolve().is_relative_to(copy.resolve()):
            return  # by a link it leads out of the copy, where nothing may be touched
        if source is None:
            if place.is_symlink() or place.is_file():
                place.unlink()
        elif place.is_symlink() or not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            shutil.copy2(source / path.lstrip("/"), place)

    def _server_path(self, path: Path) -> str:
        resolved, root = path.resolve(), self.config.root.resolve()
        return (
            "/" + str(resolved.relative_to(root))
            if resolved.is_relative_to(root)
            else str(resolved)
        )

    # -- the play --------------------------------------------------------------------------

    def _play(
        self, server_root: Path, runtime: Path, mpm: str, itk: bool, folder: Path, log: Log
    ) -> None:
        real = self.config.server_root
        main = server_root / self.httpd.main_config.relative_to(real)
        around = self.httpd.surroundings()
        like = self.httpd.read()
        conf = read_config(server_root, main, around, like)
        where = self.isolation()
        if where == _LOOPBACK:
            _move_to_free_ports(conf)
            conf = read_config(server_root, main, around, like)
        log(f"starting {mpm}{' with ITK' if itk else ''} in a copy of {real}, on: {where}")
        settings = self._settings(conf, server_root, main, runtime, where, folder)
        stage = str(Path(rehearsal_stage.__file__).resolve())
        call = [sys.executable, "-I", stage, json.dumps(settings)]
        prefix = list(_UNSHARE) if where == _NAMESPACE else []
        environment = self.httpd.started.environment
        finished = self.runner.capture(
            [*prefix, *call], limit=_LIMIT + 60.0, environment=environment
        )
        try:
            result: dict[str, Any] = json.loads(finished.stdout)
        except ValueError:
            why = Sentence("The trial start could not be run.")
            raise HostError("rehearsal", why, "", finished.text) from None
        errors = runtime / "error_log"
        text = errors.read_text(errors="replace") if errors.exists() else ""
        said = (result["output"] + text).strip()
        # A reader looks for the file itself: the copy is gone by then.
        self._judge(result, mpm, itk, said.replace(str(server_root), self._server_path(real)), log)

    def _settings(
        self,
        conf: ApacheConfig,
        server_root: Path,
        main: Path,
        runtime: Path,
        where: str,
        folder: Path,
    ) -> dict[str, Any]:
        places = self._places(conf)
        requests = [
            {"address": address, "port": port, "tls": tls}
            for address, port, tls in ways_in(conf, places)
        ]
        override = [
            f"PidFile {runtime}/httpd.pid",
            f"ErrorLog {runtime}/error_log",
            f"DefaultRuntimeDir {runtime}",
        ]
        if "cgid_module" in conf.modules():
            override.append(f"ScriptSock {runtime}/cgid")
        argv = [self.httpd.argv[0], "-d", str(server_root), "-f", str(main)]
        # A path in an option is replaced by the copy's, as in the files.
        kept = self.httpd.started.beside(argv)
        argv += [
            _replaced(argument, str(self.config.server_root), str(server_root)) for argument in kept
        ]
        argv += [argument for line in override for argument in ("-c", line)]
        status = urlsplit(self.config.status_url)
        return {
            "net": where == _NAMESPACE,
            "addresses": own_addresses([address for address, _ in places]),
            "argv": [*argv, "-DFOREGROUND"],
            "requests": requests,
            "output": str(folder / "output"),
            "limit": _LIMIT,
            "status": {
                "address": status.hostname or "127.0.0.1",
                "port": status.port or 80,
                "tls": status.scheme == "https",
                "path": f"{status.path}?auto",
                "host": status.netloc,
            }
            if where == _NAMESPACE
            else None,
        }

    def _places(self, conf: ApacheConfig) -> list[tuple[str, int]]:
        """Where to reach the copy. For a name, where the running httpd has that port."""
        held = self.httpd.held()
        places: list[tuple[str, int]] = []
        for address, port in conf.listeners():
            if not address or is_address(address):
                places.append((address, port))
            else:
                places += [item for item in held if item[1] == port]
        return list(dict.fromkeys(places))

    def _judge(self, result: dict[str, Any], mpm: str, itk: bool, text: str, log: Log) -> None:
        if not result["up"]:
            failed = "; ".join(f"{place}: {error}" for place, error in result["errors"].items())
            ended = result["status"] is not None
            raise HostError(
                "rehearsal",
                Sentence("Apache would not start with {mpm}: {why}", mpm=mpm, why=_reason(text))
                if ended
                else Sentence(
                    "Apache started with {mpm} but doesn't answer: {why}", mpm=mpm, why=failed
                ),
                Sentence("Nothing was changed. Fix the error, then try again."),
                text,
            )
        seen = result["mpms"]
        reported = result.get("server_mpm") or (seen[0] if len(seen) == 1 else "")
        if seen != [mpm] or reported != mpm or result["itk"] is not itk:
            raise HostError(
                "rehearsal",
                Sentence(
                    "Apache started with {seen} instead of {wanted}.",
                    seen=observed(seen, result["itk"]),
                    wanted=label(mpm, itk),
                ),
                Sentence("Look for LoadModule lines outside the packages."),
                text,
            )
        places = ", ".join(f"{address}:{port}" for address, port, _ in result["answers"])
        log(f"it started as {mpm}{' with ITK' if itk else ''} and answered on {places}")


def _replaced(text: str, old: str, new: str) -> str:
    return _as_a_whole(old.encode()).sub(new.encode(), text.encode()).decode()


def _as_a_whole(path: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?<![\w/.-])" + re.escape(path) + rb"(?=[/\"'\s>]|$)")


def _replace_in(path: Path, old: str, new: str) -> None:
    """Replace whole occurrences of a path; files that are not text are unchanged."""
    raw = path.read_bytes()
    if old.encode() not in raw or b"\0" in raw:
        return
    pattern = _as_a_whole(old.encode())
    mode = path.stat().st_mode
    path.write_bytes(pattern.sub(new.encode(), raw))
    path.chmod(mode)


def _move_to_free_ports(conf: ApacheConfig) -> None:
    """Rewrite the Listen lines of a copy to unused loopback ports."""
    lines: dict[Path, dict[int, str]] = {}
    for item in conf.named("Listen"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        rest = " ".join(["Listen", f"127.0.0.1:{port}", *item.arguments[1:]])
        lines.setdefault(item.path, {})[item.line] = rest
    for path, changes in lines.items():
        text = path.read_bytes().split(b"\n")
        for number, line in changes.items():
            text[number - 1] = line.encode(errors="surrogateescape")
        path.write_bytes(b"\n".join(text))


def _reason(text: str) -> str:
    """The most informative line of httpd's output."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (
        r"cannot use threaded MPMs",
        r"not compiled to be threadsafe",
        r"AH00534",
        r"AH00526|Invalid command|Syntax error|Cannot load",
        r":crit\]|:emerg\]|:error\]",
    ):
        for number, line in enumerate(lines):
            if re.search(pattern, line):
                # The text of a syntax error is on the line after its location.
                more = lines[number + 1 : number + 2] if line.endswith(":") else []
                return " ".join([line, *more])[:400]
    return lines[-1][:400] if lines else Sentence("it exited without a message")
