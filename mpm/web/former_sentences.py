"""Sentences stored by earlier versions, with their current wording.

Sealed data is never altered. Pages show it with the current wording and in the reader's language:
the catalog has current sentences only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from easyapache.ea4.sentences import Sentence, counted, joined

Values = Mapping[str, str | int]

_PAIRS: tuple[tuple[str, str], ...] = (
    (
        (
            "The packages are being changed. Stopping halfway would break the server, so the "
            "change is finished, or undone if it fails; it can be rolled back afterwards."
        ),
        "Too late to cancel: packages are being changed. You can roll back when it finishes.",
    ),
    (
        "The change was over before it could be stopped.",
        "The change finished before it could be canceled.",
    ),
    (
        "Nothing was touched.",
        "Nothing was changed.",
    ),
    (
        "Nothing was touched: {error}.",
        "Nothing was changed. The request can't be read: {error}.",
    ),
    (
        (
            "ATTENTION: this change had begun to alter the packages, and its request can no "
            "longer be read ({error}). As root, run: sh {undo}, then: mpm doctor."
        ),
        (
            "The change was interrupted while packages were being changed, and its request can no "
            "longer be read ({error}). Apache may be down. As root, run: sh {undo}. Then open "
            "Diagnostics."
        ),
    ),
    (
        "Another change is at work on this server.",
        "Another change is running on this server.",
    ),
    (
        "Stopped before anything was touched. The server is as it was.",
        "Canceled before anything was changed.",
    ),
    (
        "the packages on the server have changed meanwhile",
        "packages on the server changed in the meantime",
    ),
    (
        (
            "The packages on the server have changed since this was confirmed, so its package "
            "manager would now do something else. Look at the new difference and confirm again."
        ),
        (
            "Packages on this server changed after this plan was made. Refresh the plan, then "
            "confirm again."
        ),
    ),
    (
        "Its window passed before it could begin. Nothing was touched.",
        "The maintenance window passed before the change could start. Nothing was changed.",
    ),
    (
        "There is nothing to do.",
        "No changes needed.",
    ),
    (
        "Nothing had to be done: the server already runs {mpm}.",
        "No changes needed: the server already runs {mpm}.",
    ),
    (
        "No package has to move.",
        "No packages to install or remove.",
    ),
    (
        "The change was undone and the server is as it was. Reason: {cause}",
        "The change was undone, and the previous state was restored. Reason: {cause}",
    ),
    (
        "{wrong}; and httpd could not be started: {error}",
        "{wrong}; and Apache could not be started: {error}",
    ),
    (
        (
            "ATTENTION: this server is neither on {mpm} nor proved to be as it was. {wrong} As "
            "root, run: sh {undo} (the old packages are in {kit}), then: mpm doctor."
        ),
        (
            "The change to {mpm} failed and could not be fully undone. Apache may be down. "
            "{wrong} Open Diagnostics and choose “Undo the incomplete change”. Without the panel, "
            "run as root: sh {undo} (restore point: {kit})"
        ),
    ),
    (
        "This server needs a person",
        "Incomplete change",
    ),
    (
        "Nothing was touched. {why}",
        "Nothing was changed. {why}",
    ),
    (
        "httpd had ended and was started again",
        "Apache had stopped and was started again",
    ),
    (
        "files of the packages",
        "package files",
    ),
    (
        "rollback kit",
        "restore point",
    ),
    (
        "Read what the package manager said.",
        "Read its output in the log.",
    ),
    (
        "not there: {names}",
        "not installed: {names}",
    ),
    (
        "still there: {names}",
        "not removed: {names}",
    ),
    (
        "files of {package} are missing",
        "missing files of {package}",
    ),
    (
        "as asked",
        "as planned",
    ),
    (
        "No visitor was refused while it was measured (with gaps); the longest wait was {wait} ms.",
        "No connections were refused while measuring (with gaps). Longest wait: {wait} ms.",
    ),
    (
        "No visitor was refused; the longest wait was {wait} ms.",
        "No connections were refused. Longest wait: {wait} ms.",
    ),
    (
        "The server has moved.",
        "The server changed.",
    ),
    (
        "Given up: somebody asked to stop.",
        "Canceled.",
    ),
    (
        "the panel's own fault: {kind}: {error}",
        "internal error: {kind}: {error}",
    ),
    (
        "What the server was before this change is no longer known.",
        "The state of the server before this change can't be read.",
    ),
    (
        "Look at the server and run the doctor.",
        "Check the server in Diagnostics.",
    ),
    (
        (
            "This change is said to take another one back, and the agent does not remember this "
            "server with the packages it leads to. Nothing was touched."
        ),
        (
            "This change claims to roll back another one, but the agent has no record of this "
            "server with the packages it would restore. Nothing was changed."
        ),
    ),
    (
        "Use the package manager of the server for it.",
        "Use the server's package manager instead.",
    ),
    (
        "From the rollback kits; no repository is needed.",
        "Packages taken from restore points. No repository needed.",
    ),
    (
        "All packages are here, and those that leave are kept.",
        "Packages downloaded. Old packages saved for rollback.",
    ),
    (
        "The new modules started with the present configuration.",
        "Apache started with the new modules and your configuration.",
    ),
    (
        "The packages are not as asked: {said}.",
        "The installed packages don't match the plan: {difference}.",
    ),
    (
        "httpd accepts its configuration.",
        "Apache accepts its configuration.",
    ),
    (
        "{title}: expected {expected}, saw {seen}",
        "{title}: expected {expected}, got {seen}",
    ),
    (
        "The rollback kit is gone.",
        "The restore point is missing.",
    ),
    (
        "Install the packages by hand.",
        "Install the packages with the server's package manager.",
    ),
    (
        "The packages are not as they were: {said}.",
        "The packages could not be fully restored: {difference}.",
    ),
    (
        "The packages are as they were.",
        "The previous packages are installed again.",
    ),
    (
        "httpd was never restarted and still runs {mpm}.",
        "Apache was not restarted and still runs {mpm}.",
    ),
    (
        "{why} It was not started.",
        "{why} Apache was not started.",
    ),
    (
        "httpd did not start.",
        "Apache didn't start.",
    ),
    (
        "Read what httpd said; its error log has the last word.",
        "See Apache's output and its error log.",
    ),
    (
        "The rehearsal itself failed.",
        "The trial start could not be run.",
    ),
    (
        "httpd would not start with {mpm}: {why}",
        "Apache would not start with {mpm}: {why}",
    ),
    (
        "httpd started with {mpm} and does not answer: {why}",
        "Apache started with {mpm} but doesn't answer: {why}",
    ),
    (
        "Nothing was changed. Mend what httpd says, then try again.",
        "Nothing was changed. Fix the error, then try again.",
    ),
    (
        "httpd started as {seen}, not as {wanted}.",
        "Apache started with {seen} instead of {wanted}.",
    ),
    (
        "it ended without a word",
        "it exited without a message",
    ),
    (
        "There is no restart method {name!r}.",
        "Unknown restart method {name!r}.",
    ),
    (
        "Choose one of auto, {names}.",
        "Choose one of: auto, {names}.",
    ),
    (
        "Name it as restart_script in the agent's configuration, or choose auto.",
        "Set restart_script in the agent's configuration, or choose auto.",
    ),
    (
        "told to use {script}",
        "restarts with {script}",
    ),
    (
        "told to stop gracefully and start at once",
        "stop and start was requested",
    ),
    (
        "told to overlap",
        "requested",
    ),
    (
        "this kernel and these rights allow it",
        "supported by this kernel and the agent's permissions",
    ),
    (
        "old and new httpd share the ports: {why}",
        "the old and new Apache share the ports ({why})",
    ),
    (
        "Old and new httpd cannot overlap: {why}.",
        "The old and new Apache can't overlap: {why}.",
    ),
    (
        "Choose auto.",
        "Choose the restart method auto.",
    ),
    (
        "old and new httpd cannot overlap: {why}",
        "the old and new Apache can't overlap: {why}",
    ),
    (
        "The ports cannot be shared: {error}.",
        "Apache's ports can't be shared: {error}.",
    ),
    (
        "Read what it said.",
        "See its output.",
    ),
    (
        "{program} ended, but no new httpd serves.",
        "{program} finished, but no new Apache is serving.",
    ),
    (
        "not asked: the other sites took too long",
        "not checked: the other sites took too long",
    ),
    (
        "process {pid} listens nowhere",
        "process {pid} has no listening socket",
    ),
    (
        "kernel {release} has no pidfd_getfd (it came with 5.6)",
        "kernel {release} has no pidfd_getfd (added in 5.6)",
    ),
    (
        "{name} is not there",
        "{name} is not installed",
    ),
    (
        "{name} is still there",
        "{name} is still installed",
    ),
    (
        "all there",
        "complete",
    ),
    (
        "Files of the packages",
        "Package files",
    ),
    (
        "is not this httpd's",
        "belongs to another process",
    ),
    (
        "Settings of the service",
        "Service settings",
    ),
    (
        "active, and no httpd runs",
        "active, but httpd isn't running",
    ),
    (
        "Another package manager is at work.",
        "The package manager is busy",
    ),
    (
        "Wait until it has finished, then try again.",
        (
            "Wait until it finishes, then try again. If it hangs, find out what it waits "
            "for; don't kill it."
        ),
    ),
    (
        "Free some space, then try again.",
        "Free some space (dnf clean packages, old logs), then try again.",
    ),
    (
        (
            "Do not install it. Compare the repository's gpgkey with its publisher's, then: dnf "
            "clean all"
        ),
        (
            "Don't install it. Compare the repository's gpgkey with its publisher's, then run "
            "dnf clean all."
        ),
    ),
    (
        "A downloaded file is not the one the repository describes.",
        "A downloaded file has the wrong checksum",
    ),
    (
        "Try again later; a mirror may be out of step. Then: dnf clean all",
        "Run dnf clean all, then try again later.",
    ),
    (
        "A package repository cannot be reached.",
        "A package repository can't be reached",
    ),
    (
        "Packages that must stay would have to go.",
        "Packages that must be kept would be removed",
    ),
    (
        "Look at the plan again; allow those packages to leave or choose otherwise.",
        "Refresh the plan. Allow their removal, or select another MPM.",
    ),
    (
        "The package manager would have to change more than was confirmed.",
        (
            "Packages on this server changed after this plan was made. Refresh the plan, "
            "then confirm again."
        ),
    ),
    (
        "Look at the new plan and confirm it.",
        "Refresh the plan before you confirm.",
    ),
    (
        "Check the enabled repositories, then: dnf clean expire-cache",
        (
            "Check the name, and check that the EA4 repository is enabled (dnf repolist). "
            "Then run dnf clean expire-cache."
        ),
    ),
    (
        "Read what the package manager says excludes what.",
        "Remove extra packages from the selection, or select another MPM.",
    ),
    (
        "The transaction broke off in the middle.",
        "A package transaction was interrupted",
    ),
    (
        "The server is brought back to what it was.",
        "The system log (dmesg, journalctl) says why.",
    ),
    (
        "The change is undone from its restore point. The system log (dmesg, journalctl) says why.",
        "The system log (dmesg, journalctl) says why.",
    ),
    (
        (
            "The change is undone from its restore point. Report the message to the package's "
            "publisher."
        ),
        "Report the message to the package's publisher.",
    ),
    (
        "Install one, or name it as package_manager in the agent's configuration.",
        "Install one, or set package_manager in the agent's configuration.",
    ),
    (
        "This server's package manager cannot be asked for a plan: {message}.",
        "This server's package manager can't make a plan: {message}.",
    ),
    (
        (
            "dnf 4.4 or newer with its Python module is needed (Enterprise Linux 8.4 and later); "
            "yum 3 is not supported. If the module belongs to another interpreter, name that as "
            "python in the agent's configuration."
        ),
        (
            "dnf 4.4 or newer with its Python module is required (Enterprise Linux 8.4 and "
            "later); yum 3 is not supported. If the module belongs to another interpreter, set "
            "python in the agent's configuration."
        ),
    ),
    (
        "No repository has {names} any more.",
        "No repository provides {names} anymore.",
    ),
    (
        "Look at the new plan: dnf clean expire-cache, then preview again.",
        "Run dnf clean expire-cache, then refresh the plan.",
    ),
    (
        "The way back cannot be secured: no repository has {names} any more.",
        "A rollback would not be possible: no repository provides {names} anymore.",
    ),
    (
        "Bring EasyApache 4 up to date first (dnf upgrade 'ea-*'), then try again.",
        "Update EasyApache 4 first (dnf upgrade 'ea-*'), then try again.",
    ),
    (
        "The packages are not what they were ({now}).",
        "The packages could not be restored ({now}).",
    ),
    (
        "As root: {program}",
        "Run as root: {program}",
    ),
    (
        "Files are still missing, of {names}.",
        "Files of {names} are still missing.",
    ),
    (
        "If the repositories have newer builds only: dnf upgrade 'ea-*' brings whole ones.",
        "If the repositories only have newer builds, run: dnf upgrade 'ea-*'",
    ),
    (
        "{file} cannot be unpacked.",
        "{file} can't be unpacked.",
    ),
    (
        "httpd does not accept its configuration.",
        "Apache refuses its configuration.",
    ),
    (
        "Read what httpd said.",
        "See Apache's output.",
    ),
    (
        "httpd does not answer.",
        "Apache doesn't answer.",
    ),
    (
        "httpd runs with another MPM than is configured.",
        "Apache runs a different MPM than is configured.",
    ),
    (
        "httpd runs with {mpm}.",
        "Apache runs {mpm}.",
    ),
    (
        "A change is at work on this server; let it end first.",
        "A change is running on this server. Wait until it finishes.",
    ),
    (
        "The agent's own fault: {error}.",
        "Internal error of the agent: {error}.",
    ),
    (
        "httpd is running already.",
        "Apache is already running.",
    ),
    (
        "No file is missing.",
        "No files are missing.",
    ),
    (
        "No file is missing any more.",
        "All files are in place again.",
    ),
    (
        "No transaction is unfinished.",
        "There is no interrupted transaction.",
    ),
    (
        "The packages are not sound: {wrong}.",
        "The packages are damaged: {wrong}.",
    ),
    (
        (
            "Bring missing files back or settle on one MPM first; dnf remove --duplicates ends "
            "what is installed twice."
        ),
        (
            "Reinstall missing files or settle on one MPM first. To remove packages that are "
            "installed twice, run: dnf remove --duplicates"
        ),
    ),
    (
        "Nothing is missing or installed twice, so the packages are taken as they are.",
        "Nothing is missing or installed twice. The packages were accepted as they are.",
    ),
    (
        "The last change of this server did not end half-way: there is nothing to take back.",
        "The last change on this server is not incomplete. There is nothing to undo.",
    ),
    (
        "The server is as it was before its last change.",
        "The state before the last change is restored.",
    ),
    (
        (
            "The packages are back, but not all is as before: {title}: expected {expected}, saw "
            "{seen}."
        ),
        "The packages are restored, but a check failed: {title}: expected {expected}, got {seen}.",
    ),
    (
        "files are missing of {names}",
        "missing files of {names}",
    ),
    (
        "Look at what it waits for, then try again.",
        "Find out what it is waiting for, then try again.",
    ),
    (
        "{program} cannot be run: {error}.",
        "{program} can't be run: {error}.",
    ),
    (
        "{program} did not begin.",
        "{program} did not start.",
    ),
    (
        "The repository EA4 cannot be reached.",
        "The repository EA4 can't be reached.",
    ),
    (
        "No set of packages fulfils this.",
        "No combination of packages meets this request.",
    ),
    (
        "Choose otherwise.",
        "Change the selection.",
    ),
    (
        "This would remove {names}, which nobody agreed to.",
        "This would remove {names}, which you didn't allow.",
    ),
    (
        "Look at the plan again.",
        "Refresh the plan.",
    ),
    (
        "this server is only a file; nobody visits it",
        "simulated server without visitors",
    ),
    (
        "this server is only a file",
        "simulated server",
    ),
    (
        "The packages cannot be fetched.",
        "The packages can't be downloaded.",
    ),
    (
        "A package is not signed as it must be.",
        "A package has no valid signature.",
    ),
    (
        "httpd would not start with the new modules.",
        "Apache would not start with the new modules.",
    ),
    (
        "See what it said.",
        "See its output.",
    ),
    (
        "httpd did not come up.",
        "Apache didn't start.",
    ),
    (
        "Look at its error log.",
        "See its error log.",
    ),
    (
        "The packages could not be brought back.",
        "The packages could not be restored.",
    ),
    (
        "not asked",
        "not checked",
    ),
    (
        (
            "Nothing was done: this was asked for at {asked}, and it is {now} here. Look at the "
            "server, then ask again."
        ),
        (
            "Nothing was done: the repair was requested at {requested}, and the server's clock "
            "shows {now}. Check the server, then try again."
        ),
    ),
    (
        "Cancelled by {person} before the server was told. Nothing was touched.",
        "Canceled by {person} before it reached the server. Nothing was changed.",
    ),
    (
        "{before} became {after}",
        "MPM changed from {before} to {after}",
    ),
    (
        "the configured and the running MPM moved",
        "the configured and running MPM changed",
    ),
    (
        (
            "The agent reports success, but more moved than was confirmed. Also installed: "
            "{there}. Also removed: {missing}."
        ),
        (
            "The agent reports success, but more packages changed than you confirmed. Also "
            "installed: {there}. Also removed: {missing}."
        ),
    ),
    (
        "Cancelled before the server began. Nothing was touched.",
        "Canceled before the server started it. Nothing was changed.",
    ),
    (
        (
            "The agent no longer knows this change: its spool was emptied or replaced while the "
            "change was under way. What the server is now is shown by the next scan."
        ),
        (
            "The agent has no record of this change: its spool was emptied or replaced during the "
            "change. The next check shows the state of the server."
        ),
    ),
    (
        "was installed before",
        "previously installed",
    ),
    (
        "came with the change",
        "installed by the change",
    ),
    (
        (
            "Closed by {person} without word from the agent, silent since {since} UTC (last step: "
            "{step})."
        ),
        (
            "Closed manually by {person}. The agent has been offline since {since} UTC (last "
            "step: {step})."
        ),
    ),
)
"""Template then, template now. The values have the same names, or those of ``_VALUES``."""

_VALUES: Mapping[str, str] = {"said": "difference", "asked": "requested"}
"""Names of values then and now."""

_NOW: Mapping[str, str] = dict(_PAIRS)


def _number(values: Values, name: str) -> int:
    return int(values[name])


def _moves(values: Values) -> Sentence:
    came, left = _number(values, "came"), _number(values, "left")
    return joined(
        ", ",
        [
            counted("{count} package installed", "{count} packages installed", count=came),
            counted("{count} package removed", "{count} packages removed", count=left),
        ],
    )


def _succeeded(values: Values) -> Sentence:
    return Sentence("The server now runs {mpm}: {moves}.", mpm=values["mpm"], moves=_moves(values))


def _sites(values: Values) -> Sentence:
    return counted(
        "{count} site checked. No problems found.",
        "{count} sites checked. No problems found.",
        count=_number(values, "count"),
    )


def _checks(values: Values) -> Sentence:
    return counted(
        "{count} of {count} check passed.",
        "{count} of {count} checks passed.",
        count=_number(values, "count"),
    )


def _probes(values: Values) -> Sentence:
    return counted(
        "{count} probe: {refused} refused, {reset} reset. Longest wait: {wait} ms.",
        "{count} probes: {refused} refused, {reset} reset. Longest wait: {wait} ms.",
        count=_number(values, "probes"),
        refused=values["refused"],
        reset=values["reset"],
        wait=values["wait"],
    )


_COUNTED: Mapping[str, Callable[[Values], Sentence]] = {
    "{came} came, {left} left.": lambda values: Sentence("{moves}.", moves=_moves(values)),
    "The server now runs {mpm}: {came} package came, {left} left.": _succeeded,
    "The server now runs {mpm}: {came} packages came, {left} left.": _succeeded,
    "1 address asked; nothing stands in the way.": lambda _: _sites({"count": 1}),
    "{count} addresses asked; nothing stands in the way.": _sites,
    "{count} observations are as they should be.": _checks,
    "Of {probes} test connections {refused} were refused and {reset} cut; "
    "the longest wait was {wait} ms.": _probes,
}
"""Sentences that now have a plural of their own."""


def in_todays_words(text: str) -> str:
    """``text`` in this version's wording; unchanged if no earlier version worded it differently, or
    if its values don't match."""
    template, values = (
        (text.template, text.values) if isinstance(text, Sentence) else (str(text), {})
    )
    try:
        if template in _COUNTED:
            return _COUNTED[template](values)
        if template in _NOW:
            return Sentence(
                _NOW[template],
                **{
                    _VALUES.get(name, name) if f"{{{name}}}" not in _NOW[template] else name: value
                    for name, value in values.items()
                },
            )
    except (KeyError, ValueError, TypeError):
        return text  # what arrived from elsewhere may look like one of these
    return text
