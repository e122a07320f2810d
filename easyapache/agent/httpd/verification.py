"""Checks that the server is in the planned state. Every value is read from the server itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence

from easyapache.agent.httpd import sites
from easyapache.agent.httpd.addresses import ANY_4, ANY_6, reachable_at
from easyapache.agent.httpd.apache_config import ApacheConfig
from easyapache.agent.httpd.httpd import SWITCHED_OFF, Httpd
from easyapache.agent.httpd.processes import Identity, children_of
from easyapache.agent.httpd.sockets import is_address, listening_of
from easyapache.agent.httpd.surroundings import surroundings_of
from easyapache.agent.httpd.unit import NAME, State
from easyapache.agent.packages.rpm import RpmDatabase
from easyapache.agent.server import Check, SiteAnswer
from easyapache.ea4.profile import Observation, Profile, Transaction
from easyapache.ea4.sentences import Sentence, all_of, counted, joined

PREFIX = "ea-apache24-mod_"
MPMS = ("event", "worker", "prefork")
_PATIENCE = 5.0
"""Seconds in which a new httpd may still be starting its workers."""


def mpm_package(mpm: str) -> str:
    return f"{PREFIX}mpm_{mpm}"


def cgi_package(mpm: str) -> str:
    """The CGI module for each kind of MPM: processes or threads."""
    return f"{PREFIX}cgi" if mpm == "prefork" else f"{PREFIX}cgid"


def package_checks(packages: Profile, transaction: Transaction, mpm: str, itk: bool) -> list[Check]:
    installed = {package.nevra for package in packages.packages}
    names = packages.names
    installing = {package.name for package in transaction.install}
    lacking = sorted(p.nevra for p in transaction.install if p.nevra not in installed)
    staying = sorted(
        p.nevra for p in transaction.remove if p.name not in installing and p.nevra in installed
    )
    wrong = [
        *(Sentence("{name} is not installed", name=name) for name in lacking),
        *(Sentence("{name} is still installed", name=name) for name in staying),
    ]
    confirmed = Sentence("as confirmed")
    found = sorted(name for name in MPMS if mpm_package(name) in names)
    has_itk = mpm_package("itk") in names
    return [
        Check(
            "packages",
            Sentence("Packages"),
            confirmed,
            joined("; ", wrong) if wrong else confirmed,
            not wrong,
        ),
        Check(
            "mpm_package",
            Sentence("MPM package"),
            mpm,
            all_of(found) or Sentence("none"),
            found == [mpm],
        ),
        Check("itk_package", Sentence("ITK package"), _yes(itk), _yes(has_itk), has_itk is itk),
    ]


def file_check(rpm: RpmDatabase, packages: Profile, transaction: Transaction, mpm: str) -> Check:
    """Files that rpm reports missing. Edited configuration files are intended, not damage."""
    names = {package.name for package in transaction.install} | {mpm_package(mpm), cgi_package(mpm)}
    wrong = []
    for package, items in rpm.verify(names & packages.names).items():
        for item in items:
            if item.lost:
                wrong.append(
                    Sentence("{path} of {package} is missing", path=item.path, package=package)
                )
            elif not item.config and "5" in item.flags:
                wrong.append(
                    Sentence(
                        "{path} of {package} is not the packaged file",
                        path=item.path,
                        package=package,
                    )
                )
    all_there = Sentence("complete")
    return Check(
        "files",
        Sentence("Package files"),
        all_there,
        joined("; ", wrong) if wrong else all_there,
        not wrong,
    )


def mpm_check(name: str, title: str, seen: Observation | None, error: str, mpm: str) -> Check:
    actual = all_of(seen.mpms) or Sentence("none") if seen else error or Sentence("no answer")
    return Check(name, title, mpm, actual, seen is not None and seen.mpms == (mpm,))


def itk_check(name: str, title: str, seen: Observation | None, itk: bool) -> Check:
    actual = _yes(seen.itk) if seen else Sentence("no answer")
    return Check(name, title, _yes(itk), actual, seen is not None and seen.itk is itk)


def listener_checks(httpd: Httpd, before: Sequence[tuple[str, int]] = ()) -> list[Check]:
    """For each former listener of httpd (or each Listen line, if unknown): a connection is
    accepted, and the socket belongs to this httpd alone. (A second httpd would serve some visitors
    with other modules.) A listener without a Listen line was removed on purpose, pending a
    restart."""
    conf = httpd.read()
    places = [item for item in before if conf.mentions_port(item[1]) or conf.problems]
    parent = httpd.parent()
    others = [str(item.pid) for item in httpd.parents() if item != parent]
    held = {(s.address, s.port) for s in listening_of(parent.pid).values()} if parent else set()
    checks = []
    for address, port in places or conf.listeners():
        title = Sentence("Listener {address}", address=f"{address or '*'}:{port}")
        expected = Sentence("answers")
        seen: str = expected
        if not _is_among(held, address, port):
            seen = Sentence("belongs to another process")
        elif others:
            seen = Sentence("is shared with process {pids}", pids=", ".join(others))
        else:
            try:
                socket.create_connection((_way_in(conf, address, port), port), timeout=5.0).close()
            except OSError as error:
                seen = str(error)
        checks.append(Check(f"listener:{address}:{port}", title, expected, seen, seen is expected))
    return checks


def _way_in(conf: ApacheConfig, address: str, port: int) -> str:
    """Where to reach a listener. For a wildcard socket the configuration shows whether it is for
    IPv6 only, which may refuse IPv4."""
    written = [where for where, number in conf.listeners() if number == port]
    six = address == ANY_4 and ANY_6 in written and ANY_4 not in written
    return reachable_at(ANY_6 if six else address)


def _is_among(held: Iterable[tuple[str, int]], address: str, port: int) -> bool:
    """A name matches any address it resolves to; a wildcard matches every address."""
    named = bool(address) and not is_address(address)
    return any(number == port and (named or where in ("", address)) for where, number in held)


def service_checks(httpd: Httpd) -> list[Check]:
    """Whether this httpd is systemd's service and has its surroundings. Empty if httpd is no
    service, or was not started by a restart of ours."""
    parent = httpd.parent()
    checks = []
    state = httpd.service_state()
    if state is not None:
        running = Sentence("active with this httpd")
        seen = _service_seen(httpd, state, parent) or running
        checks.append(
            Check("service", Sentence("Service {unit}", unit=NAME), running, seen, seen is running)
        )
    expected = httpd.kept.expected_of(parent) if parent else None
    now = surroundings_of(parent) if parent else None
    if expected is not None and now is not None:
        same = Sentence("as before")
        other = expected.differences(now)
        seen = joined("; ", other) if other else same
        checks.append(Check("surroundings", Sentence("Service settings"), same, seen, not other))
    return checks


def _service_seen(httpd: Httpd, state: State, parent: Identity | None) -> str:
    """The problem of the service; empty if there is none."""
    if not state.up:
        return Sentence("{state}, main process {pid}", state=state.active, pid=state.main)
    if parent is None:
        return Sentence("active, but httpd isn't running")
    if not httpd.is_main(state, parent):
        return Sentence("main process {pid} is not httpd", pid=state.main)
    if group := httpd.other_group(state, parent):
        return Sentence("httpd {pid} is in the control group {group}", pid=parent.pid, group=group)
    return ""


def switched_off_check(why: str) -> Check:
    return Check(SWITCHED_OFF, Sentence("Apache"), Sentence("switched off"), why, ok=True)


def worker_check(httpd: Httpd) -> Check:
    """After a start the port may be open without any worker behind it: there must be processes and,
    by mod_status (if enabled), an idle or busy worker."""
    end = time.monotonic() + _PATIENCE
    while True:
        parent = httpd.parent()
        processes = len(children_of(parent.pid)) if parent else 0
        status = httpd.status()
        workers = status.count("BusyWorkers") + status.count("IdleWorkers")
        enough = processes > 0 and (workers > 0 or not status.fields)
        if enough or parent is None or time.monotonic() > end:
            break  # where no httpd runs at all, something has ended it: waiting brings none back
        time.sleep(0.1)
    seen = counted("{count} process", "{count} processes", count=processes)
    if status.fields:
        seen = Sentence(
            "{processes}, workers: {busy} busy, {idle} idle",
            processes=seen,
            busy=status.count("BusyWorkers"),
            idle=status.count("IdleWorkers"),
        )
    return Check("workers", Sentence("Workers"), Sentence("at least one"), seen, enough)


def site_checks(before: Sequence[SiteAnswer]) -> list[Check]:
    checks = []
    # Sites that did not answer before prove nothing now and are skipped.
    answers = iter(sites.probe(sites.blank(site) for site in before if not site.error))
    for old in before:
        new = old if old.error else next(answers)
        changed = sites.difference(old, new)
        checks.append(
            Check(
                f"site:{old.host or old.url}",
                Sentence("Site {name} ({kind})", name=old.host or old.url, kind=old.kind),
                sites.summary(old),
                changed or sites.summary(new),
                not changed,
            )
        )
    return checks


def checks(
    httpd: Httpd,
    rpm: RpmDatabase,
    packages: Profile,
    transaction: Transaction,
    mpm: str,
    itk: bool,
    before: Sequence[SiteAnswer],
    listened: Sequence[tuple[str, int]] = (),
) -> list[Check]:
    """``packages``: the profile as it is now; ``listened``: where httpd listened before."""
    facts = packages.facts
    on_disk = [
        *package_checks(packages, transaction, mpm, itk),
        file_check(rpm, packages, transaction, mpm),
        mpm_check(
            "configured",
            Sentence("Configured MPM"),
            packages.configured,
            str(facts.get("configured_error", "")),
            mpm,
        ),
        itk_check("configured_itk", Sentence("Configured ITK"), packages.configured, itk),
    ]
    if packages.running is None and (off := httpd.switched_off()):
        return [*on_disk, switched_off_check(off)]
    return [
        *on_disk,
        mpm_check(
            "running",
            Sentence("Running MPM"),
            packages.running,
            str(facts.get("running_error", "")),
            mpm,
        ),
        itk_check("running_itk", Sentence("Running ITK"), packages.running, itk),
        *listener_checks(httpd, listened),
        worker_check(httpd),
        *service_checks(httpd),
        *site_checks(before),
    ]


def _yes(value: bool) -> str:
    return Sentence("on") if value else Sentence("off")
