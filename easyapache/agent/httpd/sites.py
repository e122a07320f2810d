"""A sample of the server's own sites, requested as a visitor would.

Every virtual host of the configuration is a candidate with its front page, which visitors request
anyway, so that no other code is run. A few sites of each kind (static, CGI, PHP by its handler,
proxied, each over TLS too) and each listener's address are checked, and all sites in the agent's
configuration. A folder of scripts has no front page: only its index is requested, or the test
script that cPanel has on every server.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from easyapache.agent.config import HostConfig
from easyapache.agent.httpd.addresses import canonical, everywhere, reachable_at
from easyapache.agent.httpd.apache_config import ApacheConfig, Directive, VirtualHost
from easyapache.agent.httpd.http_probe import BODY_LIMIT, Answer, fetch
from easyapache.agent.server import SiteAnswer, Stop, never
from easyapache.ea4.sentences import Sentence

_SCRIPTS = ("index.cgi", "index.pl", "index.py", "defaultwebpage.cgi")
_HANDLERS = ("sethandler", "addhandler", "addtype")
_HTACCESS = 64 * 1024
"""Bytes of an ``.htaccess`` that are read."""
PER_KIND = 2
MOST = 40
"""The most sites to check, besides those in the configuration."""
LIMIT = 10.0
"""Seconds one site may take for its whole answer."""
LIMIT_OF_ALL = 60.0
"""Seconds for all sites. With eight at a time, a few slow ones don't use up the time of others."""


def candidates(config: HostConfig, conf: ApacheConfig) -> list[SiteAnswer]:
    """The sites to check, without answers yet."""
    named = [
        SiteAnswer(url=item["url"], host=item.get("host", ""), kind=item.get("kind", "named"))
        for item in config.sites
    ]
    seen = {(site.url, site.host) for site in named}
    taken: dict[tuple[str, str], int] = {}
    listeners = conf.listeners()
    tls_ports = conf.tls_ports()
    found: list[SiteAnswer] = []
    shared = [
        item
        for item in conf.named("SetHandler", "AddHandler", "AddType", "ScriptAlias")
        if item.virtual_host is None
    ]
    for host in conf.virtual_hosts():
        if len(found) >= MOST:
            break
        scripts = scripts_of([*shared, *host.inside])
        pages = [("/", kind_of(host, shared)), *((path, "cgi") for path in scripts)]
        for address, port in reachable(host, listeners):
            tls = host.tls or port in tls_ports
            for path, plain in pages:
                kind = f"tls {plain}" if tls else plain
                place = (kind, f"{address}:{port}")
                url = f"{'https' if tls else 'http'}://{_netloc(address, port)}{path}"
                again = (url, host.name) in seen
                if taken.get(place, 0) >= PER_KIND or again or len(found) >= MOST:
                    continue
                taken[place] = taken.get(place, 0) + 1
                seen.add((url, host.name))
                found.append(SiteAnswer(url=url, host=host.name, kind=kind))
    return named + found


def reachable(host: VirtualHost, listeners: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Which listeners lead to a virtual host: address and port to connect to."""
    found = []
    for written in host.addresses:
        name, _, port = written.rpartition(":")
        name = canonical(name)
        for address, number in listeners:
            if port.isdigit() and int(port) != number:
                continue
            if everywhere(name) or everywhere(address) or name == address:
                # One's own name or a wildcard is reached through the loopback device.
                found.append((reachable_at(address if everywhere(name) else name), number))
    return list(dict.fromkeys(found))


def kind_of(host: VirtualHost, shared: Sequence[Directive]) -> str:
    """The kind of its front page: by the first index file that exists, and for PHP by what runs it.
    An MPM change can break one kind and not the others. ``shared``: handlers configured outside of
    virtual hosts."""
    if host.proxied:
        return "proxied"
    for name in host.index:
        if host.root and (Path(host.root) / name).is_file():
            suffix = Path(name).suffix
            if suffix.startswith(".php"):
                return f"php {php_of(host, shared)}".rstrip()
            return "cgi" if suffix in (".cgi", ".pl", ".py") else "static"
    return "static"


def php_of(host: VirtualHost, shared: Sequence[Directive]) -> str:
    """What runs a host's PHP: by its own section, else by the ``.htaccess`` of its folder or of
    one above (cPanel writes each domain's version there), else by the server's default."""
    return _php_in(host.inside) or _php_of_folder(host.root) or _php_in(shared)


def _php_in(directives: Iterable[Directive]) -> str:
    """A short name for the last handler of PHP: ``ea-php82`` (CGI, suPHP or LSAPI of that version),
    ``FPM``, with its version if the socket's path has it, or ``module``."""
    found = ""
    for item in directives:
        if item.name in _HANDLERS and item.arguments:
            found = _php_name(item.arguments[0]) or found
    return found


def _php_of_folder(root: str) -> str:
    """The same of the nearest ``.htaccess``; an account's folders are few levels deep."""
    folder = Path(root)
    for place in (folder, *list(folder.parents)[:3]) if root else ():
        found = ""
        for line in _begin_of(place / ".htaccess").splitlines():
            tokens = line.split()
            if len(tokens) > 1 and tokens[0].lower() in _HANDLERS:
                found = _php_name(tokens[1].strip("\"'")) or found
        if found:
            return found
    return ""


def _begin_of(path: Path) -> str:
    """The first part of a user's file, in whose place there may be a pipe, a device or
    gigabytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, _HTACCESS).decode(errors="replace") if plain else ""
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _php_name(handler: str) -> str:
    if "fcgi:" in handler:
        version = re.search(r"ea-php\d+", handler)
        return f"FPM {version[0]}" if version else "FPM"
    if "php" not in handler or handler.endswith("source"):
        return ""
    name = handler.rpartition("x-httpd-")[2]
    return "module" if name.startswith("php") else name


def scripts_of(directives: Iterable[Directive]) -> list[str]:
    """Paths of the scripts that may be requested in the folders of ScriptAlias."""
    found = []
    for item in directives:
        if item.name != "scriptalias" or len(item.arguments) != 2:
            continue
        prefix, folder = item.arguments[0].rstrip("/"), Path(item.arguments[1])
        for name in _SCRIPTS:
            if os.access(folder / name, os.X_OK):
                found.append(f"{prefix}/{name}")
                break
    return list(dict.fromkeys(found))


def probe(
    sites: Iterable[SiteAnswer], stop: Stop = never, limit: float = LIMIT_OF_ALL
) -> list[SiteAnswer]:
    """Request each site, a few at a time, and return the answers in the same order. Sites not
    started within ``limit`` seconds have no answer. Raises Stopped as soon as ``stop()`` is
    true."""
    end = time.monotonic() + limit

    def answer_of(site: SiteAnswer) -> SiteAnswer:
        left = min(LIMIT, end - time.monotonic())
        if left <= 0:
            return replace(site, error=Sentence("not checked: the other sites took too long"))
        return filled(site, fetch(site.url, host=site.host, limit=left, stop=stop))

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(answer_of, sites))


def witnesses(sites: Iterable[SiteAnswer], stop: Stop = never) -> list[SiteAnswer]:
    """Request each site twice. One that answers differently while nothing changes proves nothing
    about a change: it counts as one without an answer."""
    first = probe(sites, stop)
    steady = [site for site in first if not site.error]
    again = dict(zip(steady, probe(steady, stop), strict=True))
    return [
        replace(blank(site), error=Sentence("answers differently each time"))
        if site in again and (difference(site, again[site]) or difference(again[site], site))
        else site
        for site in first
    ]


def blank(site: SiteAnswer) -> SiteAnswer:
    """The same site, without an answer."""
    return SiteAnswer(site.url, site.host, site.kind)


def filled(site: SiteAnswer, answer: Answer) -> SiteAnswer:
    """The site with the parts of the response that are kept."""
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
    """A sentence on what a visitor would notice; empty if the site answers as before.

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
    """A short summary of an answer."""
    if site.error:
        return Sentence("no answer ({error})", error=site.error)
    parts = [str(site.status), site.content_type, f"→ {site.location}" if site.location else ""]
    return " ".join(part for part in parts if part)


def _path(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _netloc(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
