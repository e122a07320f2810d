"""The arguments of every command: what both programs show, and completion and reference read."""

from __future__ import annotations

import argparse
import re
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable
from typing import Any

from mpm import VERSION
from mpm.cli.commands import changing, managing, reading
from mpm.cli.commands.completion import SHELLS, script
from mpm.cli.commands.language import _
from mpm.cli.commands.running import Run
from mpm.cli.commands.statuses import DONE

MPMS = ("event", "worker", "prefork")
STATES = (
    *("active", "scheduled", "queued", "running", "canceling"),
    *("succeeded", "restored", "not_started", "failed", "canceled"),
)
ORIGINS = ("web", "rest", "whmapi", "cli", "schedule", "outside")
SCOPES = ("read", "plan", "change", "rollback", "admin")
REPAIRS = (
    *("start-httpd", "restart-httpd", "settle-mpm"),
    *("reinstall-files", "accept-packages", "take-back"),
)
FORMATS = ("generic", "slack", "teams", "email")
ROLES = ("administrator", "support")
KINDS = ("real", "lab", "simulated")


class Once(argparse.Action):
    """Stores the value of an option that may be given once: of two, one would be ignored."""

    def __call__(
        self,
        _parser: ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> None:
        given = namespace.__dict__.setdefault("options_given", set())
        if self.dest in given:
            raise argparse.ArgumentError(self, _("give it once"))
        given.add(self.dest)
        setattr(namespace, self.dest, values)


class Parser(ArgumentParser):
    """The parser of a program, which says where options belong."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        name = words[0].partition("=")[0] if words else ""
        if re.match(r"-[^-]|--.", name) and name not in self._option_string_actions:
            self.error(_("write {option} after the command").format(option=name))
        return super().parse_known_args(words, namespace)


def whole_number(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(_("{text!r} isn't a whole number").format(text=text[:20]))
    return int(text)


def at_least_one(text: str) -> int:
    number = whole_number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(_("{text} is less than 1").format(text=text))
    return number


def seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}([.][0-9]{1,9})?", text):
        raise argparse.ArgumentTypeError(
            _("{text!r} isn't a number of seconds").format(text=text[:20])
        )
    return float(text)


def idempotency_key(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", text):
        raise argparse.ArgumentTypeError(_("a key has 1 to 255 ASCII characters and no spaces"))
    return text


def option(parser: Any, name: str, words: str, metavar: str = "", **more: Any) -> None:
    """Text, a number or a choice, with its help."""
    if metavar:
        more["metavar"] = metavar
    parser.add_argument(name, help=words, **{"action": Once, **more})


def flag(parser: Any, name: str, words: str) -> None:
    parser.add_argument(name, action="store_true", help=words)


def either(parser: Any, name: str, words: str) -> None:
    """``--name`` and ``--no-name``; None without one of them."""
    parser.add_argument(name, action=BooleanOptionalAction, help=words)


def many(parser: Any, name: str, words: str, metavar: str = "", **more: Any) -> None:
    """One that can be repeated."""
    option(parser, name, words, metavar, action="append", **{"default": [], **more})


class Definition:
    """Builds the parser of a program. ``remote``: it has the options that choose a panel."""

    def __init__(self, program: str, *, remote: bool) -> None:
        self.remote = remote
        self.mark = " *" if remote else ""
        self.parser = Parser(
            prog=program,
            description=_("Show, plan and change the MPM of EasyApache 4 servers."),
            epilog=_("* on the panel's machine only: manage.py mpm") if remote else None,
            allow_abbrev=False,
        )
        self.parser.add_argument("--version", action="version", version=f"{program} {VERSION}")
        self.commands: Any = self.parser.add_subparsers(
            dest="command",
            required=True,
            metavar=_("COMMAND"),
            parser_class=ArgumentParser,
        )
        self._looking()
        self._changing()
        self._history()
        self._servers_and_users()
        self._tokens()
        self._webhooks()
        shell = self.add("completion", completion, _("completion of ea4mpm for a shell"))
        shell.add_argument("shell", choices=SHELLS)

    def add(
        self, name: str, work: Callable[[Run], int] | None, words: str, group: Any = None
    ) -> ArgumentParser:
        """A command, or an action of a ``group``. One without ``work`` is for the panel's machine
        only."""
        about = words[0].upper() + words[1:] + "."
        made: ArgumentParser = (group or self.commands).add_parser(
            name, help=words if work else words + self.mark, description=about, allow_abbrev=False
        )
        flag(made, "--json", _("print one JSON value"))
        if self.remote:
            option(made, "--panel", _("a panel of the configuration file"), _("NAME"), default="")
            option(made, "--url", _("the URL of the panel"), default="")
        whole = made.prog.removeprefix(f"{self.parser.prog} ")
        made.set_defaults(work=work, panel_only="" if work else whole, panel_only_options=())
        return made

    def group(self, name: str, words: str) -> Any:
        made = self.commands.add_parser(name, help=words, allow_abbrev=False)
        return made.add_subparsers(dest="action", required=True, metavar=_("ACTION"))

    # -- what servers are -----------------------------------------------------------------------

    def _looking(self) -> None:
        of_a_server(self.add("status", reading.status, _("show which MPM a server runs")))
        of_a_server(self.add("profile", reading.profile, _("list the packages of a server")))
        doctor = self.add("doctor", reading.doctor, _("find known problems of a server"))
        of_a_server(doctor)
        option(doctor, "--repair", _("repair the server instead"), choices=REPAIRS)
        plan = self.add("plan", reading.plan, _("show what a change would do"))
        selection(plan)
        option(
            *(plan, "--source"),
            _("stored: an estimate; server: the plan of the server's dnf"),
            choices=("stored", "server"),
            default="stored",
        )
        words = _("plan for an EasyApache 4 profile file instead of a server")
        option(plan, "--profile", words + self.mark, _("FILE"))
        plan.set_defaults(panel_only_options=("profile",))

    # -- what changes them ----------------------------------------------------------------------

    def _changing(self) -> None:
        switch = self.add("switch", changing.switch, _("change the MPM of a server"))
        selection(switch)
        confirmed = switch.add_mutually_exclusive_group()
        flag(confirmed, "--yes", _("don't ask for confirmation"))
        option(confirmed, "--digest", _("confirm only the plan with this digest"))
        flag(confirmed, "--dry-run", _("check everything, change nothing"))
        flag(switch, "--stored", _("confirm the estimate, without asking the server's dnf first"))
        words = _("start after this time, as 2026-03-03T21:00:00Z")
        option(switch, "--not-before", words, _("TIME"))
        option(switch, "--not-after", _("don't start after this time"), _("TIME"))
        switch.set_defaults(key=None)
        if self.remote:
            words = _("Idempotency-Key, to repeat a request safely")
            option(switch, "--key", words, _("KEY"), type=idempotency_key)
        reasons(switch)
        back = self.add("rollback", changing.rollback, _("roll back a change"))
        of_a_change(back)
        reasons(back)
        of_a_change(self.add("cancel", changing.cancel, _("cancel a change")))
        stuck = self.add("recover", None, _("help a change that is stuck"))
        of_a_change(stuck)
        flag(stuck, "--close", _("close it manually: its agent is offline"))
        of_a_change(self.add("accept", None, _("accept an external change")))

    # -- what happened --------------------------------------------------------------------------

    def _history(self) -> None:
        of_a_change(self.add("show", reading.show, _("show a change")))
        log = self.add("log", reading.log, _("print the log of a change"))
        of_a_change(log)
        log.add_argument(
            *("-f", "--follow"), action="store_true", help=_("until the change has finished")
        )
        history = self.add("history", reading.history, _("list changes, newest first"))
        filters(history)
        limit(history, 20)
        option(history, "--cursor", _("“next” of the last answer"), _("CURSOR"), default="")
        events = self.add("events", reading.events, _("list events, oldest first"))
        of_a_server(events, _("only of this server"))
        many(events, "--kind", _("only this kind; can be repeated"))
        option(events, "--cursor", _("“next” of the last answer"), _("CURSOR"), default="0")
        limit(events, 100)
        words = _("how long to wait for the next event")
        option(events, "--wait", words, _("SECONDS"), type=seconds, default=0.0)
        verify = self.add("verify", None, _("verify that the history was not altered"))
        option(verify, "--file", _("verify this export instead of the database"), _("FILE"))
        export = self.group("export", _("export the history") + self.mark)
        changes = self.add("changes", None, _("changes"), export)
        filters(changes)
        changes.add_argument("--format", choices=("csv", "json"), default="json")
        words = _("the audit log, which verify --file can verify")
        of_a_server(self.add("events", None, words, export), _("only of this server"))

    # -- what the panel keeps -------------------------------------------------------------------

    def _servers_and_users(self) -> None:
        server = self.group("server", _("list, show, add and update servers"))
        self.add("list", reading.servers, _("list servers"), server)
        named(self.add("show", reading.server, _("show a server"), server))
        add = self.add("add", None, _("add a server"), server)
        update = self.add("update", None, _("update a server"), server)
        for made in (add, update):
            named(made)
            option(made, "--hostname", _("the host name of the server"), _("NAME"))
            option(made, "--note", _("shown with the server"))
            either(made, "--require-digest", _("changes must name the digest of their plan"))
        add.add_argument("--kind", choices=KINDS, default=KINDS[0])
        either(update, "--active", _("enable or disable the server"))
        whm = self.add("whm", None, _("permit sign-in from the WHM of a server"), server)
        named(whm)
        option(
            whm, "--public-key", _("register this public key (ea4-mpm whm key prints it)"), _("KEY")
        )
        either(whm, "--changes", _("WHM users with all privileges may change the server"))
        flag(whm, "--remove", _("accept no more sign-ins"))

        user = self.group("user", _("list, add and update users") + self.mark)
        self.add("list", None, _("list users"), user)
        add = self.add("add", None, _("add a user; the password is shown once"), user)
        update = self.add("update", None, _("update a user"), user)
        words = _("reset a password; the new one is shown once")
        for made in (add, update, self.add("reset-password", None, words, user)):
            named(made)
        add.add_argument("--role", choices=ROLES, required=True)
        update.add_argument("--role", choices=ROLES)
        either(update, "--active", _("enable or disable the user"))

    def _tokens(self) -> None:
        words = _("list, show, create, update, rotate and revoke API tokens")
        token = self.group("token", words)
        self.add("list", managing.tokens, _("list tokens"), token)
        one = self.add("show", managing.token, _("show a token"), token)
        words = _("default: the token in use")
        if self.remote:
            one.add_argument("id", metavar=_("KEY"), nargs="?", help=words)
        else:
            one.add_argument("id", metavar=_("KEY"), help=_("the key id of the token"))
        words = _("create a token; it is shown once")
        made = self.add("create", managing.create_token, words, token)
        named(made)
        option(made, "--purpose", _("what it is for"), default="")
        words = _("a permission; can be repeated")
        many(made, "--scope", words, default=None, required=True, choices=SCOPES)
        words = _("only for this server; can be repeated (default: all)")
        many(made, "--server", words, _("NAME"), dest="servers")
        words = _("only from this network; can be repeated (default: anywhere)")
        many(made, "--network", words)
        until = made.add_mutually_exclusive_group()
        option(until, "--days", _("days until it expires"), _("COUNT"), type=at_least_one)
        words = _("expires at this time, as 2027-01-01T00:00:00Z")
        option(until, "--expires", words, _("TIME"))
        option(made, "--per-minute", _("requests per minute"), _("COUNT"), type=at_least_one)
        flag(made, "--sandbox", _("simulated servers only"))
        removals = _("WHM API: install= also removes the packages that can't stay with it")
        flag(made, "--implied-removals", removals)
        turn = self.add("update", managing.update_token, _("update a token"), token)
        turn.add_argument("id", metavar=_("KEY"), help=_("the key id of the token"))
        option(turn, "--name", _("the new name"), _("NAME"))
        option(turn, "--purpose", _("what it is for"))
        either(turn, "--implied-removals", removals)
        words = _("replace a token; it is shown once")
        turn = self.add("rotate", managing.rotate_token, words, token)
        turn.add_argument("id", metavar=_("KEY"), help=_("the key id of the token"))
        words = _("when the old token expires")
        option(turn, "--overlap-hours", words, _("HOURS"), type=whole_number, default=24)
        end = self.add("revoke", managing.revoke_token, _("revoke a token"), token)
        end.add_argument("id", metavar=_("KEY"), help=_("the key id of the token"))

    def _webhooks(self) -> None:
        webhook = self.group("webhook", _("list, show, create, update, test and delete webhooks"))
        self.add("list", managing.webhooks, _("list webhooks"), webhook)
        made = self.add("create", managing.create_webhook, _("create a webhook"), webhook)
        named(made)
        made.add_argument("endpoint", metavar="URL", help=_("the endpoint URL"))
        formatted(made)
        subscription(made, [])
        actions: dict[str, ArgumentParser] = {}
        for name, work, words in (
            ("show", managing.webhook, _("show a webhook")),
            ("update", managing.update_webhook, _("update a webhook")),
            ("rotate", managing.rotate_webhook, _("replace the secret; it is shown once")),
            ("test", managing.test_webhook, _("send a test")),
            ("delete", managing.delete_webhook, _("delete a webhook and its deliveries")),
            ("deliveries", managing.deliveries, _("list deliveries, newest first")),
            ("redeliver", managing.redeliver, _("send a delivery again")),
        ):
            actions[name] = self.add(name, work, words, webhook)
            actions[name].add_argument("webhook", metavar=_("WEBHOOK"), help=_("its id"))
        option(actions["update"], "--name", _("the new name"), _("NAME"))
        option(actions["update"], "--endpoint", _("the endpoint URL"), "URL")
        formatted(actions["update"])
        subscription(actions["update"], None)
        either(actions["update"], "--active", _("enable or disable the webhook"))
        limit(actions["deliveries"], 20)
        actions["redeliver"].add_argument("delivery", metavar=_("DELIVERY"), help=_("its id"))


def of_a_server(parser: ArgumentParser, words: str = "") -> None:
    """Give a command ``--server``. Only commands that use it have it: an ignored option would look
    like a restriction to that server."""
    words = words or _("required where there are several")
    option(parser, "--server", words, _("NAME"), default="")


def of_a_change(parser: ArgumentParser) -> None:
    words = _("its number or its id")
    parser.add_argument("change", metavar=_("CHANGE"), help=words)


def named(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar=_("NAME"), help=_("its name"))


def limit(parser: ArgumentParser, default: int) -> None:
    words = _("the maximum number")
    option(parser, "--limit", words, _("COUNT"), type=at_least_one, default=default)


def selection(parser: ArgumentParser) -> None:
    of_a_server(parser)
    parser.add_argument("mpm", choices=MPMS)
    either(parser, "--itk", _("with or without MPM ITK (prefork only; default: as it is now)"))
    many(parser, "--add", _("an extra package to install; can be repeated"), _("PACKAGE"))
    words = _("a package that must not be removed; can be repeated")
    many(parser, "--keep", words, _("PACKAGE"))


def reasons(parser: ArgumentParser) -> None:
    option(parser, "--reason", _("shown in the change history"), _("TEXT"), default="")
    option(parser, "--ticket", _("shown in the change history"), _("TICKET"), default="")
    flag(parser, "--wait", _("wait until it has finished"))
    words = _("with --wait: stop waiting after this time; the change continues")
    option(parser, "--timeout", words, _("SECONDS"), type=seconds)


def formatted(parser: ArgumentParser) -> None:
    words = _("the format of deliveries; for email, URL is mailto:ADDRESS")
    option(parser, "--format", words, choices=FORMATS)


def subscription(parser: ArgumentParser, default: list[str] | None) -> None:
    words = _("only this kind of event; can be repeated (default: all)")
    many(parser, "--kind", words, default=default)
    words = _("only of this server; can be repeated (default: all)")
    many(parser, "--server", words, _("NAME"), dest="servers", default=default)


def filters(parser: ArgumentParser) -> None:
    """Those of the history."""
    of_a_server(parser, _("only of this server"))
    option(parser, "--state", _("only in this state"), choices=STATES, default="")
    option(parser, "--origin", _("only from this source"), choices=ORIGINS, default="")
    parser.add_argument("--from", dest="mpm_from", choices=MPMS, default="")
    parser.add_argument("--to", dest="mpm_to", choices=MPMS, default="")
    parser.add_argument("--itk", choices=("yes", "no"), default="")
    for name, metavar, words in (
        ("--user", _("NAME"), _("only requested by this user")),
        ("--ticket", _("TICKET"), _("only with this ticket")),
        ("--text", _("TEXT"), _("in reason, ticket, packages or error")),
        ("--since", _("TIME"), _("requested since this day or time")),
        ("--until", _("TIME"), _("requested until this day, or before this time")),
    ):
        option(parser, name, words, metavar, default="")


def parser_of(program: str, *, remote: bool) -> ArgumentParser:
    return Definition(program, remote=remote).parser


def completion(run: Run) -> int:
    run.console.raw(script(run.options.shell, parser_of("ea4mpm", remote=True)))
    return DONE
