"""Rules about modules of Apache that work with threads only, or without them only."""

from __future__ import annotations

from collections.abc import Iterator

from easyapache.ea4.mpm import CGI, CGID, HCHECK, HTTP2, MPM, NGINX, PROXY_BALANCER, QOS, short
from easyapache.ea4.rules.findings import Finding, Fix, RuleFunction, Situation, finding
from easyapache.ea4.sentences import Sentence


def cgi_swapped(situation: Situation) -> Iterator[Finding]:
    for removed, installed in ((CGI, CGID), (CGID, CGI)):
        if removed in situation.removed and installed in situation.newly_installed:
            yield finding(
                "cgi_swapped",
                Sentence("{name} replaces {other}.", name=short(installed), other=short(removed)),
                packages=(removed, installed),
            )


def http2(situation: Situation) -> Iterator[Finding]:
    """mod_http2 needs threads: its package conflicts with prefork and with ITK."""
    nginx = NGINX in situation.before and NGINX in situation.after
    if HTTP2 in situation.removed and nginx:
        yield finding("http2_behind_nginx", packages=(HTTP2,))
    elif HTTP2 in situation.removed:
        yield finding(
            "http2_needs_threads", _removed_with(situation, "mod_http2"), packages=(HTTP2,)
        )
    elif HTTP2 in situation.newly_installed:
        yield finding("http2_installed", packages=(HTTP2,))
    elif not nginx and _becomes_threaded(situation) and HTTP2 in situation.scene.available:
        fix = Fix(Sentence("Add mod_http2"), add=(HTTP2,))
        yield finding("http2_possible", packages=(HTTP2,), fixes=(fix,))


def hcheck(situation: Situation) -> Iterator[Finding]:
    """mod_proxy_hcheck crashes on prefork (EA-5836), so its package conflicts with forked MPMs."""
    if HCHECK in situation.removed:
        yield finding("hcheck_needs_threads", packages=(HCHECK,))
    elif HCHECK in situation.newly_installed:
        yield finding("hcheck_installed", packages=(HCHECK,))
    elif (
        _becomes_threaded(situation)
        and PROXY_BALANCER in situation.after
        and HCHECK not in situation.before
    ):
        fix = Fix(Sentence("Add mod_proxy_hcheck"), add=(HCHECK,))
        yield finding("hcheck_possible", packages=(HCHECK,), fixes=(fix,))


def qos_removed(situation: Situation) -> Iterator[Finding]:
    """mod-qos requires the worker MPM by name."""
    if QOS in situation.removed:
        fix = Fix(Sentence("Select {mpm}", mpm="worker"), mpm=MPM.WORKER.value, itk=False)
        removed = _removed_with(situation, "mod-qos")
        yield finding("qos_needs_worker", removed, packages=(QOS,), fixes=(fix,))


def unchanged_limit(situation: Situation) -> Iterator[Finding]:
    """cPanel writes the same MaxRequestWorkers for every MPM."""
    if _becomes_threaded(situation):
        yield finding("limit_stays_150", packages=(situation.choice.mpm.package,))


_OFTEN = 24
"""Reloads a day: one an hour."""


def frequent_reloads(situation: Situation) -> Iterator[Finding]:
    reloads = situation.facts.get("reloads_a_day")
    if _becomes_threaded(situation) and isinstance(reloads, int) and reloads >= _OFTEN:
        yield finding("frequent_reloads", Sentence("About {count} times a day.", count=reloads))


def becomes_forked(situation: Situation) -> Iterator[Finding]:
    now = situation.packages.mpm
    if situation.resolved and now and MPM(now).threaded and not situation.choice.mpm.threaded:
        yield finding("one_process_per_request", packages=(MPM.PREFORK.package,))


def _removed_with(situation: Situation, name: str) -> Sentence:
    return Sentence(
        "{name} will be removed: it doesn't work with {choice}.",
        name=name,
        choice=situation.choice.label,
    )


def _becomes_threaded(situation: Situation) -> bool:
    now = situation.packages.mpm
    forked = now is not None and not MPM(now).threaded
    return (
        situation.resolved
        and forked
        and bool(situation.change.install)
        and (situation.choice.mpm.threaded)
    )


MODULE_RULES: tuple[RuleFunction, ...] = (
    qos_removed,
    http2,
    hcheck,
    cgi_swapped,
    unchanged_limit,
    frequent_reloads,
    becomes_forked,
)
