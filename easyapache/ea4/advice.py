"""Which MPM suits a server, and why: the two questions of Apache's guidelines.

Does the system support threads? Is polling safe to share between threads? Both yes: event. Threads
without safe polling: worker. Neither: prefork. Modules that are not thread-safe and ITK also mean
prefork, on any system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from easyapache.ea4.capacity import MIB, Capacity, Verdict
from easyapache.ea4.mpm import ITK, MPM, PHP_DSO, QOS
from easyapache.ea4.profile import Profile
from easyapache.ea4.rules.findings import listing
from easyapache.ea4.schema import Schema
from easyapache.ea4.sentences import Sentence


@dataclass(frozen=True, slots=True)
class Answers:
    """A person's answers; None means: as detected."""

    threads: bool | None = None
    safe_polling: bool | None = None


@dataclass(frozen=True, slots=True)
class Advice(Schema):
    """The recommendation. ``why`` are sentences; ``detected`` the detected values (``threads``,
    ``safe_polling``: True, False, or None if unknown)."""

    mpm: MPM
    why: tuple[str, ...]
    threads: bool
    safe_polling: bool
    detected: Mapping[str, bool | None] = field(default_factory=dict)


def recommend(profile: Profile, answers: Answers | None = None) -> Advice:
    """Recommend an MPM for the server that ``profile`` describes.

    A person's answer overrides the detected one. Without either, the answer is yes: every system
    EasyApache 4 supports has threads and epoll.
    """
    answers = answers or Answers()
    detected: dict[str, bool | None] = {
        "threads": _yes_or_no(profile.facts.get("threads")),
        "safe_polling": _yes_or_no(profile.facts.get("safe_thread_polling")),
    }
    threads = _first(answers.threads, detected["threads"])
    safe = _first(answers.safe_polling, detected["safe_polling"])
    unsafe = sorted(name for name in profile.names if PHP_DSO.match(name))
    if not threads:
        why = [Sentence("This system has no threads, and prefork needs none.")]
        return Advice(MPM.PREFORK, tuple(why), threads, safe, detected)
    if unsafe:
        why = [
            Sentence(
                "{names} runs inside Apache and isn't thread-safe, so it requires prefork.",
                names=listing(unsafe),
            ),
            Sentence(
                "When its sites use PHP-FPM or CGI, {mpm} suits this server better.",
                mpm=_threaded(safe).value,
            ),
        ]
        return Advice(MPM.PREFORK, tuple(why), threads, safe, detected)
    if ITK in profile.names:
        why = [
            Sentence("MPM ITK is enabled, and it works with prefork only."),
            Sentence("Without it, {mpm} suits this server better.", mpm=_threaded(safe).value),
        ]
        return Advice(MPM.PREFORK, tuple(why), threads, safe, detected)
    if QOS in profile.names:
        why = [Sentence("mod-qos is installed, and it requires worker.")]
        return Advice(MPM.WORKER, tuple(why), threads, safe, detected)
    if safe:
        why = [
            Sentence("This system supports threads and thread-safe polling."),
            Sentence(
                "event keeps idle keep-alive connections open without using a worker for each."
            ),
        ]
    else:
        why = [
            Sentence("This system supports threads, but not thread-safe polling."),
            Sentence("worker uses threads and doesn't need shared polling."),
        ]
    return Advice(_threaded(safe), tuple(why), threads, safe, detected)


@dataclass(frozen=True, slots=True)
class Recommended:
    """What to do on a server, its memory considered. ``mpm`` is None where what suits the server
    doesn't fit in its memory: ``headline`` then says what to do instead."""

    mpm: MPM | None
    headline: str
    why: tuple[str, ...]


def within_memory(
    advice: Advice, profile: Profile, runs: MPM | None, capacities: Iterable[Capacity]
) -> Recommended:
    """The recommendation for a server on which ``runs`` runs; without ``capacities``, where nothing
    was measured yet, that of ``advice``."""
    best = advice.mpm
    capacity = next((one for one in capacities if one.mpm is best), None)
    if capacity is None or capacity.verdict is not Verdict.DOES_NOT_FIT:
        return Recommended(best, Sentence("{mpm} is recommended.", mpm=best.value), advice.why)
    too_much = Sentence(
        "{mpm} needs {needed} with all {requests} workers busy, and {available} are available to "
        "Apache. With MaxRequestWorkers at {fit} or less it fits.",
        mpm=best.value,
        needed=f"{capacity.memory_at_peak / MIB:.0f} MiB",
        requests=capacity.limits.requests,
        available=f"{capacity.available / MIB:.0f} MiB",
        fit=capacity.requests_that_fit,
    )
    names = _bound_by(profile)
    if runs is not best:
        headline = Sentence("No MPM is recommended: {mpm} doesn't fit in memory.", mpm=best.value)
    elif names:
        headline = Sentence(
            "Stay on {mpm} until {names} can be removed.", mpm=best.value, names=listing(names)
        )
    else:
        headline = Sentence("Stay on {mpm}, with fewer workers.", mpm=best.value)
    return Recommended(None, headline, (*advice.why, too_much))


def _bound_by(profile: Profile) -> list[str]:
    """The installed packages that leave a server no other MPM."""
    return sorted(name for name in profile.names if PHP_DSO.match(name) or name in (ITK, QOS))


def _threaded(safe_polling: bool) -> MPM:
    return MPM.EVENT if safe_polling else MPM.WORKER


def _yes_or_no(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _first(*values: bool | None) -> bool:
    return next((value for value in values if value is not None), True)
