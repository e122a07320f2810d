"""``ea4-mpm``: see ``ea4-mpm --help``. Exit status: 0 done, 1 something is wrong, 2 refused."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from easyapache.installed import whm
from easyapache.installed.check import check
from easyapache.installed.layout import Layout, Refused, account, panel_environment
from easyapache.installed.removal import uninstall
from easyapache.installed.setup import Answers, setup
from easyapache.installed.upgrade import activated, use, versions

DONE, WRONG, REFUSED = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="ea4-mpm", description="Set up, check, upgrade and remove the EA4 MPM panel or agent."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("setup", help="make keys, database, account, certificate; start")
    one.add_argument("--server", help="name of this server in the panel")
    one.add_argument("--host", action="append", default=[], help="host name of the panel")
    one.add_argument("--listen", help="address and port of the pages: 0.0.0.0:8443")
    one.add_argument("--database", help="postgres://…; empty for SQLite")
    one.add_argument("--redis", help="address of a Redis; without it the panel has its own")
    one.add_argument("--certificate", metavar="FILE", help="PEM, with the chain behind it")
    one.add_argument("--certificate-key", metavar="FILE", help="PEM, without a password")
    one.add_argument("--no-agent", action="store_true", help="this machine has no EasyApache 4")
    one.add_argument(
        "--ask", action="store_true", help="ask at the terminal for what no option says"
    )
    two = commands.add_parser("check", help="say what is wrong")
    two.add_argument("--json", action="store_true", help="one JSON list for a program")
    three = commands.add_parser("uninstall", help="remove everything, without a network")
    three.add_argument("--keep-history", action="store_true", help="keep database and keys")
    four = commands.add_parser("use", help="make another installed version current")
    four.add_argument("version", nargs="?", help="without it, the versions are listed")
    five = commands.add_parser("manage", help="run manage.py as the panel's account")
    five.add_argument("words", nargs=argparse.REMAINDER)
    six = commands.add_parser("mpm", help="the panel's commands: ea4-mpm mpm switch event --wait")
    six.add_argument("words", nargs=argparse.REMAINDER)
    eight = commands.add_parser("agent", help="status, resume or undo a change of this server")
    eight.add_argument("words", nargs=argparse.REMAINDER)
    nine = commands.add_parser("whm", help="put the panel into WHM's menu, or take it out")
    _whm_parser(nine)
    seven = commands.add_parser("activated")  # for the package's script; not for people
    seven.add_argument("version")
    seven.add_argument("--before", default="")
    return top


def _whm_parser(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    one = actions.add_parser("install", help="put the panel into WHM's menu")
    one.add_argument("--panel", metavar="ADDRESS", help="https://…, for a panel elsewhere")
    actions.add_parser("remove", help="take it out again")
    actions.add_parser("key", help="print the public key of this server, which the panel needs")
    two = actions.add_parser("ticket")  # for the program that WHM runs
    two.add_argument("--user", required=True)
    two.add_argument("--privilege", choices=whm.PRIVILEGES, required=True)


def report(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    options, layout = parser().parse_args(arguments), Layout()
    if os.geteuid() != 0:
        sys.stderr.write("ea4-mpm must run as root.\n")
        return REFUSED
    os.umask(0o022)
    os.chdir("/")
    try:
        return _run(options, layout)
    except Refused as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED


def _run(options: argparse.Namespace, layout: Layout) -> int:
    match options.command:
        case "setup":
            report(f"Ready: {setup(layout, _answers(options), report)}")
        case "check":
            return _check(layout, as_json=options.json)
        case "uninstall":
            uninstall(layout, keep_history=options.keep_history, report=report)
        case "use" if options.version:
            use(layout, options.version, report)
        case "use":
            for version in versions(layout):
                report(
                    f"{version}{' (current)' if layout.current.resolve().name == version else ''}"
                )
        case "activated":
            activated(layout, options.version, options.before, report)
        case "whm":
            _whm(layout, options)
        case "agent":
            _agent(layout, options.words)
        case name:
            _manage(layout, [*(["mpm"] if name == "mpm" else []), *options.words])
    return DONE


def _answers(options: argparse.Namespace) -> Answers:
    return Answers(
        server=options.server,
        hosts=tuple(options.host),
        listen=options.listen,
        database=options.database,
        redis=options.redis,
        certificate=options.certificate,
        certificate_key=options.certificate_key,
        agent=not options.no_agent,
        questions=options.ask,
    )


def _check(layout: Layout, *, as_json: bool) -> int:
    found = check(layout)
    if as_json:
        report(json.dumps([one.as_json() for one in found]))
    else:
        for one in found:
            detail = f" ({one.detail})" if one.detail else ""
            report(f"{'ok  ' if one.ok else 'NO  '}{one.what}{detail}")
            if not one.ok and one.remedy:
                report(f"    {one.remedy}")
    return DONE if all(one.ok for one in found) else WRONG


def _whm(layout: Layout, options: argparse.Namespace) -> None:
    match options.action:
        case "install":
            whm.install(layout, options.panel, report)
        case "remove":
            whm.remove(layout, report)
        case "key":
            report(whm.public_key(layout))
        case _:
            report(whm.ticket(layout, options.user, options.privilege))


def _agent(layout: Layout, words: list[str]) -> None:
    """Become ``python -m easyapache.agent``, which needs no panel, no Redis and no agent."""
    tree = str(layout.current.resolve())
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{tree}:{tree}/vendor",
        "PYTHONDONTWRITEBYTECODE": "1",
        "EA4_AGENT_CONFIG": str(layout.agent_toml),
    }
    argv = [sys.executable, "-m", "easyapache.agent", *words]
    os.execve(sys.executable, argv, environment)  # noqa: S606


def _manage(layout: Layout, words: list[str]) -> None:
    """Become manage.py, as the panel's account and with this terminal."""
    if not layout.panel_is_set_up:
        raise Refused("No panel is set up on this machine.")
    who, program = account(), layout.manage.resolve()
    environment = panel_environment(layout)
    for name in ("SUDO_USER", "TERM", "COLUMNS"):
        if os.environ.get(name):
            environment[name] = os.environ[name]
    os.chdir(program.parent)
    os.setgroups([])
    os.setgid(who.pw_gid)
    os.setuid(who.pw_uid)
    os.umask(0o077)
    os.execve(sys.executable, [sys.executable, str(program), *words], environment)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
