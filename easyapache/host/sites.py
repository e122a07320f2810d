"""A sample of the server's own sites, asked the way a visitor would.

Every virtual host of the configuration is a candidate for its front page: what every visitor
asks, and no more of anybody's code than they run anyway. Of each kind (static, CGI, PHP, TLS,
redirect, proxied) and each listener's address a few are asked, and all that the agent's
configuration names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from easyapache.host.apache_config import EVERYWHERE, ApacheConfig, VirtualHost
from easyapache.host.config import HostConfig
from easyapache.host.http_probe import BODY_LIMIT, Answer, fetch
from easyapache.host.server import SiteAnswer
from easyapache.sentences import Sentence

PER_KIND = 2
MOST = 40
"""Sites asked at most, besides those that the configuration names."""


def candidates(config: HostConfig, conf: ApacheConfig) -> list[SiteAnswer]:
    """The addresses to ask, without answers yet."""
    named = [
        SiteAnswer(url=item["url"], host=item.get("host", ""), kind=item.get("kind", "named"))
        for item in config.sites
    ]
    known = {(site.url, site.host) for site in named}
    taken: dict[tuple[str, str], int] = {}
    listeners = conf.listeners()
    tls_ports = conf.tls_ports()
    found: list[SiteAnswer] = []
    for host in conf.virtual_hosts():
        for address, port in reachable(host, listeners):
            tls = host.tls or port in tls_ports
            kind = kind_of(host, tls)
            place = (kind, f"{address}:{port}")
            url = f"{'https' if tls else 'http'}://{_netloc(address, port)}/"
            if taken.get(place, 0) >= PER_KIND or (url, host.name) in known or len(found) >= MOST:
                continue
            taken[place] = taken.get(place, 0) + 1
            known.add((url, host.name))
            found.append(SiteAnswer(url=url, host=host.name, kind=kind))
    return named + found


def reachable(host: VirtualHost, listeners: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Which listeners lead to a virtual host: address and port to connect to."""
    found = []
    for written in host.addresses:
        name, _, port = written.rpartition(":")
        name = name.strip("[]")
        for address, number in listeners:
            if port.isdigit() and int(port) != number:
                continue
            anywhere = name in EVERYWHERE
            if anywhere or not address or name == address:
                # One's own name or a wildcard is reached through the loopback device.
                found.append((name if not anywhere else address or "127.0.0.1", number))
    return list(dict.fromkeys(found))


def kind_of(host: VirtualHost, tls: bool) -> str:
    """By what its front page is made of: the first index file that is there."""
    if host.proxied:
        kind = "proxied"
    else:
        kind = "static"
        for name in host.index:
            if host.root and (Path(host.root) / name).is_file():
                suffix = Path(name).suffix
                kind = "php" if suffix.startswith(".php") else kind
                kind = "cgi" if suffix in (".cgi", ".pl", ".py") else kind
                break
    return f"tls {kind}" if tls else kind


def ask(sites: Iterable[SiteAnswer]) -> list[SiteAnswer]:
    """Ask each of them, a few at a time; the order stays."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(_asked, sites))


def _asked(site: SiteAnswer) -> SiteAnswer:
    answer = fetch(site.url, host=site.host)
    return filled(site, answer)


def filled(site: SiteAnswer, answer: Answer) -> SiteAnswer:
    """What is kept of an answer."""
    if answer.error:
        return SiteAnswer(site.url, site.host, site.kind, error=answer.error)
    return SiteAnswer(
        url=site.url,
        host=site.host,
        kind=site.kind,
        status=answer.status,
        location=answer.headers.get("location", ""),
        content_type=answer.headers.get("content-type", "").partition(";")[0].strip().lower(),
        size_class=min(len(answer.body), BODY_LIMIT).bit_length(),
    )


def difference(before: SiteAnswer, after: SiteAnswer) -> str:
    """What a visitor would notice, in words; empty when the site answers as before.

    Tolerated: a body up to twice or half as long (pages hold dates, counters, tokens), a
    redirect whose query differs, and anything at a site that did not answer before either.
    """
    if before.error:
        return ""
    if after.error:
        return Sentence("no answer ({error})", error=after.error)
    if before.status != after.status:
        # A site that failed with 5xx and now works is no damage.
        if before.status >= 500 > after.status:
            return ""
        return Sentence("status {status}", status=after.status)
    if _path(before.location) != _path(after.location):
        return Sentence("redirects to {place}", place=after.location or Sentence("nowhere"))
    if before.content_type != after.content_type:
        return Sentence("content type {kind}", kind=after.content_type or Sentence("none"))
    if abs(before.size_class - after.size_class) > 1:
        return Sentence(
            "size class {now} instead of {then}", now=after.size_class, then=before.size_class
        )
    return ""


def summary(site: SiteAnswer) -> str:
    """An answer in a few words."""
    if site.error:
        return Sentence("no answer ({error})", error=site.error)
    parts = [str(site.status), site.content_type, f"→ {site.location}" if site.location else ""]
    return " ".join(part for part in parts if part)


def _path(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _netloc(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
