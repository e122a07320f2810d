"""The arguments of every command: what both programs show, and completion and reference read."""

from __future__ import annotations

import argparse
import re
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
ROLES = ("administrator", "support")
KINDS = ("real", "lab", "simulated")


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(_("{text} is less than 1").format(text=text))
    return number


def idempotency_key(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", text):
        raise argparse.ArgumentTypeError(_("a key has 1 to 255 ASCII characters and no spaces"))
    return text


class Definition:
    """Builds the parser of a program. ``remote``: it has the options that choose a panel."""

    def __init__(self, program: str, *, remote: bool) -> None:
        self.remote = remote
        self.parser = argparse.ArgumentParser(
            prog=program,
            description=_("Show, plan and change the MPM of EasyApache 4 servers."),
            epilog=None if not remote else _("* on the panel's machine only: manage.py mpm"),
            allow_abbrev=False,
        )
        self.parser.add_argument("--version", action="version", version=f"{program} {VERSION}")
        self.commands: Any = self.parser.add_subparsers(
            dest="command", required=True, metavar=_("COMMAND")
        )
        self._looking()
        self._changing()
        self._history()
        self._keeping()
        shell = self.add("completion", completion, _("completion of ea4mpm for a shell"))
        shell.add_argument("shell", choices=SHELLS)

    def add(
        self,
        name: str,
        work: Callable[[Run], int] | None,
        words: str,
        *,
        under: Any = None,
        panel_only: str = "",
    ) -> argparse.ArgumentParser:
        """A command, or an action ``under`` one. Without ``work`` it is for the panel's machine
        only, under the name ``panel_only``."""
        mark = " *" if work is None and self.remote else ""
        made: argparse.ArgumentParser = (under or self.commands).add_parser(
            name, help=words + mark, description=words[0].upper() + words[1:] + ".",
            allow_abbrev=False,
        )  # fmt: skip
        made.add_argument("--json", action="store_true", help=_("print one JSON value"))
        if self.remote:
            made.add_argument(
                *("--panel", "-p"), default="", metavar=_("NAME"),
                help=_("a panel of the configuration file"),
            )  # fmt: skip
            made.add_argument("--url", default="", help=_("the URL of the panel"))
        made.set_defaults(work=work, panel_only=panel_only, panel_only_options=())
        return made

    def group(self, name: str, words: str) -> Any:
        made = self.commands.add_parser(name, help=words, allow_abbrev=False)
        return made.add_subparsers(dest="action", required=True, metavar=_("ACTION"))

    # -- what servers are -----------------------------------------------------------------------

    def _looking(self) -> None:
        status = self.add("status", reading.status, _("show which MPM a server runs"))
        of_a_server(status)
        profile = self.add("profile", reading.profile, _("list the packages of a server"))
        of_a_server(profile)
        doctor = self.add("doctor", reading.doctor, _("find known problems of a server"))
        of_a_server(doctor)
        doctor.add_argument("--repair", choices=REPAIRS, help=_("repair the server instead"))
        plan = self.add("plan", reading.plan, _("show what a change would do"))
        of_a_server(plan)
        self._selection(plan)
        plan.add_argument(
            "--source",
            choices=("stored", "server"),
            default="stored",
            help=_("an estimate at once (stored), or the plan of the server's dnf (server)"),
        )
        plan.add_argument(
            "--profile",
            metavar=_("FILE"),
            help=_("plan for an EasyApache 4 profile file instead of a server")
            + (" *" if self.remote else ""),
        )
        plan.set_defaults(panel_only_options=("profile",))

    def _selection(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("mpm", choices=MPMS)
        parser.add_argument(
            "--itk",
            action=argparse.BooleanOptionalAction,
            help=_("with or without MPM ITK (prefork only; default: as it is now)"),
        )
        for name, words in (
            ("--add", _("an extra package to install; can be repeated")),
            ("--keep", _("a package that must not be removed; can be repeated")),
        ):
            parser.add_argument(name, action="append", default=[], metavar=_("PACKAGE"), help=words)

    # -- what changes them ----------------------------------------------------------------------

    def _changing(self) -> None:
        switch = self.add("switch", changing.switch, _("change the MPM of a server"))
        of_a_server(switch)
        self._selection(switch)
        confirmed = switch.add_mutually_exclusive_group()
        confirmed.add_argument("--yes", action="store_true", help=_("don't ask for confirmation"))
        confirmed.add_argument("--digest", help=_("confirm only the plan with this digest"))
        confirmed.add_argument(
            "--dry-run", action="store_true", help=_("check everything, change nothing")
        )
        switch.add_argument(
            "--stored",
            action="store_true",
            help=_("confirm the estimate, without asking the server's dnf first"),
        )
        for name, words in (
            ("--not-before", _("start after this time, as 2026-03-03T21:00:00Z")),
            ("--not-after", _("don't start after this time")),
        ):
            switch.add_argument(name, metavar=_("TIME"), help=words)
        if self.remote:
            switch.add_argument(
                "--key",
                type=idempotency_key,
                metavar=_("KEY"),
                help=_("Idempotency-Key, to repeat a request safely"),
            )
        else:
            switch.set_defaults(key="")
        self._reasons(switch)
        back = self.add("rollback", changing.rollback, _("roll back a change"))
        back.add_argument("change", metavar=_("CHANGE"))
        self._reasons(back)
        stop = self.add("cancel", changing.cancel, _("cancel a change"))
        stop.add_argument("change", metavar=_("CHANGE"))
        stuck = self.add("recover", None, _("help a change that is stuck"), panel_only="recover")
        stuck.add_argument("change", metavar=_("CHANGE"))
        stuck.add_argument(
            "--close", action="store_true", help=_("close it manually: its agent is offline")
        )
        accept = self.add("accept", None, _("accept an external change"), panel_only="accept")
        accept.add_argument("change", metavar=_("CHANGE"))

    def _reasons(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--reason", default="", help=_("shown in the change history"))
        parser.add_argument("--ticket", default="", help=_("shown in the change history"))
        parser.add_argument("--wait", action="store_true", help=_("wait until it has finished"))
        parser.add_argument(
            "--timeout",
            type=float,
            metavar=_("SECONDS"),
            help=_("with --wait: stop waiting after this time; the change continues"),
        )

    # -- what happened --------------------------------------------------------------------------

    def _history(self) -> None:
        show = self.add("show", reading.show, _("show a change"))
        show.add_argument("change", metavar=_("CHANGE"))
        log = self.add("log", reading.log, _("print the log of a change"))
        log.add_argument("change", metavar=_("CHANGE"))
        log.add_argument(
            *("-f", "--follow"), action="store_true", help=_("until the change has finished")
        )
        history = self.add("history", reading.history, _("list changes, newest first"))
        filters(history)
        pages(history, 20)
        events = self.add("events", reading.events, _("list events, oldest first"))
        of_a_server(events, _("only of this server"))
        events.add_argument(
            "--kind", action="append", default=[], help=_("only this kind; can be repeated")
        )
        events.add_argument(
            "--after", default="0", metavar=_("POSITION"), help=_("“next” of the last answer")
        )
        events.add_argument("--limit", type=at_least_one, default=100, help=_("at most so many"))
        events.add_argument(
            "--wait",
            type=float,
            default=0.0,
            metavar=_("SECONDS"),
            help=_("wait so long for the next event"),
        )
        verify = self.add(
            "verify", None, _("verify that the history was not altered"), panel_only="verify"
        )
        verify.add_argument(
            "--file", metavar=_("FILE"), help=_("verify this export instead of the database")
        )
        export = self.group("export", _("export the history") + (" *" if self.remote else ""))
        changes = self.add("changes", None, _("changes"), under=export, panel_only="export changes")
        filters(changes)
        changes.add_argument("--format", choices=("csv", "json"), default="json")
        sealed = self.add(
            "events",
            None,
            _("the audit log, which verify --file can verify"),
            under=export,
            panel_only="export events",
        )
        of_a_server(sealed, _("only of this server"))

    # -- what the panel keeps -------------------------------------------------------------------

    def _keeping(self) -> None:
        server = self.group("server", _("list, show, add and update servers"))
        self.add("list", reading.servers, _("list servers"), under=server)
        one = self.add("show", reading.server, _("show a server"), under=server)
        one.add_argument("name", metavar=_("NAME"))
        for name, words in (("add", _("add a server")), ("update", _("update a server"))):
            made = self.add(name, None, words, under=server, panel_only=f"server {name}")
            made.add_argument("name", metavar=_("NAME"))
            made.add_argument("--hostname")
            made.add_argument("--note", help=_("shown with the server"))
            made.add_argument(
                "--require-digest",
                action=argparse.BooleanOptionalAction,
                help=_("changes must name the digest of their plan"),
            )
            if name == "add":
                made.add_argument("--kind", choices=KINDS, default=KINDS[0])
            else:
                made.add_argument(
                    "--active",
                    action=argparse.BooleanOptionalAction,
                    help=_("enable or disable the server"),
                )
        self._users()
        self._tokens()
        self._webhooks()

    def _users(self) -> None:
        user = self.group("user", _("list, add and update users") + (" *" if self.remote else ""))
        self.add("list", None, _("list users"), under=user, panel_only="user list")
        for name, words in (
            ("add", _("add a user; the password is shown once")),
            ("update", _("update a user")),
            ("reset-password", _("reset a password; the new one is shown once")),
        ):
            made = self.add(name, None, words, under=user, panel_only=f"user {name}")
            made.add_argument("name", metavar=_("NAME"))
            if name != "reset-password":
                made.add_argument("--role", choices=ROLES, required=name == "add")
            if name == "update":
                made.add_argument(
                    "--active",
                    action=argparse.BooleanOptionalAction,
                    help=_("enable or disable the user"),
                )

    def _tokens(self) -> None:
        token = self.group("token", _("list, show, create, rotate and revoke API tokens"))
        self.add("list", managing.tokens, _("list tokens"), under=token)
        one = self.add("show", managing.token, _("show a token"), under=token)
        one.add_argument(
            "key_id", metavar=_("KEY"), nargs="?" if self.remote else None,
            help=_("default: the token in use") if self.remote else None,
        )  # fmt: skip
        made = self.add(
            "create", managing.create_token, _("create a token; it is shown once"), under=token
        )
        made.add_argument("name", metavar=_("NAME"))
        made.add_argument("--purpose", default="", help=_("what it is for"))
        made.add_argument(
            "--scope",
            action="append",
            required=True,
            choices=SCOPES,
            help=_("a permission; can be repeated"),
        )
        for_servers(made, _("only for this server; can be repeated (default: all)"), default=[])
        made.add_argument(
            "--network",
            action="append",
            default=[],
            help=_("only from this network; can be repeated (default: anywhere)"),
        )
        until = made.add_mutually_exclusive_group()
        until.add_argument("--days", type=at_least_one, help=_("expires after so many days"))
        until.add_argument(
            "--expires", metavar=_("TIME"), help=_("expires at this time, as 2027-01-01T00:00:00Z")
        )
        made.add_argument(
            "--per-minute", type=at_least_one, metavar=_("COUNT"), help=_("requests per minute")
        )
        made.add_argument("--sandbox", action="store_true", help=_("simulated servers only"))
        turn = self.add(
            "rotate", managing.rotate_token, _("replace a token; it is shown once"), under=token
        )
        turn.add_argument("key_id", metavar=_("KEY"))
        turn.add_argument(
            "--overlap-hours",
            type=int,
            default=24,
            metavar=_("HOURS"),
            help=_("when the old token expires"),
        )
        end = self.add("revoke", managing.revoke_token, _("revoke a token"), under=token)
        end.add_argument("key_id", metavar=_("KEY"))

    def _webhooks(self) -> None:
        webhook = self.group("webhook", _("list, show, create, update, test and delete webhooks"))
        self.add("list", managing.webhooks, _("list webhooks"), under=webhook)
        made = self.add("create", managing.create_webhook, _("create a webhook"), under=webhook)
        made.add_argument("name", metavar=_("NAME"))
        made.add_argument("endpoint", metavar="URL")
        self._subscription(made, [])
        for name, work, words in (
            ("show", managing.webhook, _("show a webhook")),
            ("update", managing.update_webhook, _("update a webhook")),
            ("rotate", managing.rotate_webhook, _("replace the secret; it is shown once")),
            ("test", managing.test_webhook, _("send a test")),
            ("delete", managing.delete_webhook, _("delete a webhook and its deliveries")),
            ("deliveries", managing.deliveries, _("list deliveries, newest first")),
            ("redeliver", managing.redeliver, _("send a delivery again")),
        ):
            one = self.add(name, work, words, under=webhook)
            one.add_argument("webhook", metavar=_("WEBHOOK"))
            if name == "update":
                one.add_argument("--name")
                one.add_argument("--endpoint", metavar="URL", help=_("the endpoint URL"))
                self._subscription(one, None)
                one.add_argument(
                    "--active",
                    action=argparse.BooleanOptionalAction,
                    help=_("enable or disable the webhook"),
                )
            if name == "redeliver":
                one.add_argument("delivery", metavar=_("DELIVERY"))
            if name == "deliveries":
                one.add_argument("--limit", type=at_least_one, default=20)

    def _subscription(self, parser: argparse.ArgumentParser, default: list[str] | None) -> None:
        parser.add_argument(
            "--kind",
            action="append",
            default=default,
            help=_("only this kind of event; can be repeated (default: all)"),
        )
        for_servers(parser, _("only of this server; can be repeated (default: all)"), default)


def of_a_server(parser: argparse.ArgumentParser, words: str = "") -> None:
    """Give a command ``--server``. Only those that use it have it: where a server limits what is
    made, an option that nobody reads would be taken for that limit."""
    words = words or _("required where there are several")
    parser.add_argument("--server", metavar=_("NAME"), default="", help=words)


def for_servers(parser: argparse.ArgumentParser, words: str, default: list[str] | None) -> None:
    parser.add_argument(
        "--server",
        action="append",
        default=default,
        dest="servers",
        metavar=_("NAME"),
        help=words,
    )


def filters(parser: argparse.ArgumentParser) -> None:
    """Those of the history. Their names are REST's, except where a shell has a better one."""
    of_a_server(parser, _("only of this server"))
    parser.add_argument("--state", choices=STATES, default="", help=_("only in this state"))
    parser.add_argument("--origin", choices=ORIGINS, default="", help=_("only from this source"))
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
        parser.add_argument(name, metavar=metavar, default="", help=words)


def pages(parser: argparse.ArgumentParser, limit: int) -> None:
    parser.add_argument("--limit", type=at_least_one, default=limit, help=_("at most so many"))
    parser.add_argument(
        "--cursor", default="", metavar=_("CURSOR"), help=_("“next” of the last answer")
    )


def parser_of(program: str, *, remote: bool) -> argparse.ArgumentParser:
    return Definition(program, remote=remote).parser


def completion(run: Run) -> int:
    run.console.raw(script(run.options.shell, parser_of("ea4mpm", remote=True)))
    return DONE
