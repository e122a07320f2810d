"""Rules about modules of Apache that go with threads only, or without them only."""

from __future__ import annotations

from collections.abc import Iterator

from easyapache.ea4.mpm import CGI, CGID, HCHECK, HTTP2, MPM, PROXY_BALANCER, QOS
from easyapache.ea4.rules.findings import Finding, Fix, RuleFunction, Severity, Situation
from easyapache.ea4.sentences import Sentence

CPANEL_MAX_REQUEST_WORKERS = 150
"""What cPanel writes into httpd.conf for every MPM unless somebody changes it."""


def cgi_swapped(situation: Situation) -> Iterator[Finding]:
    for gone, here in ((CGI, CGID), (CGID, CGI)):
        if gone in situation.leaving and here in situation.coming:
            daemon = here == CGID
            yield Finding(
                code="cgi_swapped",
                severity=Severity.NOTE,
                title=Sentence("CGI daemon replaces mod_cgi")
                if daemon
                else Sentence("mod_cgi replaces the CGI daemon"),
                message=(
                    Sentence(
                        "With threads, CGI programs are started by a separate daemon: mod_cgid is "
                        "installed in place of mod_cgi. Sites need no change."
                    )
                    if daemon
                    else Sentence(
                        "Without threads, CGI programs are started directly: mod_cgi is installed "
                        "in place of mod_cgid. Sites need no change."
                    )
                ),
                packages=(gone, here),
            )


def http2(situation: Situation) -> Iterator[Finding]:
    """mod_http2 needs threads: its package conflicts with prefork and with ITK."""
    if HTTP2 in situation.leaving:
        yield Finding(
            code="http2_leaves",
            severity=Severity.WARN,
            title=Sentence("HTTP/2 goes"),
            message=(
                Sentence(
                    "mod_http2 cannot be together with {choice}. Browsers fall back to HTTP/1.1 by "
                    "themselves; pages with many files load slower.",
                    choice=situation.choice.label,
                )
            ),
            remedy=Sentence("Stay on event or worker to keep HTTP/2."),
            packages=(HTTP2,),
        )
    elif HTTP2 in situation.coming:
        yield Finding(
            code="http2_comes",
            severity=Severity.GAIN,
            title=Sentence("HTTP/2 is switched on"),
            message=Sentence(
                "mod_http2 is installed along. Browsers use it by themselves over HTTPS."
            ),
            packages=(HTTP2,),
        )
    elif _becomes_threaded(situation) and HTTP2 in situation.scene.available:
        yield Finding(
            code="http2_possible",
            severity=Severity.GAIN,
            title=Sentence("HTTP/2 becomes available"),
            message=Sentence("mod_http2 needs threads. It can be installed with this change."),
            packages=(HTTP2,),
            fixes=(Fix(Sentence("Add mod_http2"), add=(HTTP2,)),)
            if HTTP2 in situation.scene.available
            else (),
        )


def hcheck(situation: Situation) -> Iterator[Finding]:
    """mod_proxy_hcheck crashes on prefork (EA-5836), so its package conflicts with forked MPMs."""
    if HCHECK in situation.leaving:
        yield Finding(
            code="hcheck_leaves",
            severity=Severity.WARN,
            title=Sentence("Health checks of proxied servers go"),
            message=(
                Sentence(
                    "mod_proxy_hcheck crashes on prefork and cannot stay. Balancers stop noticing "
                    "by themselves that a member is down; hcheck directives outside <IfModule> "
                    "keep Apache from starting."
                )
            ),
            remedy=Sentence(
                "Remove hc… parameters from BalancerMember lines, or stay on event or worker."
            ),
            packages=(HCHECK,),
        )
    elif HCHECK in situation.coming:
        yield Finding(
            code="hcheck_comes",
            severity=Severity.GAIN,
            title=Sentence("Health checks of proxied servers become possible"),
            message=Sentence("mod_proxy_hcheck is installed along."),
            packages=(HCHECK,),
        )
    elif (
        _becomes_threaded(situation)
        and PROXY_BALANCER in situation.after
        and HCHECK not in situation.before
    ):
        yield Finding(
            code="hcheck_possible",
            severity=Severity.GAIN,
            title=Sentence("Health checks of proxied servers become available"),
            message=Sentence("This server balances load; mod_proxy_hcheck works with threads."),
            packages=(HCHECK,),
            fixes=(Fix(Sentence("Add mod_proxy_hcheck"), add=(HCHECK,)),),
        )


def qos_leaves(situation: Situation) -> Iterator[Finding]:
    """mod-qos requires the worker MPM by name."""
    if QOS in situation.leaving:
        yield Finding(
            code="qos_leaves",
            severity=Severity.WARN,
            title=Sentence("Quality of service limits go"),
            message=(
                Sentence(
                    "mod-qos works with the worker MPM only. Its limits stop; QS_ directives "
                    "outside <IfModule> keep Apache from starting."
                )
            ),
            remedy=Sentence("Stay on worker, or take the QS_ directives out first."),
            packages=(QOS,),
            fixes=(Fix(Sentence("Choose worker"), mpm=MPM.WORKER.value, itk=False),),
        )


def limit_stays(situation: Situation) -> Iterator[Finding]:
    """cPanel writes the same MaxRequestWorkers for every MPM."""
    if _becomes_threaded(situation):
        yield Finding(
            code="limit_stays_150",
            severity=Severity.NOTE,
            title=Sentence("The limit of simultaneous requests stays"),
            message=(
                Sentence(
                    "cPanel sets MaxRequestWorkers to {limit} for every MPM. Until it is raised, "
                    "threads save memory but serve no more requests at once.",
                    limit=CPANEL_MAX_REQUEST_WORKERS,
                )
            ),
            remedy=Sentence(
                "Raise it in Global Configuration; the capacity section has the values to copy."
            ),
            packages=(situation.choice.mpm.package,),
        )


def becomes_forked(situation: Situation) -> Iterator[Finding]:
    now = situation.packages.mpm
    if situation.answered and now and MPM(now).threaded and not situation.choice.mpm.threaded:
        yield Finding(
            code="one_process_per_request",
            severity=Severity.NOTE,
            title=Sentence("Every request takes a process"),
            message=(
                Sentence(
                    "prefork serves one connection per process, kept-alive ones included. The same "
                    "number of visitors needs more memory than with threads."
                )
            ),
            remedy=Sentence("Compare the memory in the capacity section before confirming."),
            packages=(MPM.PREFORK.package,),
        )


def _becomes_threaded(situation: Situation) -> bool:
    now = situation.packages.mpm
    forked = now is not None and not MPM(now).threaded
    return (
        situation.answered
        and forked
        and bool(situation.change.install)
        and (situation.choice.mpm.threaded)
    )


MODULE_RULES: tuple[RuleFunction, ...] = (
    qos_leaves,
    http2,
    hcheck,
    cgi_swapped,
    limit_stays,
    becomes_forked,
)
