"""Four ways to change the MPM, each on a server of its own: what they are and how each is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol, Self

from demo.folder import PROJECT
from demo.panel import Panel
from demo.servers import LabServer
from easyapache.agent.httpd.processes import identify
from lab import apache
from lab.installroot import RELEASE
from lab.process import LabError, run
from lab.server import Lab

HERE = Path(__file__).resolve().parent
ANSIBLE = PROJECT / ".venv-bench" / "bin" / "ansible-playbook"
PREFIX = "ea-apache24-mod_mpm_"


class SwitchFailed(Exception):
    """A contender failed; the message is its output."""


class Contender(Protocol):
    """``switch`` returns when its way considers the work done. Raises SwitchFailed."""

    title: str
    lab: Lab

    def switch(self, before: str, after: str) -> None: ...

    def close(self) -> None:
        """Stop its background processes."""


class RawDnf:
    """An administrator at a shell, with luck and no pause: as fast as it can be done by hand."""

    title = "raw: `dnf swap`, `httpd -k stop`, start as soon as it has stopped"

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def switch(self, before: str, after: str) -> None:
        httpd, running = apache.program(self.lab.root), identify(self.lab.pid or 0)
        try:
            self.lab.dnf("-y", "swap", PREFIX + before, PREFIX + after, "--allowerasing")
            run([*httpd, "-k", "stop"])
            while running is not None and running.alive:  # its pid file is removed too early
                time.sleep(0.005)
            run([*httpd, "-k", "start"])
        except LabError as error:
            raise SwitchFailed(str(error)) from error

    def close(self) -> None:
        """Nothing runs."""


class Script:
    """The same in a script, with the usual pause."""

    title = "script: the same with `sleep 1` between stop and start"

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self._dnf, self._httpd = folder / "dnf.words", folder / "httpd.words"
        self._dnf.write_text(" ".join(lab.place.package_manager()), encoding="utf-8")
        self._httpd.write_text(" ".join(apache.program(lab.root)), encoding="utf-8")

    def switch(self, before: str, after: str) -> None:
        argv: list[str | Path] = ["sh", HERE / "switch.sh", before, after, self._dnf, self._httpd]
        try:
            run(argv, environment=self.lab.place.environment)
        except LabError as error:
            raise SwitchFailed(str(error)) from error

    def close(self) -> None:
        """Nothing runs."""


class Ansible:
    """A lean playbook (playbook.yml) on the same machine: no network, no facts gathered."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        if not ANSIBLE.exists():
            raise SwitchFailed(f"{ANSIBLE} is not there; `make bench` puts it there")
        self.lab = lab
        self.title = f"Ansible (ansible-core {_ansible_version()}): a lean playbook, local"
        self._home = folder
        self._values = {
            "ansible_python_interpreter": "/usr/bin/python3",  # the one that has dnf's library
            "installroot": str(lab.root),
            "conf_file": str(lab.place.dnf_conf),
            "releasever": RELEASE,
            "rpm_environment": lab.place.environment,
            "httpd": list(apache.program(lab.root)),
            "pid_file": str(lab.root / apache.PID_FILE),
            "port": lab.setup.ports.http,
        }

    def switch(self, before: str, after: str) -> None:  # noqa: ARG002 (it finds out by itself)
        values = json.dumps({**self._values, "mpm": after})
        argv = [ANSIBLE, "-i", "localhost,", HERE / "playbook.yml", "-e", values]
        environment = {
            "HOME": str(self._home),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            [str(part) for part in argv],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SwitchFailed(f"{done.stdout}{done.stderr}"[-3000:])

    def close(self) -> None:
        """Nothing runs."""


def _ansible_version() -> str:
    python = ANSIBLE.parent / "python"
    question = "import ansible.release; print(ansible.release.__version__)"
    return run([python, "-c", question]).stdout.strip()


class ThisPanel:
    """The whole stack of ``make demo``, by the service that its pages and APIs call.

    ``lasted`` collects (seconds, steps) of each change from the panel.
    """

    title = "this panel: from the request to verified"

    def __init__(self, stock: Lab, folder: Path) -> None:
        servers = folder / "servers"
        folder.mkdir()
        servers.mkdir(mode=0o711)
        self.lab = stock.clone(servers / LabServer.name)
        self.panel = Panel.start(folder)
        self.lasted: list[dict[str, Any]] = []
        self._asker = subprocess.Popen(
            [sys.executable, "-m", "bench.asker", LabServer.name],
            cwd=PROJECT,
            env=dict(self.panel.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self._next_answer()
        except SwitchFailed:
            self.close()
            raise

    def switch(self, before: str, after: str) -> None:  # noqa: ARG002
        assert self._asker.stdin is not None
        self._asker.stdin.write(json.dumps({"mpm": after}) + "\n")
        self._asker.stdin.flush()
        answer = self._next_answer()
        if answer["state"] != "succeeded":
            raise SwitchFailed(f"{answer['state']}: {answer['sentence']}")
        self.lasted.append(answer)

    def _next_answer(self) -> Any:
        assert self._asker.stdout is not None
        line = self._asker.stdout.readline()
        if not line:
            raise SwitchFailed("the panel did not answer; what it said is above")
        return json.loads(line)

    def close(self) -> None:
        assert self._asker.stdin is not None
        self._asker.stdin.close()
        self._asker.wait()
        self.panel.stop()


class Field:
    """All contenders, each with a fresh copy of one server; ``close`` leaves nothing behind."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ea4b")
        top = Path(self._folder.name)
        top.chmod(0o755)  # httpd's workers run as another user
        stock = Lab.create(top / "s")
        self.contenders: list[Contender] = []
        try:
            self.contenders.append(RawDnf(stock.clone(top / "a")))
            for name, kind in (("b", Script), ("c", Ansible)):
                home = top / f"{name}h"
                home.mkdir()
                self.contenders.append(kind(stock.clone(top / name), home))
            self.this_panel = ThisPanel(stock, top / "d")
            self.contenders.append(self.this_panel)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for contender in self.contenders:
            contender.close()
            contender.lab.down()
        self._folder.cleanup()
