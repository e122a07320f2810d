"""What only the panel's own machine can do: keep servers and users, help stuck changes, verify and
export the history, plan for a profile file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from easyapache.ea4.mpm import DEFAULT_MPM, MPM, Choice, installed
from easyapache.ea4.plan import make_plan
from easyapache.ea4.profile import Profile
from easyapache.ea4.profile_file import MOST_BYTES, BadProfile, parse
from easyapache.ea4.relations import Unsolvable, load_catalogue
from mpm.access.services.actor import BadRequest, NotFound
from mpm.access.services.users import add_user, reset_password, set_active, set_role
from mpm.access.services.whm import register_key, remove_key, set_may_change
from mpm.changes.services.lookup import change_numbered, check_server, server_named
from mpm.changes.services.outside import adopt
from mpm.changes.services.sweep import recover
from mpm.cli.commands import display, reading
from mpm.cli.commands.connection import address
from mpm.cli.commands.display import Terminal
from mpm.cli.commands.language import _, ngettext
from mpm.cli.commands.running import Run
from mpm.cli.commands.statuses import DONE, FAILED, BadUsage, Json
from mpm.cli.local.in_process import operator
from mpm.history.export import as_csv, as_json, events_as_json
from mpm.history.filters import BadFilter, ChangeFilters
from mpm.history.verification.database import verify_database
from mpm.history.verification.export import BadExport, verify_export
from mpm.models import WhmKey
from mpm.schemas.plan import Plan as PlanSchema
from mpm.servers.services.servers import add_server, alter_server

# -- plans --------------------------------------------------------------------------------------


def plan_for_profile(run: Run) -> int:
    """As a plan of a server; ``keep`` also lists packages not in the catalog."""
    options = run.options
    profile, unplanned = profile_in(Path(options.profile))
    itk = options.itk
    if itk is None:
        itk = installed(profile.names).itk and options.mpm == MPM.PREFORK.value
    choice = Choice.parse(options.mpm, itk=itk, add=options.add, keep=options.keep)
    plan = make_plan(profile, choice, load_catalogue())
    body = PlanSchema.of(plan, server=None, satisfied=plan.empty).as_json()
    reason = "not in the catalog of this panel"
    body["keep"] += [
        {"name": name, "evr": "", "arch": "", "reason": reason, "cause": ""} for name in unplanned
    ]
    status = reading.planned(run, body)
    if unplanned and not options.json:
        words = ngettext(
            "{count} more package of the profile isn't in this panel's catalog and stays.",
            "{count} more packages of the profile aren't in this panel's catalog and stay.",
            len(unplanned),
        )
        run.console.write_line(words.format(count=len(unplanned)), "dim")
    return status


def profile_in(path: Path) -> tuple[Profile, tuple[str, ...]]:
    """What a server provisioned with the profile in ``path`` would have installed, and the names
    it lists that the catalog does not. A profile that lists no MPM gets the default one.

    Raises BadRequest for a file that cannot be read, is too large, is no profile, or whose
    packages cannot be together.
    """
    catalogue = load_catalogue()
    try:
        with path.open("rb") as handle:
            raw = handle.read(MOST_BYTES + 1)
        wanted = parse(raw, catalogue.entries)
        known = [name for name in wanted.packages if name in catalogue]
        if not wanted.mpms:
            known += [DEFAULT_MPM.package, DEFAULT_MPM.cgi_package]
        found = catalogue.for_server(()).resolve(known).install
    except OSError as error:
        raise BadRequest(f"{path}: {error.strerror}", code="bad_profile") from error
    except BadProfile as error:
        raise BadRequest(f"{path}: {error}", code="bad_profile") from error
    except Unsolvable as error:
        detail = _("{path}: its packages conflict with each other: {reasons}").format(
            path=path, reasons="; ".join(error.reasons)
        )
        raise BadRequest(detail, code="bad_profile") from error
    unplanned = tuple(name for name in wanted.packages if name not in catalogue)
    return Profile(packages=tuple(sorted(found))), unplanned


# -- changes ------------------------------------------------------------------------------------


def run_recover(run: Run) -> int:
    change = change_numbered(run.options.change)
    recover(change, operator(), close=run.options.close)
    return _change(run, change.pk)


def run_accept(run: Run) -> int:
    change = change_numbered(run.options.change)
    adopt(change, operator())
    return _change(run, change.pk)


def _change(run: Run, number: int) -> int:
    run.answer(run.panel.get(address("changes", str(number))), display.ending)
    return DONE


# -- history ------------------------------------------------------------------------------------


def run_verify(run: Run) -> int:
    path = run.options.file
    try:
        verdict = verify_export(Path(path)) if path else verify_database()
    except BadExport as error:
        raise BadRequest(str(error), code="bad_export") from error

    def show(console: Terminal, _body: Json) -> None:
        for fault in verdict.faults:
            console.write_line(
                f"{fault.server_name or 'panel'}/{fault.seq}: {fault.message}", "red"
            )
        if path:
            # An attacker who rewrites the whole file can rewrite its end as well, but not the
            # panel's history: compare these with it.
            for name, (seq, sealed) in verdict.heads.items():
                console.write_line(f"{name or 'panel'} {seq} {sealed}", "dim")
        console.write_line(_verdict(verdict.events, verdict.chains), "bold")
        if not verdict.faults:
            console.write_line(_("Nothing was altered."), "green")
        elif verdict.complete:
            console.write_line(_("The history was altered."), "red")
        else:
            console.write_line(_("The export is incomplete."), "red")

    run.answer(verdict.as_json(), show)
    return FAILED if verdict.faults else DONE


def _verdict(events: int, chains: int) -> str:
    first = ngettext("{count} event", "{count} events", events).format(count=events)
    second = ngettext("{count} chain", "{count} chains", chains).format(count=chains)
    return f"{first}, {second}"


def export_changes(run: Run) -> int:
    options = run.options
    if options.json and options.format != "json":
        raise BadUsage(_("--json can't be combined with --format csv."))
    if options.server:
        check_server(options.server)
    values = {name: str(value or "") for name, value in reading.filters(run).items()}
    values["result"] = values.pop("state")
    values["itk"] = options.itk
    try:
        filters = ChangeFilters.parse(values)
    except BadFilter as error:
        raise BadRequest(f"--{error.name}: {error}", code="bad_filter") from error
    for piece in (as_csv if options.format == "csv" else as_json)(filters):
        run.console.raw(piece)
    return DONE


def export_events(run: Run) -> int:
    if run.options.server:
        check_server(run.options.server)
    for piece in events_as_json(run.options.server or None):
        run.console.raw(piece)
    return DONE


# -- servers and users --------------------------------------------------------------------------


def server_add(run: Run) -> int:
    options = run.options
    made = add_server(
        options.name,
        actor=operator(),
        hostname=options.hostname or "",
        kind=options.kind,
        require_digest=bool(options.require_digest),
        note=options.note or "",
    )
    status = _server(run, made.name)
    if not options.json:
        words = _("Start an agent for it: it reads the queue {queue}.")
        run.aside.write_line(words.format(queue=f"host.{made.name}"), "dim")
    return status


def server_update(run: Run) -> int:
    names = ("hostname", "note", "active", "require_digest")
    values = _given(run, names)
    alter_server(server_named(run.options.name), operator(), **values)
    return _server(run, run.options.name)


def server_whm(run: Run) -> int:
    options, server = run.options, server_named(run.options.name)
    if options.remove and (options.public_key or options.changes is not None):
        raise BadUsage(_("--remove can't be combined with other options."))
    if options.remove:
        remove_key(server, operator())
    if options.public_key:
        register_key(server, options.public_key, operator())
    if options.changes is not None:
        set_may_change(server, options.changes, operator())
    key = WhmKey.objects.filter(server=server).first()
    body: Json = {
        "server": server.name,
        "enabled": key is not None,
        "fingerprint": key.fingerprint if key else "",
        "may_change": key.may_change if key else False,
    }
    run.answer(body, _show_whm)
    return DONE


def _show_whm(console: Terminal, body: Json) -> None:
    console.write_line(body["server"], "bold")
    rights = _("change the server") if body["may_change"] else _("view only")
    facts: tuple[tuple[str, str], ...] = ((_("Sign-in from WHM"), _("Disabled")),)
    if body["enabled"]:
        facts = (
            (_("Sign-in from WHM"), _("Enabled")),
            (_("Key fingerprint"), body["fingerprint"]),
            (_("Permissions"), rights),
        )
    display.facts(console, facts)


def _given(run: Run, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(run.options, name) for name in names}
    found = {name: value for name, value in values.items() if value is not None}
    if not found:
        raise BadUsage(_("Name at least one option to update."))
    return found


def _server(run: Run, name: str) -> int:
    run.answer(run.panel.get(address("servers", name)), display.server)
    return DONE


def _user(name: str) -> User:
    found = User.objects.filter(username=name).first()
    if found is None:
        raise NotFound(_("There is no user {name!r}.").format(name=name[:80]), code="unknown_user")
    return found


def _user_json(user: User) -> Json:
    roles = [group.name for group in user.groups.all()]
    return {"name": user.username, "roles": roles, "active": user.is_active}


def _answer_user(run: Run, user: User, password: str = "") -> int:
    body = _user_json(user)
    if password:
        run.answer(
            {**body, "password": password}, lambda console, _body: console.write_line(password)
        )
        run.aside.write_line(_("It is shown this once only."), "dim")
    else:
        run.answer(body, lambda console, body: _show_users(console, {"items": [body]}))
    return DONE


def _show_users(console: Terminal, body: Json) -> None:
    display.table(
        console,
        body["items"],
        (_("User"), "name"),
        (_("Role"), lambda item: ", ".join(item["roles"])),
        (_("State"), lambda item: _("Enabled") if item["active"] else _("Disabled")),
    )


def user_list(run: Run) -> int:
    users = User.objects.order_by("username").prefetch_related("groups")
    run.answer({"items": [_user_json(user) for user in users]}, _show_users)
    return DONE


def user_add(run: Run) -> int:
    user, password = add_user(run.options.name, run.options.role, actor=operator())
    return _answer_user(run, user, password)


def user_update(run: Run) -> int:
    values = _given(run, ("role", "active"))
    user = _user(run.options.name)
    if "role" in values:
        set_role(user, values["role"], operator())
    if "active" in values:
        set_active(user, values["active"], operator())
    return _answer_user(run, user)


def user_reset_password(run: Run) -> int:
    user = _user(run.options.name)
    return _answer_user(run, user, reset_password(user, operator()))


PANEL_ONLY: Mapping[str, Callable[[Run], int]] = {
    "plan --profile": plan_for_profile,
    "recover": run_recover,
    "accept": run_accept,
    "verify": run_verify,
    "export changes": export_changes,
    "export events": export_events,
    "server add": server_add,
    "server update": server_update,
    "server whm": server_whm,
    "user list": user_list,
    "user add": user_add,
    "user update": user_update,
    "user reset-password": user_reset_password,
}
