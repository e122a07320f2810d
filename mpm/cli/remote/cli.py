"""``ea4mpm``: servers, status, doctor, plan, switch, log, history, rollback, cancel, token and
completion.

Exit status: 0 done; 1 the change failed or was rolled back, the three observations of a server
disagree, or it has not answered; 2 bad arguments or configuration, or not confirmed; 3 refused by
the panel; 4 the panel does not answer; 5 another change is in the way.

With ``--json`` standard output holds exactly one JSON value, whatever came of it; a refusal has a
``code`` and a ``detail``. Words for people are then on standard error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from mpm import VERSION
from mpm.cli.remote import display
from mpm.cli.remote.completion import SHELLS, script
from mpm.cli.remote.configuration import BadConfiguration, panel_from
from mpm.cli.remote.connection import Connection, Refused, Unreachable, address
from mpm.cli.remote.following import follow

SERVER_PATIENCE = 60.0
"""Seconds that a server has for a plan of its own. The panel gives it up after half of that."""
DONE, FAILED, USAGE, REFUSED, UNREACHABLE, BUSY = 0, 1, 2, 3, 4, 5
MPMS = ("event", "worker", "prefork")
Json = dict[str, Any]


class NotConfirmed(Exception):
    """Nobody said yes to what a command would do."""


class Run:
    """What a command works with. ``aside`` is for words that are not the answer."""

    def __init__(self, connection: Connection, options: argparse.Namespace) -> None:
        self.panel, self.options = connection, options
        self.console, self.aside = Console(), Console(stderr=True)

    def answer(self, value: Any, show: Callable[[Console, Any], None]) -> None:
        """JSON for a program, else as a person reads it."""
        if self.options.json:
            print_json(value)
        else:
            show(self.console, value)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


# -- commands ---------------------------------------------------------------------------------


def servers(run: Run) -> int:
    run.answer(run.panel.get("servers")["items"], display.servers)
    return DONE


def status(run: Run) -> int:
    """Fails where packages, configuration and running httpd disagree: fit for monitoring."""
    body = run.panel.get(address("servers", run.options.server, "mpm"))
    run.answer(body, display.status)
    return DONE if body["sound"] else FAILED


def doctor(run: Run) -> int:
    """Fails where anything is known to be wrong."""
    body = run.panel.get(f"servers/{run.options.server}/doctor")
    run.answer(body, display.examination)
    return FAILED if body["findings"] else DONE


def _choice(options: argparse.Namespace) -> Json:
    return {"mpm": options.mpm, "itk": options.itk, "add": options.add, "keep": options.keep}


def plan(run: Run) -> int:
    server, choice = run.options.server, _choice(run.options)
    if run.options.ask_server:
        body = run.panel.plan_of_server(server, choice, SERVER_PATIENCE)
    else:
        body = run.panel.plan(server, choice)
    if "digest" not in body:
        run.answer(body, _pending)
        return FAILED
    run.answer(body, display.plan)
    return REFUSED if body["blocked"] else DONE


def _pending(console: Console, body: Json) -> None:
    console.print(f"The server has not answered yet; its plan will be at {body['href']}")


def switch(run: Run) -> int:
    options = run.options
    wanted = {
        **_choice(options),
        "reason": options.reason,
        "ticket": options.ticket,
        "dry_run": options.dry_run,
        "not_before": options.not_before,
        "digest": options.digest,
    }
    if not options.digest and not options.dry_run:
        made = run.panel.plan(options.server, _choice(options))
        if not made["satisfied"] and not options.yes:
            _agree(run, made)
        elif not options.json:
            display.plan(run.console, made)
        wanted["digest"] = made["digest"]
    body = run.panel.switch(options.server, wanted, options.key or "")
    change = body["change"]
    if change is None:
        run.answer(body, lambda console, value: console.print(value["detail"], markup=False))
        return DONE
    if not options.wait:
        run.answer(body, _made)
        return DONE
    return _ended(run, str(change["id"]))


def _agree(run: Run, made: Json) -> None:
    """Show the plan and have somebody say yes. Raises NotConfirmed."""
    display.plan(run.aside if run.options.json else run.console, made)
    if not sys.stdin.isatty():
        raise NotConfirmed("Say --yes to confirm this plan, or --digest to confirm exactly one.")
    if run.aside.input("Do this? [y/N] ").strip().lower() not in ("y", "yes"):
        raise NotConfirmed("Nothing was done.")


def _made(console: Console, body: Json) -> None:
    console.print(f"{body['detail']} Follow it with: ea4mpm log -f {body['change']['id']}")


def _ended(run: Run, change: str) -> int:
    """Show a change until it has ended; the exit status says how."""
    quiet = Console(stderr=True, quiet=True) if run.options.json else run.console
    body = follow(run.panel, quiet, change)
    run.answer(body, display.ending)
    return _how(body)


def _how(change: Json) -> int:
    return DONE if change["state"] == "succeeded" else FAILED


def log(run: Run) -> int:
    """With ``-f`` the exit status says how the change ended."""
    options = run.options
    text = b""
    for piece in run.panel.log(options.change, follow=options.follow):
        if options.json:
            text += piece
        else:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    if not options.json and not options.follow:
        return DONE
    body = run.panel.get(address("changes", options.change))
    if options.json:
        said = text.decode("utf-8", "replace")
        print_json({"change": body["id"], "state": body["state"], "log": said})
    else:
        display.ending(run.aside, body)
    return _how(body) if options.follow else DONE


def show(run: Run) -> int:
    body = run.panel.get(address("changes", run.options.change))

    def told(console: Console, value: Json) -> None:
        for sentence in value["story"]:
            console.print(sentence, markup=False)

    run.answer(body, told)
    return DONE


def history(run: Run) -> int:
    options = run.options
    filters = {
        "server": options.server,
        "requested_by": options.person,
        "origin": options.origin,
        "state": options.result,
        "ticket": options.ticket,
        "text": options.text,
        "since": options.since,
        "until": options.until,
    }
    found = []
    for item in run.panel.pages("changes", limit=min(options.limit, 200), **filters):
        found.append(item)
        if len(found) >= options.limit:
            break
    run.answer(found, display.history)
    return DONE


def rollback(run: Run) -> int:
    options = run.options
    body = run.panel.roll_back(options.change, {"reason": options.reason, "ticket": options.ticket})
    if options.wait:
        return _ended(run, str(body["id"]))
    run.answer(body, lambda console, value: console.print(f"Change #{value['id']} was made."))
    return DONE


def cancel(run: Run) -> int:
    body = run.panel.cancel(run.options.change)
    run.answer(body, lambda console, value: console.print(f"#{value['id']}: {value['state']}"))
    return DONE


def token(run: Run) -> int:
    """The secret alone goes to standard output, so that it can be caught by a script."""
    options = run.options
    if options.action == "list":
        run.answer(run.panel.get("tokens")["items"], display.tokens)
        return DONE
    if options.action == "show":
        run.answer([run.panel.get("token")], display.tokens)
        return DONE
    if options.action == "revoke":
        path = address("tokens", options.key_id)
        run.panel.request("DELETE", path)
        run.answer(
            run.panel.get(path),
            lambda console, value: console.print(f"{value['id']}: {value['state']}"),
        )
        return DONE
    if options.action == "rotate":
        path = address("tokens", options.key_id, "rotate")
        body = run.panel.post(path, {"overlap_hours": options.overlap_hours})
    else:
        wanted = {
            "name": options.name,
            "purpose": options.purpose,
            "scopes": options.scope,
            "servers": options.server,
            "networks": options.network,
            "sandbox": options.sandbox,
            "expires_at": options.expires,
        }
        body = run.panel.post("tokens", wanted)
    run.answer(body, lambda console, value: console.print(value["token"], soft_wrap=True))
    return DONE


# -- arguments ---------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON value, for programs")
    common.add_argument("--panel", default="", metavar="NAME", help="of the configuration file")
    common.add_argument("--url", default="", help="of the panel")
    choice = argparse.ArgumentParser(add_help=False)
    choice.add_argument("server")
    choice.add_argument("mpm", choices=MPMS)
    choice.add_argument("--itk", action="store_true", help="with ITK (prefork only)")
    choice.add_argument("--add", action="append", default=[], metavar="PACKAGE")
    choice.add_argument("--keep", action="append", default=[], metavar="PACKAGE")
    why = argparse.ArgumentParser(add_help=False)
    why.add_argument("--reason", default="")
    why.add_argument("--ticket", default="")
    why.add_argument("--wait", action="store_true", help="until it has ended, with its progress")

    top = argparse.ArgumentParser(
        prog="ea4mpm", description="Change the MPM of EasyApache 4 servers through a panel."
    )
    top.add_argument("--version", action="version", version=f"ea4mpm {VERSION}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, work: Callable[[Run], int], words: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=words, description=words, parents=[common, *parents])
        made.set_defaults(work=work)
        return made

    add("servers", servers, "list the servers the token reaches")
    add("status", status, "which MPM holds on a server").add_argument("server")
    add("doctor", doctor, "what is known to be wrong with a server").add_argument("server")
    asked = add("plan", plan, "what a change would do", choice)
    asked.add_argument("--ask-server", action="store_true", help="its own dnf, not the catalogue")
    made = add("switch", switch, "change the MPM", choice, why)
    made.add_argument("--digest", help="of the plan that is confirmed")
    made.add_argument("--dry-run", action="store_true")
    made.add_argument("--not-before", metavar="TIME", help="as 2026-03-03T21:00:00Z")
    made.add_argument("--yes", action="store_true", help="do not ask")
    made.add_argument("--key", type=_key, help="Idempotency-Key, to repeat a request safely")
    read = add("log", log, "the log of a change")
    read.add_argument("change")
    read.add_argument("-f", "--follow", action="store_true", help="until it has ended")
    add("show", show, "one change, told in sentences").add_argument("change")
    listed = add("history", history, "changes, newest first")
    for name in ("server", "person", "origin", "result", "ticket", "text", "since", "until"):
        listed.add_argument(f"--{name}", default="")
    listed.add_argument("--limit", type=int, default=50)
    add("rollback", rollback, "go back to before a change", why).add_argument("change")
    add("cancel", cancel, "cancel a change").add_argument("change")
    _token_arguments(commands, common)
    shell = commands.add_parser("completion", help="completion for a shell: source its output")
    shell.add_argument("shell", choices=SHELLS)
    return top


def _key(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", text):
        raise argparse.ArgumentTypeError("a key has up to 255 ASCII characters and no blanks")
    return text


def _token_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    group = commands.add_parser("token", help="make, list, rotate and revoke tokens")
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name in ("list", "show"):
        actions.add_parser(name, parents=[common])
    made = actions.add_parser("make", parents=[common])
    made.add_argument("name")
    made.add_argument("--purpose", default="")
    made.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=("read", "plan", "change", "rollback", "admin"),
    )
    made.add_argument("--server", action="append", default=[])
    made.add_argument("--network", action="append", default=[])
    made.add_argument("--expires", metavar="TIME")
    made.add_argument("--sandbox", action="store_true")
    turned = actions.add_parser("rotate", parents=[common])
    turned.add_argument("key_id")
    turned.add_argument("--overlap-hours", type=int, default=24)
    actions.add_parser("revoke", parents=[common]).add_argument("key_id")
    group.set_defaults(work=token)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.command == "completion":
        sys.stdout.write(script(options.shell, parser()))
        return DONE
    try:
        with Connection(panel_from(name=options.panel, url=options.url)) as connection:
            status: int = options.work(Run(connection, options))
            return status
    except BadConfiguration as error:
        _say(options, {"code": "configuration", "detail": str(error)})
        return USAGE
    except NotConfirmed as error:
        _say(options, {"code": "not_confirmed", "detail": str(error)})
        return USAGE
    except Unreachable as error:
        _say(options, {"code": "unreachable", "detail": str(error)})
        return UNREACHABLE
    except Refused as refused:
        _say(options, refused.problem)
        return BUSY if refused.problem.get("code") == "busy" else REFUSED
    except KeyboardInterrupt:
        said = "Stopped watching. What was begun goes on."
        _say(options, {"code": "interrupted", "detail": said})
        return 130


def _say(options: argparse.Namespace, problem: Json) -> None:
    """Why it came to nothing: to a program on standard output, to a person on the other one."""
    if options.json:
        print_json(problem)
    else:
        display.problem(Console(stderr=True), problem)


if __name__ == "__main__":
    raise SystemExit(main())
