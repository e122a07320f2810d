"""How a step of a change can fail, if nothing more specific was recognized."""

from __future__ import annotations

from easyapache.ea4.conditions.condition import (
    BLOCK,
    CHANGE,
    DIAGNOSTICS,
    HEALTH,
    PLAN,
    TAKE_BACK,
    WARN,
    Condition,
)
from easyapache.ea4.sentences import Sentence

STEPS: tuple[Condition, ...] = (
    Condition(
        "incomplete_change",
        BLOCK,
        Sentence("Incomplete change"),
        Sentence(
            "A change failed and couldn't be undone, so this server is in an unknown state. Apache "
            "may be down."
        ),
        Sentence("Open Diagnostics and choose “Undo the incomplete change”."),
        TAKE_BACK,
        listed_in=(PLAN, CHANGE, DIAGNOSTICS, HEALTH),
    ),
    Condition(
        "no_restore_point",
        BLOCK,
        Sentence("There is no restore point"),
        Sentence("Packages that are needed to undo the change are missing."),
        Sentence(
            "Enable the repository that has them, or install the packages with the server's "
            "package manager."
        ),
        listed_in=(CHANGE,),
    ),
    Condition(
        "restore_failed",
        BLOCK,
        Sentence("The previous packages couldn't be restored"),
        Sentence("After the change failed, the restore point couldn't be put back completely."),
        Sentence("Open Diagnostics and choose “Undo the incomplete change”."),
        TAKE_BACK,
        listed_in=(CHANGE,),
    ),
    Condition(
        "trial_start_failed",
        BLOCK,
        Sentence("The trial start failed"),
        Sentence(
            "Apache doesn't start with the new modules and the current configuration. Nothing was "
            "changed."
        ),
        Sentence("Fix what Apache reports, then try again."),
        listed_in=(CHANGE,),
    ),
    Condition(
        "restart_failed",
        BLOCK,
        Sentence("Apache didn't start"),
        Sentence("The restart with the new packages failed."),
        Sentence("Read what httpd reports; its error log has the details."),
        listed_in=(CHANGE,),
    ),
    Condition(
        "verification_failed",
        BLOCK,
        Sentence("Verification failed"),
        Sentence("After the restart, a check had another result than expected."),
        Sentence("Compare expected and actual values in the checks of this change."),
        listed_in=(CHANGE,),
    ),
    Condition(
        "repair_failed",
        BLOCK,
        Sentence("The packages couldn't be repaired"),
        Sentence("The package manager couldn't bring them into a working state."),
        Sentence("dnf check lists what is wrong. Fix it with the server's package manager."),
        listed_in=(CHANGE,),
    ),
    Condition(
        "package_manager",
        BLOCK,
        Sentence("The package manager failed"),
        Sentence("Its message is none that this panel knows."),
        Sentence("Read its output in the log."),
        listed_in=(CHANGE,),
        last_resort=True,
    ),
    Condition(
        "no_package_manager",
        BLOCK,
        Sentence("No supported package manager"),
        Sentence("This server has neither dnf nor yum, or the agent's configuration is wrong."),
        Sentence(
            "Install one, or set package_manager in the agent's configuration to its full path."
        ),
        listed_in=(CHANGE,),
    ),
    Condition(
        "not_supported",
        BLOCK,
        Sentence("The package manager is too old"),
        Sentence("It can't say what a change would do."),
        Sentence("Update dnf, or change the MPM with the server's package manager."),
        listed_in=(CHANGE,),
    ),
    Condition(
        "no_answer",
        BLOCK,
        Sentence("A program didn't finish in time"),
        Sentence("A program on the server was stopped because it took too long."),
        Sentence("Run it by hand to see what it waits for."),
        listed_in=(CHANGE,),
    ),
    Condition(
        "no_such_program",
        BLOCK,
        Sentence("A program can't be run"),
        Sentence("It isn't installed, or it isn't executable."),
        Sentence("Install it, or correct its path in the agent's configuration."),
        listed_in=(CHANGE,),
    ),
    Condition(
        "program_not_started",
        BLOCK,
        Sentence("A program couldn't be started"),
        Sentence("The server didn't start it in time; nothing was changed by it."),
        Sentence("Check the load of the server, then try again."),
        listed_in=(CHANGE,),
    ),
    Condition(
        "bad_restart_method",
        BLOCK,
        Sentence("This restart method isn't available"),
        Sentence("The agent's configuration names a method that this server doesn't support."),
        Sentence("Set restart_method to auto in the agent's configuration."),
        listed_in=(CHANGE,),
    ),
    Condition(
        "state_before_unknown",
        BLOCK,
        Sentence("The state before the change is unknown"),
        Sentence("The agent's record of it is missing or damaged."),
        Sentence("Check the server, and open Diagnostics."),
        listed_in=(CHANGE,),
    ),
)

AGENT: tuple[Condition, ...] = (
    Condition(
        "agent_offline",
        WARN,
        Sentence("The agent is offline"),
        Sentence(
            "This server doesn't answer the panel. A change starts when the agent is back, which "
            "may be hours from now, and can't be watched until then."
        ),
        Sentence("Start the agent on the server first, or set a maintenance window."),
        listed_in=(PLAN, HEALTH),
    ),
    Condition(
        "unknown_proxy",
        WARN,
        Sentence("The panel doesn't know the proxy in front of it"),
        Sentence(
            "Requests have X-Forwarded-For while TRUSTED_PROXIES is 0. All visitors then count as "
            "one address: in limits, in the networks of tokens, and in the history."
        ),
        Sentence("Set TRUSTED_PROXIES to the number of your own proxies, and restart the panel."),
        listed_in=(DIAGNOSTICS,),
    ),
    Condition(
        "no_panel_address",
        WARN,
        Sentence("The panel doesn't know its own address"),
        Sentence(
            "Sign-in from WHM is permitted, but the panel can't tell whether a sign-in is meant "
            "for it: PANEL_URL isn't its https address."
        ),
        Sentence(
            "Set PANEL_URL to the https address of the panel in a browser, and restart the panel."
        ),
        listed_in=(DIAGNOSTICS,),
    ),
    Condition(
        "messages_dropped",
        WARN,
        Sentence("The panel dropped messages"),
        Sentence(
            "The control worker dropped messages from the broker that are malformed, too large, or "
            "compressed. No part of this panel sends such messages."
        ),
        Sentence(
            "Find out who else has the broker's (Redis) password, and change it. The worker's log "
            "lists the messages."
        ),
        listed_in=(DIAGNOSTICS,),
    ),
    Condition(
        "agent_messages_dropped",
        WARN,
        Sentence("The agent dropped messages"),
        Sentence(
            "The agent dropped messages from the broker that are malformed, too large, or "
            "compressed. No part of this panel sends such messages."
        ),
        Sentence(
            "Find out who else has the broker's (Redis) password, and change it. The agent's log "
            "lists the messages."
        ),
        listed_in=(DIAGNOSTICS,),
    ),
    Condition(
        "change_not_requested",
        WARN,
        Sentence("The panel didn't request a change that the agent reports"),
        Sentence(
            "The agent carries out a change that this panel didn't request, or someone with the "
            "broker's password reports one in its name."
        ),
        Sentence("Find out who else has the broker's (Redis) password, and change it."),
        listed_in=(DIAGNOSTICS,),
    ),
    Condition(
        "broker_trouble",
        WARN,
        Sentence("The broker (Redis) accepts no messages"),
        Sentence("Changes can't start, and status updates don't arrive."),
        Sentence("Free memory or disk space for Redis, and check its log."),
        listed_in=(DIAGNOSTICS,),
    ),
    Condition(
        "files_readable",
        WARN,
        Sentence("Other accounts can read the panel's files"),
        Sentence("Other accounts on this machine can read the database or a secret file."),
        Sentence("As the panel's account, run manage.py check and follow its advice."),
        listed_in=(DIAGNOSTICS,),
    ),
)
