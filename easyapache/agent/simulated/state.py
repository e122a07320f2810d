"""The state of a simulated server, and how it advances by the clock."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from easyapache.agent.change.durable import write_atomically
from easyapache.agent.change.progress import observed
from easyapache.agent.server import Check, Interruption, SiteAnswer
from easyapache.ea4.profile import Observation, Package, Profile, Transaction
from easyapache.ea4.relations import load_catalogue
from easyapache.ea4.sentences import Sentence

FAULTS: Mapping[str, str] = {
    "locked": "another package manager holds the lock",
    "disk_full": "not enough disk space, found by preflight",
    "repository_gone": "the repository does not answer",
    "bad_signature": "a package has no valid signature",
    "rehearsal": "the trial start fails",
    "pre_scriptlet": "%pre of the new MPM fails: the old one is gone, the new one is not there",
    "preun_scriptlet": "%preun of the old MPM fails: both are there",
    "post_scriptlet": "%post of the new MPM fails: a message, and nothing else",
    "killed_within": "the transaction is interrupted",
    "disk_full_within": "files of installed packages are missing",
    "dies_in_window": "a reload by something else ends httpd between packages and restart",
    "configtest": "httpd does not accept its configuration",
    "restart": "the old httpd is stopped and the new one does not start",
    "site_differs": "one site answers 500 under the new MPM",
    "undo_packages": "restoring the packages fails",
    "undo_restart": "httpd does not start with the old packages",
}
"""A fault happens as often as its number in the state; -1 means always."""

MPM_PACKAGE = "ea-apache24-mod_mpm_"
MPMS = ("event", "prefork", "worker")
PACE = 0.15
"""Seconds per package in the sandbox: slow enough to be followed by eye."""
_STRIP = tuple((number * 5, 0.4, "ok") for number in range(120))
NOTICED = Interruption(
    method="simulated",
    reason=Sentence("simulated server"),
    probes=len(_STRIP),
    longest_wait_ms=0.4,
    window_ms=float(len(_STRIP) * 5),
    strip=_STRIP,
)
"""The visitor impact of a simulated restart."""
_SITES: tuple[Mapping[str, str], ...] = (
    {"url": "http://127.0.0.1/", "host": "static.example.test", "kind": "static"},
    {"url": "http://127.0.0.1/cgi-bin/env", "host": "cgi.example.test", "kind": "cgi"},
    {"url": "http://127.0.0.1/index.php", "host": "php.example.test", "kind": "php"},
)


def create_state(
    path: Path,
    *,
    profile: str = "default",
    add: Sequence[str] = (),
    pace: float = PACE,
    faults: Mapping[str, int] | None = None,
) -> None:
    """Write the state of a fresh server with one of the stock profiles and its dependencies.

    Packages of the profile that the catalogue does not know are left out.
    """
    catalogue = load_catalogue()
    text = resources.files("easyapache.ea4").joinpath(f"data/profiles/{profile}.json").read_text()
    wanted = [name for name in (*json.loads(text)["pkgs"], *add) if name in catalogue]
    packages = catalogue.for_server(()).resolve(wanted).install
    state: dict[str, Any] = {
        "packages": [package.as_json() for package in packages],
        "missing_files": {},
        "running": None,
        "started": "",
        "facts": {"httpd_version": "2.4.67", "os": "Simulated EasyApache 4 server"},
        "sites": [dict(site) for site in _SITES],
        "faults": dict(faults or {}),
        "pace": pace,
        "transaction": None,
    }
    start_httpd(state)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, state)


def order_for_fault(state: dict[str, Any]) -> None:
    """After which package the transaction will stop, and with which message."""
    run = state["transaction"]
    run["stop"], run["last_words"], run["final"] = len(run["moves"]), "Complete!", 0
    state["undone"] = False
    outs = sum(1 for kind, _ in run["moves"] if kind == "out")
    if take_fault(state, "pre_scriptlet"):
        run["stop"], run["final"] = outs, 1
        run["last_words"] = "Error in PREIN scriptlet in rpm package (simulated)"
    elif take_fault(state, "preun_scriptlet"):
        moves = run["moves"]
        run["moves"] = [m for m in moves if m[0] == "in"] + [m for m in moves if m[0] == "out"]
        run["stop"], run["final"] = len(moves) - outs, 1
        run["last_words"] = "Error in PREUN scriptlet in rpm package (simulated)"
    elif take_fault(state, "killed_within"):
        run["stop"], run["final"], run["last_words"] = max(1, outs), -9, ""
    elif take_fault(state, "disk_full_within"):
        run["stop"], run["final"], run["torn_files"] = 0, 1, True
        run["last_words"] = "No space left on device (simulated)"
    elif take_fault(state, "post_scriptlet"):
        run["last_words"] = "Error in POSTIN scriptlet in rpm package (simulated)\nComplete!"


def advance(state: dict[str, Any], moment: float) -> None:
    run = state["transaction"]
    if run is None or run["status"] is not None:
        return
    pace = float(state["pace"])
    due = run["stop"] if pace <= 0 else int((moment - run["begun"]) / pace)
    while run["done"] < min(due, run["stop"]):
        kind, package = run["moves"][run["done"]]
        state["packages"] = [p for p in state["packages"] if p["name"] != package["name"]]
        if kind == "in":
            state["packages"].append(package)
        verb = "Installing" if kind == "in" else "Erasing"
        run["done"] += 1
        name = f"{package['name']}-{package['version']}-{package['release']}"
        run["lines"].append(f"  {verb} : {name}  {run['done']}/{len(run['moves'])}")
    if run["done"] < run["stop"] or due < run["stop"]:
        return
    if run.get("torn_files"):
        removed = [move[1]["name"] for move in run["moves"] if move[0] == "out"]
        state["missing_files"] = {
            name: [f"/etc/apache2/conf.modules.d/{name}.conf"] for name in removed
        }
    run["lines"] += run["last_words"].splitlines()
    run["status"] = run["final"]
    if take_fault(state, "dies_in_window"):
        state["running"] = None


def take_fault(state: dict[str, Any], fault: str) -> bool:
    left = int(state["faults"].get(fault, 0))
    if left > 0:
        state["faults"][fault] = left - 1
    return left != 0


def configured(state: Mapping[str, Any]) -> Observation | None:
    """What the module files on disk would load: those of packages whose files are there."""
    whole = {
        item["name"] for item in state["packages"] if item["name"] not in state["missing_files"]
    }
    if "ea-apache24" not in whole:
        return None
    mpms = tuple(name for name in MPMS if f"{MPM_PACKAGE}{name}" in whole)
    return Observation(mpms, f"{MPM_PACKAGE}itk" in whole)


def load_of(state: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A machine of 8 GiB with PHP inside prefork's processes: enough to learn capacity on.
    Traffic swings over the day, as real traffic does."""
    seen = observation(state["running"])
    if seen is None or seen.mpm is None:
        return {}
    threaded = seen.mpm != "prefork"
    busy = 40 + round(30 * math.sin(now / 86400 * 2 * math.pi))
    limits = {"StartServers": 5, "ServerLimit": 256, "MaxRequestWorkers": 150}
    return {
        "memory_total": 8 << 30,
        "other_bytes": 3 << 30,
        "mpm": seen.mpm,
        "process_bytes": (14 << 20) if threaded else (38 << 20),
        "thread_bytes": (420 << 10) if threaded else 0,
        "processes": 6 if threaded else 150,
        "threads": 156 if threaded else 150,
        "busy": busy,
        "idle": 150 - busy,
        "connections": busy * 3 if seen.mpm == "event" else 0,
        "directives": {name: dict(limits) for name in MPMS},
    }


def move(state: dict[str, Any], transaction: Transaction) -> None:
    """Apply a transaction to the packages it names, with all files."""
    removed = {item.name for item in (*transaction.install, *transaction.remove)}
    state["packages"] = [item for item in state["packages"] if item["name"] not in removed]
    state["packages"] += [item.as_json() for item in transaction.install]
    state["missing_files"] = {}
    state["undone"] = False


def settle(state: dict[str, Any], mpm: str) -> None:
    """Install exactly this MPM, with its CGI module and all files. Raises Unsolvable."""
    wrong = {f"{MPM_PACKAGE}{name}" for name in MPMS if name != mpm}
    state["packages"] = [item for item in state["packages"] if item["name"] not in wrong]
    state["missing_files"] = {}
    present = [Package.from_json(item) for item in state["packages"]]
    companion = "ea-apache24-mod_cgi" + ("" if mpm == "prefork" else "d")
    scene = load_catalogue().for_server(present)
    moves = scene.resolve((f"{MPM_PACKAGE}{mpm}", companion))
    removed = {item.name for item in moves.remove}
    state["packages"] = [item for item in state["packages"] if item["name"] not in removed]
    state["packages"] += [item.as_json() for item in moves.install]


def start_httpd(state: dict[str, Any]) -> None:
    seen = configured(state)
    sound = seen is not None and seen.mpm is not None
    state["running"] = seen.as_json() if seen is not None and sound else None
    state["started"] = uuid.uuid4().hex if sound else ""


def observation(data: Mapping[str, Any] | None) -> Observation | None:
    return Observation.from_json(data) if data else None


def save(path: Path, state: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(state, indent=1).encode())


def label_of(observation: Observation | None) -> str:
    if observation is None:
        return Sentence("no answer")
    return observed(observation.mpms, observation.itk)


def checks(
    profile: Profile,
    transaction: Transaction,
    mpm: str,
    itk: bool,
    before: Sequence[SiteAnswer],
    after: Sequence[SiteAnswer],
) -> list[Check]:
    """What verification sees: packages, files, configuration, running httpd, and the sites."""
    have = {package.nevra for package in profile.packages}
    absent = sorted(p.nevra for p in transaction.install if p.nevra not in have)
    extra = sorted(p.nevra for p in transaction.remove if p.nevra in have)
    missing = sorted(profile.facts.get("missing_files", {}))
    wanted = label_of(Observation((mpm,), itk))
    as_planned, all_there = Sentence("as planned"), Sentence("complete")
    found = [
        compared(
            "packages", Sentence("Packages"), as_planned, ", ".join(absent + extra) or as_planned
        ),
        compared("files", Sentence("Package files"), all_there, ", ".join(missing) or all_there),
        compared("configured", Sentence("Configured MPM"), wanted, label_of(profile.configured)),
        compared("running", Sentence("Running MPM"), wanted, label_of(profile.running)),
    ]
    now = {answer.url: answer for answer in after}
    for answer in before:
        seen = now.get(answer.url)
        found.append(
            compared(
                f"site:{answer.url}",
                f"{answer.kind} {answer.host}",
                answer.error or str(answer.status),
                (seen.error or str(seen.status)) if seen else Sentence("not checked"),
            )
        )
    return found


def compared(name: str, title: str, expected: str, seen: str) -> Check:
    return Check(name, title, expected, seen, ok=expected == seen)
