"""The same change on a server with a handful of virtual hosts and on one with thousands."""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import Section, Table, ratio, spread, whole
from easyapache.agent.change.engine import Engine
from easyapache.agent.change.spool import Spool
from easyapache.agent.config import HostConfig
from easyapache.agent.drivers import remember
from easyapache.agent.real import RealServer
from easyapache.ea4.protocol import ChangeRequest, Goal
from lab.server import Lab
from lab.vhosts import many_hosts

NAME = "size"
TITLE = "A change on a small server and on a large one"
SIZES = (6, 2000)
ROUNDS = ("event", "prefork", "event", "prefork")
PREFIX = "ea-apache24-mod_"


@dataclass
class Site:
    """One server and its measurements, in seconds."""

    lab: Lab
    config: HostConfig
    changes: list[float] = field(default_factory=list)
    tests: list[float] = field(default_factory=list)

    def change(self, mpm: str) -> None:
        server = RealServer(self.config)
        began = time.monotonic()
        server.httpd.test()
        self.tests.append(time.monotonic() - began)
        request = self._request(server, mpm)
        folder = Spool(self.config.spool).create(request)[0]
        began = time.monotonic()
        outcome = Engine(folder, RealServer(self.config), self.config).run()
        self.changes.append(time.monotonic() - began)
        if outcome.data["outcome"] != "succeeded":
            raise RuntimeError(f"the change to {mpm} ended as {outcome.data}")

    def _request(self, server: RealServer, mpm: str) -> ChangeRequest:
        cgi = "cgi" if mpm == "prefork" else "cgid"
        wish = (f"{PREFIX}{cgi}", f"{PREFIX}mpm_{mpm}")
        answer = server.resolve(Goal(wish), protect=False)
        goal = Goal(wish, (), tuple(sorted(package.name for package in answer.remove)))
        return ChangeRequest(uuid.uuid4().hex, self.config.server, goal, answer, mpm, False)


@contextmanager
def _site(folder: Path, size: int) -> Iterator[Site]:
    folder.chmod(0o755)  # httpd's workers run as another user
    lab = Lab.create(folder / f"with-{size}", "minimal", extra=(f"{PREFIX}suexec",))
    try:
        text = many_hosts(size, lab.setup.ports.http, lab.root / "var/www/static")
        (lab.root / "etc/apache2/conf.d/zz-many.conf").write_text(text, encoding="utf-8")
        lab.up()
        config = lab.host_config()
        Spool(config.spool).prepare()
        remember(config)
        yield Site(lab, config)
    finally:
        lab.destroy()


def measure(report: Callable[[str], None]) -> Section:
    """Both servers make the same changes, in turns."""
    small, large = SIZES
    with (
        tempfile.TemporaryDirectory(prefix="ea4-size-") as scratch,
        _site(Path(scratch), small) as first,
        _site(Path(scratch), large) as second,
    ):
        for mpm in ROUNDS:
            for site in (first, second):
                site.change(mpm)
            report(f"to {mpm}: {first.changes[-1]:.2f} s and {second.changes[-1]:.2f} s")
    return section(first, second)


def section(first: Site, second: Site) -> Section:
    small, large = (whole(size) for size in SIZES)
    one, many = statistics.median(first.changes), statistics.median(second.changes)
    test = statistics.median(second.tests)
    bound = 2 * one + 2 * test
    rows = tuple(
        (name, spread(site.changes), spread(site.tests))
        for name, site in ((small, first), (large, second))
    )
    kept = "within" if many <= bound else "beyond"
    return Section(
        findings=(
            (
                f"With {large} virtual hosts a change takes {ratio(many, one)} what it takes with "
                f"{small}; that is {kept} twice the small one and two of httpd's own tests "
                f"({bound:.2f} s)."
            ),
        ),
        tables=(Table("Seconds.", ("virtual hosts", "a change", "httpd -t alone"), rows),),
        method=(
            (
                f"{len(ROUNDS)} changes on each server, in turns in one process; each asks a "
                "new driver, as a new engine does."
            ),
        ),
    )
