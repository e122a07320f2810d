"""The catalogue of known failures: what it looks like, why, and the way out.

Pure: ``diagnose`` matches what programs wrote and what a server shows. The page of a failed
change, the command line and the API all ask here, so they all say the same.

Signatures are messages of Apache httpd 2.4, of dnf and rpm, and of mod_mpm_itk. An AH number
is httpd's own and the same in every language; the texts of dnf are those of LC_ALL=C.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from easyapache.host.failures import FAILURES, Failure
from easyapache.profile import Profile
from easyapache.sentences import Sentence, all_of, with_words

_MPM = "ea-apache24-mod_mpm_"
_MPM_PACKAGES = frozenset(f"{_MPM}{name}" for name in ("event", "worker", "prefork"))
EXCERPT = 400
"""Characters of output shown with a diagnosis: enough for the telling line and its number."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One known failure that was recognised. ``seen`` is what it was recognised by;
    ``repair`` the code of a safe repair (see ``repairs.REPAIRS``), or empty."""

    code: str
    title: str
    cause: str
    fix: str
    seen: str
    repair: str = ""

    def as_json(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in self.__slots__}

    def as_finding(self) -> dict[str, Any]:
        """In the shape of a report of kind ``finding``."""
        data = {
            "code": self.code,
            "title": self.title,
            "message": Sentence("{cause} Seen: {seen}", cause=self.cause, seen=self.seen),
            "remedy": self.fix,
            "repair": self.repair,
        }
        return with_words(data, "title", "message", "remedy")


def diagnose(output: str, profile: Profile | None = None) -> list[Diagnosis]:
    """Every known failure in ``output`` and, where there is a profile, on that server.

    The most specific first; each at most once.
    """
    found: dict[str, Diagnosis] = {}
    for failure in FAILURES:
        match = _first_match(failure, output)
        if match and not (failure.last_resort and found):
            found[failure.code] = _diagnosis(failure, match)
    if profile is not None:
        for code, look in _LOOKS.items():
            seen = look(profile)
            if seen and code not in found:
                found[code] = _diagnosis(_BY_CODE[code], seen)
    order = {failure.code: number for number, failure in enumerate(FAILURES)}
    return sorted(found.values(), key=lambda item: order[item.code])


def _first_match(failure: Failure, output: str) -> str:
    for pattern in failure.patterns:
        match = re.search(pattern, output, re.IGNORECASE)
        if match:
            start = output.rfind("\n", 0, match.start()) + 1
            end = output.find("\n", match.end())
            return output[start : end if end >= 0 else len(output)].strip()[:EXCERPT]
    return ""


def _diagnosis(failure: Failure, seen: str) -> Diagnosis:
    return Diagnosis(failure.code, failure.title, failure.cause, failure.fix, seen, failure.repair)


# -- what a server shows, with no output at all -------------------------------------------


def mpm_packages(profile: Profile) -> list[str]:
    """Names of the installed packages that bring an MPM; one is sound."""
    return sorted(profile.names & _MPM_PACKAGES)


def _no_mpm(profile: Profile) -> str:
    if "ea-apache24" in profile.names and not mpm_packages(profile):
        return Sentence("Apache is installed and no MPM package is.")
    if profile.configured is not None and not profile.configured.mpms:
        return Sentence("The configuration loads no MPM.")
    return ""


def _two_mpms(profile: Profile) -> str:
    packages = mpm_packages(profile)
    if len(packages) > 1:
        return Sentence("Installed together: {names}.", names=", ".join(packages))
    if profile.configured is not None and len(profile.configured.mpms) > 1:
        return Sentence("The configuration loads {names}.", names=all_of(profile.configured.mpms))
    return ""


def _missing_files(profile: Profile) -> str:
    missing = profile.facts.get("missing_files")
    if not isinstance(missing, Mapping):
        return ""
    return "; ".join(f"{name}: {', '.join(paths)}" for name, paths in sorted(missing.items()))


def _still_old(profile: Profile) -> str:
    configured, running = profile.configured, profile.running
    if configured is None or running is None or configured == running:
        return ""
    if configured.mpm is None or running.mpm is None:
        return ""
    return Sentence(
        "Configured is {configured}, running is {running}.",
        configured=configured.mpm,
        running=running.mpm,
    )


def _not_running(profile: Profile) -> str:
    if profile.running is None and "ea-apache24" in profile.names:
        return str(profile.facts.get("running_error") or "") or Sentence("No httpd answers.")
    return ""


def _itk_threaded(profile: Profile) -> str:
    seen = profile.configured
    if seen and seen.itk and seen.mpm in ("event", "worker"):
        return Sentence("mod_mpm_itk is loaded together with {mpm}.", mpm=seen.mpm)
    return ""


def _unfinished(profile: Profile) -> str:
    return str(profile.facts.get("unfinished_transaction") or "")


def _foreign(profile: Profile) -> str:
    paths: Any = profile.facts.get("foreign_mpm_files") or ()
    return ", ".join(str(path) for path in paths)


def _excluded(profile: Profile) -> str:
    names: Any = [
        *(profile.facts.get("excludes") or ()),
        *(profile.facts.get("version_locks") or ()),
    ]
    return ", ".join(str(name) for name in names if "ea-" in str(name))


def _nobody_runs_code(profile: Profile) -> str:
    users = {f"ea-apache24-mod_{name}" for name in ("suexec", "suphp", "ruid2", "mpm_itk")}
    if "ea-apache24" in profile.names and not profile.names & users:
        return Sentence("None of mod_suexec, mod_suphp, mod_ruid2 and mod_mpm_itk is installed.")
    return ""


_LOOKS: Mapping[str, Callable[[Profile], str]] = {
    "no-mpm": _no_mpm,
    "two-mpms": _two_mpms,
    "missing-files": _missing_files,
    "old-mpm-running": _still_old,
    "httpd-down": _not_running,
    "itk-threaded": _itk_threaded,
    "unfinished-transaction": _unfinished,
    "foreign-mpm": _foreign,
    "pinned": _excluded,
    "code-as-nobody": _nobody_runs_code,
}
_BY_CODE = {failure.code: failure for failure in FAILURES}
