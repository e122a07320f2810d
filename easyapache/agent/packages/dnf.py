"""dnf (or yum, if that is dnf under its other name): the queries and the transaction.

The transaction is passed to dnf as a stored one (``history replay``), not as a goal: exactly the
confirmed builds are installed and removed, each with the reason dnf keeps for autoremove, and dnf
refuses if anything else would have to change. Several goals at once (ITK off, suexec on, another
MPM) are then one transaction, which ``install``, ``swap`` and ``remove`` cannot express together.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyapache.agent.change.durable import sync_folder, write_atomically
from easyapache.agent.config import HostConfig
from easyapache.agent.httpd.processes import described as described_process
from easyapache.agent.packages.manager_locks import manager_at_work
from easyapache.agent.runner import Detached, Runner
from easyapache.agent.server import HostError, Log, Stop, never
from easyapache.ea4.conditions import BY_CODE
from easyapache.ea4.package_metadata import Descriptions, described
from easyapache.ea4.profile import Transaction
from easyapache.ea4.sentences import Sentence, ended

PACKAGES = "packages"
"""The name under which the detached transaction is kept in a change's output folder."""

ALWAYS_PROTECTED = ("dnf", "yum", "rpm", "systemd", "systemd-udev", "sudo", "ea-apache24")
"""Always protected, whatever the server's own list (setting the option may replace it)."""

_PROGRAMS = ("dnf", "dnf-3", "yum")
_FIXED = (
    "--color=never",
    "--setopt=exit_on_lock=True",
    "--setopt=clean_requirements_on_remove=False",
    # The answer of the solver was made without the repositories that can't be reached.
    "--setopt=*.skip_if_unavailable=True",
    # EA4's hook would stop and start httpd inside the transaction, and again when its
    # elements failed. Its other scripts are run by us afterwards.
    "--disableplugin=universal-hooks",
)


AT_MOST = 5
"""So often is a transaction started that a lock turns away."""
LOCK_PATIENCE, LOCK_PAUSE = 60.0, 1.0
"""Seconds for which the holder of the lock is waited for, and between two looks."""
LOCKED = 200
"""dnf's exit status where another process has a lock that it needs: nothing was changed."""


@dataclass(frozen=True, slots=True)
class _Symptom:
    pattern: str
    code: str


_SYMPTOMS = (
    _Symptom(
        r"already locked by (\d+)|Waiting for process with pid (\d+)",
        "package_manager_busy",
    ),
    _Symptom(
        r"No space left on device|needs \d+\s*[KMG]?B more space|Not enough free space"
        r"|Disk Requirements",
        "disk_full",
    ),
    _Symptom(
        r"is not signed|Public key for .* is not installed|wrong key\(s\)|GPG check FAILED"
        r"|GPG signature verification error|Problem opening package|repomd.xml GPG"
        r"|Failed to retrieve GPG key|Curl error \(37\)|SIGNATURES NOT OK",
        "bad_signature",
    ),
    _Symptom(
        r"has incorrect checksum|Downloading successful, but checksum doesn't match",
        "bad_checksum",
    ),
    _Symptom(
        r"Failed to download metadata|Cannot download repomd|Error downloading packages"
        r"|No more mirrors to try|Cannot prepare internal mirrorlist"
        r"|All mirrors were tried|Cache-only enabled but no cache",
        "repository_unreachable",
    ),
    _Symptom(
        r"removing the following protected packages",
        "protected",
    ),
    _Symptom(
        r"Extra package|which is not part of the stored|which is not present in the stored",
        "unsatisfiable",
    ),
    _Symptom(
        r"Unable to find a match|Cannot find rpm nevra|No match for argument|not available",
        "no_such_package",
    ),
    _Symptom(
        r"\n? Problem\b|conflicting requests|nothing provides",
        "unsatisfiable",
    ),
    _Symptom(
        r"Error in PREIN scriptlet|Error in PREUN scriptlet|Transaction failed"
        r"|Error unpacking",
        "transaction_failed",
    ),
)
"""Conditions and the patterns that identify them in dnf's output, by priority."""


def classify(text: str) -> HostError:
    """The condition in dnf's output. Nearly every failure has exit status 1, so the text
    decides."""
    met = (symptom.code for symptom in _SYMPTOMS if re.search(symptom.pattern, text))
    condition = BY_CODE[next(met, "package_manager")]
    return HostError(condition.code, ended(condition.title), condition.remedy, text)


class PackageManager:
    def __init__(self, config: HostConfig, runner: Runner) -> None:
        self.config = config
        self.runner = runner
        argv = tuple(config.package_manager) or (self._found(),)
        place = next((i for i, item in enumerate(argv) if Path(item).name in _PROGRAMS), None)
        if place is None:
            raise HostError(
                "no_package_manager",
                Sentence("{program} is neither dnf nor yum.", program=" ".join(argv)),
                Sentence("Correct package_manager in the agent's configuration."),
            )
        self.argv = argv
        self.wrapper, self.options = argv[:place], argv[place + 1 :]

    def _found(self) -> str:
        path = self.runner.environment["PATH"]
        for name in ("dnf", "yum"):
            if shutil.which(name, path=path):
                return name
        raise HostError(
            "no_package_manager",
            Sentence("This server has neither dnf nor yum."),
            Sentence("Install one, or set package_manager in the agent's configuration."),
        )

    # -- questions -----------------------------------------------------------------------

    def resolve(
        self,
        install: Sequence[str],
        remove: Sequence[str],
        *,
        protect: Sequence[str] = (),
        erase: bool = True,
        cache_only: bool = False,
        files: Sequence[str] = (),
        stop: Stop = never,
    ) -> Mapping[str, Any]:
        """The solver's answer to a goal as dnf_resolve.py prints it. With ``files`` it chooses from
        those alone and uses no repository. Raises HostError, and Stopped once ``stop()`` is
        true."""
        request = {
            "options": [
                *self.options,
                "--disableplugin=universal-hooks",
                *(["-C"] if cache_only else []),
                *(["--disablerepo=*"] if files else []),
            ],
            "files": list(files),
            "install": list(install),
            "remove": list(remove),
            "protect": list(protect),
            "erase": erase,
        }
        return self._run_resolver(request, stop=stop)

    def offers(self, names: Iterable[str]) -> tuple[Descriptions, Path]:
        """{name: description} of the named packages in the repositories, from dnf's cached
        metadata, and the folder of that cache. Raises HostError."""
        options = [*self.options, "--disableplugin=universal-hooks", "-C"]
        answer = self._run_resolver({"options": options, "describe": sorted(names)})
        return described(answer["packages"]), Path(answer["cache"])

    def _run_resolver(
        self, request: Mapping[str, Any], log: Log | None = None, stop: Stop = never
    ) -> Mapping[str, Any]:
        # -I, or this folder's own dnf.py and rpm.py would be taken for the system's.
        script = str(Path(__file__).with_name("dnf_resolve.py"))
        argv = [*self.wrapper, self.config.python, "-I", script, json.dumps(request)]
        if log or stop is not never:
            finished = self.runner.perform(argv, log or (lambda _: None), stop)
        else:
            finished = self.runner.capture(argv, limit=600.0)
        try:
            answer: dict[str, Any] = json.loads(finished.stdout)
        except ValueError:
            raise classify(finished.text) from None
        if "error" not in answer:
            return answer
        code, message = answer["error"]["code"], answer["error"]["message"]
        if code in ("no_dnf", "old_dnf"):
            raise HostError(
                "not_supported",
                Sentence(
                    "This server's package manager can't make a plan: {message}.",
                    message=message,
                ),
                Sentence(
                    "dnf 4.4 or newer with its Python module is required (Enterprise Linux "
                    "8.4 and later); yum 3 is not supported. If the module belongs to another "
                    "interpreter, set python in the agent's configuration."
                ),
                finished.stderr,
            )
        error = classify(f"{message}\n{finished.stderr}" if log else message)
        final_code = code if error.code in ("package_manager", "unsatisfiable") else error.code
        raise HostError(final_code, error.message, error.remedy, message)

    # -- the transaction -----------------------------------------------------------------

    def transaction_argv(self, change: str, stored: Path, protect: Iterable[str]) -> list[str]:
        """The one exact call, without -C or --downloadonly."""
        return [
            *self.argv,
            "-y",
            *_FIXED,
            f"--comment={change}",
            f"--setopt=protected_packages={','.join(sorted(set(protect)))}",
            "history",
            "replay",
            str(stored),
        ]

    def fetch(
        self,
        transaction: Transaction,
        incoming: Path,
        outgoing: Path,
        log: Log,
        stop: Stop = never,
    ) -> None:
        """Download the packages to install, into the cache and ``incoming``, and those to remove,
        in the installed builds, into ``outgoing``. All signatures are checked; nothing is changed.
        Raises HostError (``kit`` if no repository has a build to remove any more) and Stopped."""
        for folder in (incoming, outgoing):
            folder.mkdir(parents=True, exist_ok=True)
        wanted = {package.nevra: str(outgoing) for package in transaction.remove}
        wanted.update({package.nevra: str(incoming) for package in transaction.install})
        quiet = {"options": [*self.options, "--disableplugin=universal-hooks"], "fetch": wanted}
        answer = self._run_resolver(
            quiet, lambda line: None if line.startswith("{") else log(line), stop
        )
        missing = list(answer["missing"])
        if any(package.nevra in missing for package in transaction.install):
            raise HostError(
                "no_such_package",
                Sentence("No repository provides {names} anymore.", names=", ".join(missing)),
                Sentence("Run dnf clean expire-cache, then refresh the plan."),
            )
        if missing:
            raise HostError(
                "kit",
                Sentence(
                    "A rollback would not be possible: no repository provides {names} anymore.",
                    names=", ".join(missing),
                ),
                Sentence("Update EasyApache 4 first (dnf upgrade 'ea-*'), then try again."),
            )

    def begin(
        self, change: str, transaction: Transaction, folder: Path, protect: Iterable[str]
    ) -> Detached:
        """Start the transaction detached, from the cache, at most once per folder."""
        stored = folder / "transaction.json"
        detached = Detached(folder, PACKAGES)
        if not detached.started:
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
            store(transaction, stored)
            argv = [*self.transaction_argv(change, stored, protect), "-C"]
            what = "EA4 MPM: packages are being replaced"
            self.runner.start_detached(argv, folder, PACKAGES, f"ea4-change-{change}", what)
        return detached

    def begin_again(
        self,
        change: str,
        folder: Path,
        log: Log,
        *,
        patience: float = LOCK_PATIENCE,
        pause: Callable[[float], None] = time.sleep,
    ) -> bool:
        """Start the transaction in ``folder`` once more, if dnf found a lock and changed nothing:
        a timer of dnf, or a look at the repositories by this agent, has it for some seconds. One
        that holds it longer than ``patience`` seconds is given way to. Returns whether it was
        started."""
        names = [PACKAGES, *(f"{PACKAGES}-{number}" for number in range(2, AT_MOST + 1))]
        begun = [one for name in names if (one := Detached(folder, name)).started]
        if not begun or len(begun) == AT_MOST or begun[-1].status != LOCKED:
            return False
        end = time.monotonic() + patience
        pause(LOCK_PAUSE)
        while (other := manager_at_work(self.config.root)) is not None:
            if time.monotonic() > end:
                return False
            log(f"another package manager is running: waiting for {described_process(other)}")
            pause(LOCK_PAUSE)
        number, argv = len(begun) + 1, begun[0].argv
        log(f"no package was changed: starting the transaction again ({number} of {AT_MOST})")
        unit, what = f"ea4-change-{change}-{number}", "EA4 MPM: packages are being replaced"
        self.runner.start_detached(argv, folder, names[number - 1], unit, what)
        return True

    def repair_argv(self, arguments: Sequence[str], protect: Iterable[str]) -> list[str]:
        """Any other call that changes packages, to undo and to repair. Its status proves little;
        the caller checks the server. The kit's files were verified when they were downloaded, and
        are not verified again: their key may have been removed with the repository."""
        guard = f"--setopt=protected_packages={','.join(sorted(set(protect)))}"
        return [*self.argv, "-y", *_FIXED, "--setopt=localpkg_gpgcheck=False", guard, *arguments]

    def protected_by_server(self) -> tuple[str, ...]:
        """The names in /etc/dnf/protected.d, which our own list is added to."""
        names: set[str] = set()
        for path in sorted((self.config.root / "etc/dnf/protected.d").glob("*.conf")):
            lines = path.read_text(errors="replace").split()
            names.update(line for line in lines if re.fullmatch(r"[A-Za-z0-9_.+-]+", line))
        return tuple(sorted(names))


def store(transaction: Transaction, path: Path) -> None:
    """Write a transaction in the form of ``dnf history store``."""
    installing = {package.name for package in transaction.install}
    removing = {package.name for package in transaction.remove}
    entries = []
    for package in transaction.install:
        requested = transaction.reasons.get(package.name) == "asked"
        entries.append(
            {
                "action": "Upgrade" if package.name in removing else "Install",
                "nevra": package.nevra,
                "reason": "user" if requested else "dependency",
                "repo_id": "",
            }
        )
    entries += [
        {
            "action": "Upgraded" if package.name in installing else "Removed",
            "nevra": package.nevra,
            "reason": "user",
            "repo_id": "@System",
        }
        for package in transaction.remove
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"version": "0.0", "rpms": entries}, indent=1).encode())
