"""The catalogue of known failures: what it looks like, why, and the way out.

Pure: ``diagnose`` matches what programs wrote and what a server shows. The page of a failed
change, the command line and the API all ask here, so they all say the same.

Signatures are messages of Apache httpd 2.4, of dnf and rpm, and of mod_mpm_itk. An AH number
is httpd's own and the same in every language; the texts of dnf are those of LC_ALL=C.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from easyapache.ea4.capabilities import evr_of
from easyapache.ea4.conditions import FAILURES, HTTPD, Failure
from easyapache.ea4.profile import Profile
from easyapache.ea4.schema import Schema
from easyapache.ea4.sentences import Sentence, all_of, with_words
from easyapache.ea4.versions import compare_evr, parse_evr

ITK = "ea-apache24-mod_mpm_itk"
CPANEL_LIMIT = 150
"""cPanel's MaxRequestWorkers, whatever the MPM."""
_ITK_MENDED, _ITK_BROKEN = parse_evr("2.4.7.4-4"), parse_evr("2.4.49")
"""mod_mpm_itk before the one crashes with Apache from the other on (EA-10143)."""
_MPM = "ea-apache24-mod_mpm_"
_MPM_PACKAGES = frozenset(f"{_MPM}{name}" for name in ("event", "worker", "prefork"))
EXCERPT = 400
"""Characters of output shown with a diagnosis: enough for the telling line and its number."""


@dataclass(frozen=True, slots=True)
class Diagnosis(Schema):
    """One known failure that was recognised. ``seen`` is what it was recognised by;
    ``repair`` the code of a safe repair (see ``conditions.repairs``), or empty."""

    code: str
    title: str
    cause: str
    fix: str
    seen: str
    repair: str = ""

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
    found = recognised(FAILURES, output, profile.names if profile else frozenset())
    if profile is not None:
        for code, look in _LOOKS.items():
            seen = look(profile)
            if seen:
                found.setdefault(code, seen)
        for code, seen in _heard(profile).items():
            found.setdefault(code, seen)
    return [
        known(failure.code, found[failure.code]) for failure in FAILURES if failure.code in found
    ]


def known(code: str, seen: str) -> Diagnosis:
    """A failure that was recognised by something else than a text or a profile."""
    failure = _BY_CODE[code]
    return Diagnosis(failure.code, failure.title, failure.cause, failure.fix, seen, failure.repair)


def recognised(failures: Iterable[Failure], text: str, installed: frozenset[str]) -> dict[str, str]:
    """{code: the last line that says so} of those failures that a text tells of, on a server
    with these packages."""
    found: dict[str, str] = {}
    for failure in failures:
        more = (
            pattern
            for package, patterns in failure.beside.items()
            if package in installed
            for pattern in patterns
        )
        line = _last_match((*failure.patterns, *more), text)
        if line and not (failure.last_resort and found):
            found[failure.code] = line
    return found


def heard_of_httpd(text: str, installed: frozenset[str], *, running: bool) -> dict[str, str]:
    """What httpd's own error log says is wrong. One that runs tells what it suffers; of one that
    is down, everything counts that could have ended it or kept it from starting."""
    whole = {failure.code for failure in HTTPD} if not running else frozenset()
    failures = [item for item in FAILURES if item.under_load or item.code in whole]
    return recognised(failures, text, installed)


def _last_match(patterns: Iterable[str], text: str) -> str:
    for pattern in patterns:
        matches = list(re.finditer(pattern, text, re.IGNORECASE))
        if matches:
            start = text.rfind("\n", 0, matches[-1].start()) + 1
            end = text.find("\n", matches[-1].end())
            return text[start : end if end >= 0 else len(text)].strip()[:EXCERPT]
    return ""


def _heard(profile: Profile) -> Mapping[str, str]:
    """By an agent that may know other failures than this panel does."""
    said = profile.facts.get("httpd_said")
    if not isinstance(said, Mapping):
        return {}
    return {code: str(seen) for code, seen in said.items() if code in _BY_CODE}


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


def _service_astray(profile: Profile) -> str:
    service = profile.facts.get("service")
    if profile.running is None or not isinstance(service, Mapping):
        return ""
    pid, main, group = service.get("pid"), service.get("main"), service.get("group")
    if group:
        return Sentence(
            "httpd {pid} is in the control group {group}.", pid=str(pid), group=str(group)
        )
    return Sentence(
        "httpd.service is {state} with main process {main}; httpd is process {pid}.",
        state=str(service.get("active")),
        main=str(main),
        pid=str(pid),
    )


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


def _limit_150(profile: Profile) -> str:
    """cPanel's limit made for prefork is what a threaded MPM runs with."""
    seen, load = profile.configured, profile.facts.get("load")
    if seen is None or seen.mpm not in ("event", "worker") or not isinstance(load, Mapping):
        return ""
    limits = (load.get("directives") or {}).get(seen.mpm) or {}
    if limits.get("MaxRequestWorkers", limits.get("MaxClients")) != CPANEL_LIMIT:
        return ""
    return Sentence("MaxRequestWorkers is {limit} under {mpm}.", limit=CPANEL_LIMIT, mpm=seen.mpm)


def _old_itk(profile: Profile) -> str:
    builds = {package.name: package for package in profile.packages}
    itk, apache = builds.get(ITK), builds.get("ea-apache24")
    if itk is None or apache is None:
        return ""
    old = compare_evr(evr_of(itk), _ITK_MENDED) < 0 <= compare_evr(evr_of(apache), _ITK_BROKEN)
    return f"{itk.nevra}, {apache.nevra}" if old else ""


_LOOKS: Mapping[str, Callable[[Profile], str]] = {
    "no-mpm": _no_mpm,
    "two-mpms": _two_mpms,
    "missing-files": _missing_files,
    "old-mpm-running": _still_old,
    "httpd-down": _not_running,
    "service-astray": _service_astray,
    "itk-threaded": _itk_threaded,
    "unfinished-transaction": _unfinished,
    "foreign-mpm": _foreign,
    "pinned": _excluded,
    "code-as-nobody": _nobody_runs_code,
    "limit-150": _limit_150,
    "itk-segfault": _old_itk,
}
_BY_CODE = {failure.code: failure for failure in FAILURES}
