"""``ea4-mpm setup``: from an installed package to a running panel or agent. Safe to repeat.

Existing keys, accounts, certificate, database, and every setting without an option are kept. A
second run adds what is missing and starts stopped services.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

from easyapache.installed import universal_hooks
from easyapache.installed.layout import (
    ACCOUNT,
    AGENT,
    PREPARE,
    REDIS,
    REDIS_SOCKET,
    RESUME,
    TARGET,
    WEB,
    WORKER,
    Layout,
    Refused,
    account,
    env_text,
    manage,
    own,
    read_env,
    run,
    systemctl,
    write,
)
from easyapache.installed.whm import ensure_key

LISTEN = "0.0.0.0:8443"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?\Z")
_LISTEN = re.compile(r"(\[[0-9a-fA-F:]+\]|[0-9.]+):([0-9]{1,5})\Z")
_UP_LIMIT = 300.0
_DAYS = 397
"""For how long the certificate that setup creates is valid; browsers refuse longer ones."""

REDIS_CONF = f"""\
# Written by ea4-mpm setup. A socket and no file: Redis holds messages only, and the panel sends a
# message that is lost again. Without a file there is nothing that a power cut can damage.
port 0
unixsocket {REDIS_SOCKET}
unixsocketperm 770
dir /run/ea4-mpm-redis
appendonly no
save ""
maxmemory 64mb
maxmemory-policy noeviction
maxclients 200
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """The input of setup. ``None`` means that the option was not given."""

    server: str | None = None
    hosts: tuple[str, ...] = ()
    listen: str | None = None
    database: str | None = None
    redis: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None
    agent: bool = True
    questions: bool = False


Report = Callable[[str], None]


def setup(layout: Layout, answers: Answers, report: Report) -> str:
    """Returns the address of the panel, or of its broker for an agent alone. Raises Refused."""
    _check_machine()
    if layout.has_panel:
        return _panel(layout, answers, report)
    return _agent_alone(layout, answers, report)


def _check_machine() -> None:
    if not Path("/run/systemd/system").is_dir():
        raise Refused("systemd is not process 1 of this machine: the units cannot run here.")


# -- questions ---------------------------------------------------------------------------------


def ask(answers: Answers, question: str, default: str) -> str:
    """An answer from the terminal; the default without a terminal."""
    if not answers.questions:
        return default
    sys.stdout.write(f"{question} [{default}]: ")
    sys.stdout.flush()
    return sys.stdin.readline().strip() or default


def server_name(layout: Layout, answers: Answers) -> str:
    known = read_env(layout.agent_env).get("EA4_SERVER", "")
    name = answers.server or known
    if not name:
        own_name = re.sub(r"[^a-z0-9-]", "-", socket.gethostname().partition(".")[0].lower())
        name = ask(answers, "Name of this server in the panel", own_name.strip("-") or "server")
    if not _NAME.match(name):
        raise Refused(f"{name!r} cannot be the name of a server: lower-case letters, digits, -, .")
    if known and known != name:
        raise Refused(
            f"This agent is {known} already, and its changes are recorded under that name. For "
            "another name, run ea4-mpm uninstall first."
        )
    return name


# -- the panel ---------------------------------------------------------------------------------


def _panel(layout: Layout, answers: Answers, report: Report) -> str:
    name = server_name(layout, answers) if answers.agent else ""
    _account(report)
    changed = _broker(layout, answers, report)
    changed |= _panel_settings(layout, answers, name, report)
    if answers.agent:
        changed |= _agent_settings(layout, name)
    systemctl("daemon-reload")
    report("Preparing the database")
    described = {"name": name, "kind": "real", "hostname": socket.getfqdn()}
    servers = ["--server", json.dumps(described)] if answers.agent else []
    made = manage(layout, "prepare", "--first-accounts", "--json", *servers)
    people = json.loads(made.stdout.strip().splitlines()[-1])
    for person in people:
        report(f"Account {person['name']} ({person['role']}), password: {person['password']}")
    if people:
        report("The passwords are shown this once. Change them after you sign in.")
    _start(layout, changed, report)
    _wait_until_up(layout)
    return _address(layout)


def _account(report: Report) -> None:
    try:
        account()
    except Refused:
        report(f"Creating the account {ACCOUNT}")
        run(
            [
                *("useradd", "--system", "--user-group", "--no-create-home"),
                *("--home-dir", "/var/lib/ea4-mpm/panel", "--shell", "/usr/sbin/nologin", ACCOUNT),
            ]
        )


def _broker(layout: Layout, answers: Answers, report: Report) -> bool:
    """Settings of Redis: the one that is named, else one of our own."""
    group = account().pw_gid
    for folder in (layout.config, layout.secrets):
        folder.mkdir(parents=True, exist_ok=True)
        own(folder, 0o750, group, 0)
    layout.state.mkdir(parents=True, exist_ok=True)
    own(layout.state, 0o755, 0, 0)
    known = read_env(layout.broker_env).get("REDIS_URL", "")
    url = answers.redis or known or f"unix://{REDIS_SOCKET}"
    if url.startswith("rediss:") and not ("ssl_cert_reqs=required" in url and "ssl_ca" in url):
        raise Refused(
            "A rediss:// address must end with ?ssl_cert_reqs=required&ssl_ca_certs=FILE: without "
            "them the certificate of Redis is not verified."
        )
    changed = write(
        layout.broker_env,
        env_text({"REDIS_URL": url}, "The Redis of panel and agent."),
        0o640,
        group,
    )
    if url == f"unix://{REDIS_SOCKET}":
        return write(layout.redis_conf, REDIS_CONF, 0o644, 0) or changed
    if layout.redis_conf.exists():
        report("Redis of this panel's own is no longer used")
        systemctl("disable", "--now", REDIS, check=False)
        layout.redis_conf.unlink()
    return changed


def _panel_settings(layout: Layout, answers: Answers, name: str, report: Report) -> bool:
    group = account().pw_gid
    known = read_env(layout.panel_env)
    hosts = answers.hosts or tuple(filter(None, known.get("ALLOWED_HOSTS", "").split(",")))
    if not hosts:
        own_name = socket.getfqdn()
        hosts = tuple(ask(answers, "Host names of the panel", own_name).replace(",", " ").split())
    for host in hosts:
        if not _HOST.match(host):
            raise Refused(f"{host!r} is not a host name.")
    hosts = tuple(dict.fromkeys((*hosts, "localhost", "127.0.0.1")))
    listen = answers.listen or known.get("EA4_LISTEN") or ask(answers, "Listen on", LISTEN)
    if not _LISTEN.match(listen) or not 1024 <= int(listen.rpartition(":")[2]) <= 65535:
        raise Refused(
            f"{listen!r}: an address and a port from 1024 on, as 0.0.0.0:8443 or [::]:8443."
        )
    if listen != known.get("EA4_LISTEN"):
        _refuse_taken(listen)
    certificate, key = _certificate(layout, answers, hosts, report)
    values = {
        "SECRET_KEY_FILE": _secret(layout, "secret-key", lambda: secrets.token_urlsafe(50)),
        "TOKEN_PEPPERS_FILE": _secret(
            layout, "token-peppers", lambda: f"{time.gmtime().tm_year}:{secrets.token_urlsafe(40)}"
        ),
        "VAR_DIR": str(layout.panel_state),
        "ALLOWED_HOSTS": ",".join(hosts),
        "PANEL_URL": _panel_url(known, hosts, listen),
        "HTTPS": "true",
        "EA4_LISTEN": listen,
        "EA4_CERTIFICATE": certificate,
        "EA4_CERTIFICATE_KEY": key,
    }
    if answers.database is not None:
        if answers.database:
            if not answers.database.startswith(("postgres://", "postgresql://", "sqlite:///")):
                raise Refused("--database must begin with postgres:// or sqlite:///.")
            write(layout.secrets / "database-url", f"{answers.database}\n", 0o640, group)
            values["DATABASE_URL_FILE"] = str(layout.secrets / "database-url")
    elif "DATABASE_URL_FILE" in known:
        values["DATABASE_URL_FILE"] = known["DATABASE_URL_FILE"]
    if name:
        values.setdefault("WHM_SERVER", name)
    values = {**known, **values}
    if answers.database == "":
        values.pop("DATABASE_URL_FILE", None)
    who = account()
    layout.panel_state.mkdir(parents=True, exist_ok=True)
    own(layout.panel_state, 0o700, who.pw_gid, who.pw_uid)
    about = "Settings of the panel; docs/reference/settings.md describes each."
    return write(layout.panel_env, env_text(values, about), 0o640, group)


def _panel_url(known: Mapping[str, str], hosts: Sequence[str], listen: str) -> str:
    """The one that somebody set; else the first host name, at the port of the panel."""
    was = known.get("PANEL_URL", "")
    earlier = known.get("ALLOWED_HOSTS", "").split(",")
    if was and was != _url(earlier, known.get("EA4_LISTEN", "")):
        return was
    return _url(hosts, listen)


def _url(hosts: Sequence[str], listen: str) -> str:
    host = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
    return f"https://{host}:{listen.rpartition(':')[2]}"


def _secret(layout: Layout, name: str, make: Callable[[], str]) -> str:
    """The file of a key, made at the first time only."""
    path, group = layout.secrets / name, account().pw_gid
    if path.exists() and path.stat().st_size:
        own(path, 0o640, group, 0)
    else:
        write(path, f"{make()}\n", 0o640, group)
    return str(path)


def _refuse_taken(listen: str) -> None:
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise Refused(
                f"{listen} cannot be used: {error.strerror}. Name another port with --listen."
            ) from error


def _certificate(
    layout: Layout, answers: Answers, hosts: tuple[str, ...], report: Report
) -> tuple[str, str]:
    """The certificate of the pages: the one that is named, the one that is there, or a new one."""
    if bool(answers.certificate) != bool(answers.certificate_key):
        raise Refused("Name both --certificate and --certificate-key, or neither.")
    group = account().pw_gid
    if answers.certificate and answers.certificate_key:
        pair = Path(answers.certificate), Path(answers.certificate_key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(*pair)
            texts = [path.read_text(encoding="ascii") for path in pair]
        except (OSError, ssl.SSLError, UnicodeDecodeError) as error:
            raise Refused(f"This certificate and key cannot be used: {error}") from error
        write(layout.certificate, texts[0], 0o644, group)
        write(layout.certificate_key, texts[1], 0o640, group)
    elif not (layout.certificate.exists() and layout.certificate_key.exists()):
        report("Creating a certificate that this panel signs itself")
        layout.certificate.parent.mkdir(parents=True, exist_ok=True)
        names = ",".join(
            f"IP:{host}" if re.fullmatch(r"[0-9.]+|.*:.*", host) else f"DNS:{host}"
            for host in hosts
        )
        scratch = layout.certificate_key.with_name(".key.new"), layout.certificate.with_name(".new")
        run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec"),
                *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(_DAYS)),
                *("-subj", f"/CN={hosts[0][:64]}", "-addext", f"subjectAltName={names}"),
                *("-keyout", str(scratch[0]), "-out", str(scratch[1])),
            ]
        )
        write(layout.certificate_key, scratch[0].read_text(encoding="ascii"), 0o640, group)
        write(layout.certificate, scratch[1].read_text(encoding="ascii"), 0o644, group)
        for path in scratch:
            path.unlink()
    own(layout.certificate.parent, 0o750, group, 0)
    own(layout.certificate, 0o644, group, 0)
    own(layout.certificate_key, 0o640, group, 0)
    return str(layout.certificate), str(layout.certificate_key)


# -- the agent ---------------------------------------------------------------------------------


def _agent_alone(layout: Layout, answers: Answers, report: Report) -> str:
    known = read_env(layout.broker_env).get("REDIS_URL", "")
    if not (answers.redis or known):
        raise Refused(
            "An agent alone needs the Redis of its panel: "
            "ea4-mpm setup --redis ADDRESS --server NAME"
        )
    name = server_name(layout, answers)
    _account(report)
    changed = _broker(layout, answers, report)
    changed |= _agent_settings(layout, name)
    systemctl("daemon-reload")
    _start(layout, changed, report)
    return f"{name}, through {_without_password(read_env(layout.broker_env)['REDIS_URL'])}"


def _without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//", url)


def _agent_settings(layout: Layout, name: str) -> bool:
    layout.spool.mkdir(parents=True, exist_ok=True)
    own(layout.spool, 0o700, 0, 0)
    values = {**read_env(layout.agent_env), "EA4_SERVER": name}
    changed = write(layout.agent_env, env_text(values, "Settings of the agent."), 0o600, 0)
    if not layout.agent_toml.exists():
        text = f'server = "{name}"\nspool = "{layout.spool}"\n'
        changed = write(layout.agent_toml, text, 0o600, 0)
    own(layout.agent_toml, 0o600, 0, 0)
    ensure_key(layout)
    universal_hooks.install(layout)
    return changed


# -- starting ----------------------------------------------------------------------------------


def _start(layout: Layout, changed: bool, report: Report) -> None:
    wanted = [unit for unit in layout.units() if unit != PREPARE]
    report(f"Starting {', '.join(unit for unit in wanted if unit != RESUME)}")
    systemctl("enable", TARGET, *wanted)
    if changed:
        services = [unit for unit in (REDIS, PREPARE, WEB, WORKER, AGENT) if unit in layout.units()]
        systemctl("restart", *services)
    systemctl("start", TARGET, *(unit for unit in wanted if unit != RESUME))


def _address(layout: Layout) -> str:
    settings = read_env(layout.panel_env)
    return _url(settings["ALLOWED_HOSTS"].split(","), settings["EA4_LISTEN"]) + "/"


def page_problem(layout: Layout, limit: float = 10.0) -> str:
    """Why the panel does not answer with its own certificate; empty when it does."""
    settings = read_env(layout.panel_env)
    host, _, port = settings["EA4_LISTEN"].rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104
    try:
        context = ssl.create_default_context(cafile=settings["EA4_CERTIFICATE"])
        # Exactly this certificate is expected, which need not name the loopback address, nor be
        # signed by a CA known to this machine.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection(host, int(port), timeout=limit, context=context)
        try:
            connection.request("GET", "/login/", headers={"Host": "localhost"})
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, HTTPException) as error:
        return str(error)
    return "" if status < 500 else f"it answers with status {status}"


def _wait_until_up(layout: Layout) -> None:
    end = time.monotonic() + _UP_LIMIT
    while why := page_problem(layout):
        if time.monotonic() > end:
            raise Refused(
                f"The panel does not answer after {_UP_LIMIT:.0f} s ({why}). Look at: "
                f"journalctl -u {WEB} -u {PREPARE}"
            )
        time.sleep(0.5)
