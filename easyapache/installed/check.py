"""``ea4-mpm check``: problems of this installation, and how to fix them."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from easyapache.installed import universal_hooks
from easyapache.installed.layout import (
    PREPARE,
    RESUME,
    Layout,
    Refused,
    account,
    manage,
    read_env,
    run,
    systemctl,
)
from easyapache.installed.setup import page_problem
from easyapache.installed.whm import Whm, faults
from easyapache.tickets import LOOPBACK

_LOW_DISK = 500 << 20
_EXPIRES_SOON = 21 * 86400
_LONGEST_SILENCE = 90


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``remedy`` is what to do where it is not in order."""

    what: str
    ok: bool
    detail: str = ""
    remedy: str = ""

    def as_json(self) -> dict[str, object]:
        return {"what": self.what, "ok": self.ok, "detail": self.detail, "remedy": self.remedy}


def check(layout: Layout) -> list[Finding]:
    """Everything, in the order in which one part needs the other. Raises Refused where nothing is
    set up."""
    if not (layout.panel_is_set_up or layout.agent_is_set_up):
        raise Refused("Nothing is set up on this machine. Run ea4-mpm setup.")
    return [
        _tree(layout),
        *_files(layout),
        _disk(layout),
        *_units(layout),
        _redis(layout),
        *(_panel(layout) if layout.panel_is_set_up else ()),
        *(_agent(layout) if layout.agent_is_set_up else ()),
        *(_whm(layout) if Whm(layout).is_installed else ()),
    ]


def _tree(layout: Layout) -> Finding:
    """Compare each file of the current version with its digest in the package."""
    tree, what = layout.current.resolve(), "The installed files are as they were packed"
    manifest = tree / "MANIFEST"
    if not manifest.is_file():
        return Finding(what, False, f"{manifest} is missing", "Install the package again.")
    differing = []
    for line in manifest.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = tree / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            differing.append(name)
    if not differing:
        return Finding(what, True, f"version {tree.name}, Python {sys.version.split()[0]}")
    listed = ", ".join(differing[:3]) + (" …" if len(differing) > 3 else "")
    return Finding(what, False, f"{len(differing)} differ: {listed}", "Install the package again.")


def _files(layout: Layout) -> Iterator[Finding]:
    """Owners and modes of secret files and of those that only root may write."""
    private = {
        layout.config: 0o750,
        layout.secrets: 0o750,
        layout.certificate.parent: 0o750,
        layout.certificate: 0o644,
        layout.redis_conf: 0o644,
        layout.agent_toml: 0o600,
        layout.agent_env: 0o600,
        layout.agent_key: 0o600,
        layout.panel_env: 0o640,
        layout.broker_env: 0o640,
        layout.certificate_key: 0o640,
        **dict.fromkeys(layout.secrets.glob("*"), 0o640),
    }
    wrong = []
    for path, mode in private.items():
        if not path.exists():
            continue
        found = path.stat()
        if found.st_uid != 0 or stat.S_IMODE(found.st_mode) & ~mode:
            wrong.append(str(path))
    yield Finding(
        "Settings and keys are root's, and no other account can read them",
        not wrong,
        ", ".join(wrong),
        "Run ea4-mpm setup: it sets owner and mode again.",
    )
    if layout.panel_is_set_up:
        found = layout.panel_state.stat()
        mine = found.st_uid == account().pw_uid and not stat.S_IMODE(found.st_mode) & 0o077
        yield Finding(
            "The state of the panel belongs to its account alone",
            mine,
            str(layout.panel_state),
            "Run ea4-mpm setup.",
        )


def _disk(layout: Layout) -> Finding:
    free = shutil.disk_usage(layout.state).free
    return Finding(
        "The disk has room for a change",
        free >= _LOW_DISK,
        f"{free >> 20} MiB are free below {layout.state}",
        "A change needs some 200 MiB for its restore point. Free some space.",
    )


def _units(layout: Layout) -> Iterator[Finding]:
    for unit in layout.units():
        state = systemctl("is-active", unit, check=False)
        enabled = systemctl("is-enabled", unit, check=False)
        idle = unit == RESUME  # runs at boot, and has ended
        ok = (state == "active" or idle) and (enabled == "enabled" or unit == PREPARE)
        yield Finding(
            f"{unit} runs" if not idle else f"{unit} is enabled",
            ok and state != "failed",
            f"{state}, {enabled}",
            f"systemctl status {unit}; journalctl -u {unit} -n 50; then ea4-mpm setup",
        )


def _redis(layout: Layout) -> Finding:
    url, what = read_env(layout.broker_env).get("REDIS_URL", ""), "Redis answers"
    if not url.startswith("unix://"):
        return Finding(what, True, "another machine's, or one that you run: not looked at here")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(url.removeprefix("unix://").partition("?")[0])
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except OSError as error:
        return Finding(what, False, str(error), "systemctl restart ea4-mpm-redis")
    return Finding(what, answer == b"+PONG\r\n", answer.decode("ascii", "replace").strip())


def _panel(layout: Layout) -> Iterator[Finding]:
    why = page_problem(layout)
    yield Finding("The panel answers", not why, why, "journalctl -u ea4-mpm-web -n 50")
    yield _certificate(layout)
    deployed = manage(layout, "check", "--deploy", "--fail-level", "WARNING", check=False)
    output = deployed.stderr.strip() or deployed.stdout.strip()
    yield Finding(
        "Database and settings are in order",
        deployed.returncode == 0,
        "" if deployed.returncode == 0 else output[-600:],
        "See docs/reference/settings.md.",
    )
    pulse = manage(layout, "pulse", "control", "--within", str(_LONGEST_SILENCE), check=False)
    yield Finding(
        "The worker takes messages",
        pulse.returncode == 0,
        (pulse.stdout.strip() or pulse.stderr.strip())[-200:],
        "journalctl -u ea4-mpm-worker -n 50",
    )


def _certificate(layout: Layout) -> Finding:
    what = "The certificate is valid for three weeks at least"
    path = read_env(layout.panel_env).get("EA4_CERTIFICATE", "")
    lasts = run(
        ["openssl", "x509", "-in", path, "-noout", "-checkend", str(_EXPIRES_SOON)], check=False
    )
    ends = run(["openssl", "x509", "-in", path, "-noout", "-enddate"], check=False).stdout.strip()
    return Finding(
        what,
        lasts.returncode == 0,
        ends.removeprefix("notAfter="),
        "ea4-mpm setup --certificate FILE --certificate-key FILE; for a new one that the panel "
        f"signs itself, remove {path} first.",
    )


def _agent(layout: Layout) -> Iterator[Finding]:
    cut_off = unfinished(layout)
    yield Finding(
        "No change is unfinished",
        not cut_off,
        ", ".join(cut_off),
        "A change that runs ends by itself. One that was cut off is taken up by the agent: "
        "systemctl status ea4-mpm-agent",
    )
    lost = universal_hooks.missing(layout)
    yield Finding(
        "Changes made outside are told at once",
        not lost,
        ", ".join(lost),
        "Run ea4-mpm setup: it writes the hook of the package manager again.",
    )
    httpd = systemctl("is-active", "httpd.service", check=False)
    yield Finding(
        "httpd.service is active", httpd == "active", httpd, "See docs/how-to/at-3-am.md."
    )


def _whm(layout: Layout) -> Iterator[Finding]:
    if layout.panel_is_set_up:
        yield panel_address(read_env(layout.panel_env))
    wrong = faults(layout)
    yield Finding(
        "The entry in WHM opens the panel",
        not wrong,
        ", ".join(wrong) or Whm(layout).panel,
        "Run ea4-mpm whm install, or ea4-mpm whm remove.",
    )


def panel_address(settings: Mapping[str, str]) -> Finding:
    """As mpm.web.address: by PANEL_URL, or by the only name of the panel."""
    address = settings.get("PANEL_URL", "")
    names = set(settings.get("ALLOWED_HOSTS", "").split(",")) - {*LOOPBACK, ""}
    sure = bool(address) or (len(names) <= 1 and not any(name[0] in ".*" for name in names))
    return Finding(
        "The panel knows its address, which sign-in from WHM needs",
        sure,
        address or (", ".join(sorted(names)) if sure else "PANEL_URL isn't set"),
        "Run ea4-mpm setup, which sets PANEL_URL.",
    )


def unfinished(layout: Layout) -> list[str]:
    """The changes of this server that have no outcome yet."""
    found = []
    for request in sorted(layout.spool.glob("*/request.json")):
        journal = request.with_name("journal.jsonl")
        try:
            lines = journal.read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        if not any(_is_outcome(line) for line in lines):
            found.append(request.parent.name)
    return found


def _is_outcome(line: str) -> bool:
    try:
        report = json.loads(line)
    except ValueError:
        return False
    return isinstance(report, dict) and report.get("kind") == "outcome"


def wait_for_changes(layout: Layout, seconds: float) -> list[str]:
    """Wait until no change is unfinished, up to a limit; returns those that still are."""
    end = time.monotonic() + seconds
    while (left := unfinished(layout)) and time.monotonic() < end:
        time.sleep(0.5)
    return left
