"""The state of a server that no program complains about at once: it shows in a profile, or in what
a change saw."""

from __future__ import annotations

from easyapache.ea4.conditions import evidence
from easyapache.ea4.conditions.condition import (
    BLOCK,
    DIAGNOSTICS,
    HEALTH,
    NOTE,
    PLAN,
    PREFLIGHT,
    RESTART,
    START,
    WARN,
    Condition,
)
from easyapache.ea4.sentences import Sentence, marked

SERVER: tuple[Condition, ...] = (
    Condition(
        "no_apache",
        BLOCK,
        Sentence("EasyApache 4 is not installed"),
        Sentence("The package ea-apache24 is not installed on this server."),
        Sentence("Provision an EasyApache 4 profile first, then select an MPM."),
        listed_in=(PLAN,),
    ),
    Condition(
        "apache_removed",
        BLOCK,
        Sentence("Apache was removed from this server"),
        Sentence(
            "Parts of EasyApache 4 are still installed, and the package ea-apache24 is not. "
            "Removing an MPM without installing another one removes Apache with it. An Apache that "
            "still runs must not be restarted now."
        ),
        marked("As root, run: dnf history undo {number}"),
        listed_in=(PLAN,),
    ),
    Condition(
        "pending_restart",
        WARN,
        Sentence("Apache hasn't been restarted since its MPM changed"),
        Sentence(
            "A graceful reload doesn't change the MPM, ServerLimit, or ThreadLimit. The next one, "
            "by log rotation for example, may stop Apache."
        ),
        Sentence("Stop and start Apache soon; Diagnostics offers this repair."),
        RESTART,
        listed_in=(PLAN, HEALTH),
        seen=evidence.pending_restart,
        patterns=(r"Running MPM: expected \w+, (?:saw|got) (event|worker|prefork)\b",),
    ),
    Condition(
        "configuration_differs",
        WARN,
        Sentence("The configuration loads another MPM than the installed one"),
        Sentence(
            "The MPM's package is installed, but the next start would load something else: its "
            "file was edited or renamed, or another file loads an MPM."
        ),
        Sentence(
            "In /etc/apache2/conf.modules.d, look for files that no package owns, and for .rpmsave "
            "and .rpmnew files."
        ),
        listed_in=(PLAN, HEALTH),
        seen=evidence.configuration_differs,
    ),
    Condition(
        "foreign_mpm_file",
        BLOCK,
        Sentence("A file that no package owns loads an MPM"),
        Sentence(
            "After a change, Apache would load two MPMs, or one whose file was removed, and not "
            "start."
        ),
        Sentence("Remove that LoadModule line; the MPM's package brings its own file."),
        listed_in=(PLAN, PREFLIGHT),
        seen=evidence.foreign_mpm_file,
    ),
    Condition(
        "code_runs_as_nobody",
        WARN,
        Sentence("Scripts run as user nobody"),
        Sentence(
            "Nothing runs a site's CGI and PHP as the user who owns it, so one site can read files "
            "that another one wrote. PHP-FPM is not affected."
        ),
        Sentence("Install ea-apache24-mod_suexec."),
        listed_in=(PLAN,),
        seen=evidence.code_runs_as_nobody,
    ),
    Condition(
        "packages_removed_outside",
        WARN,
        Sentence("A change from outside removed packages"),
        Sentence(
            "A profile describes the full set of packages: provisioning removes what it doesn't "
            "list."
        ),
        Sentence(
            "Roll back from the history. Check the list of removals before you provision a profile."
        ),
        listed_in=(DIAGNOSTICS,),
    ),
    Condition(
        "other_threaded_mpm",
        WARN,
        Sentence("The other threaded MPM was installed"),
        Sentence("The request was for any threaded MPM, and the package manager chose one."),
        Sentence("Name the MPM explicitly, as this panel does."),
        patterns=(r"MPM package: expected (event|worker), (?:saw|got) (worker|event)\b",),
    ),
    Condition(
        "limit_stays_150",
        NOTE,
        Sentence("MaxRequestWorkers stays at 150"),
        Sentence(
            "cPanel sets MaxRequestWorkers to 150 for every MPM. event and worker use less memory, "
            "but don't serve more concurrent requests until you raise it."
        ),
        Sentence(
            "Raise it in WHM » Apache Configuration » Global Configuration or in "
            "pre_virtualhost_global.conf. In pre_main_global.conf it has no effect: the generated "
            "value follows it."
        ),
        listed_in=(PLAN,),
        seen=evidence.unchanged_limit_150,
    ),
    Condition(
        "limits_overridden",
        WARN,
        Sentence("A limit in an include has no effect"),
        Sentence(
            "Apache uses the last value. cPanel's httpd.conf sets StartServers, ServerLimit, "
            "MaxRequestWorkers, and MaxConnectionsPerChild after pre_main_global.conf."
        ),
        Sentence(
            "Set these limits in WHM » Apache Configuration » Global Configuration or in "
            "pre_virtualhost_global.conf."
        ),
        listed_in=(PLAN,),
        seen=evidence.limits_overridden,
    ),
    Condition(
        "replaced_by_another_server",
        BLOCK,
        Sentence("LiteSpeed serves this server instead of Apache"),
        Sentence(
            "Apache's MPM has no effect while LiteSpeed is active, and a restart would start "
            "Apache against it."
        ),
        Sentence("Switch back to Apache in the LiteSpeed plugin, then refresh the plan."),
        listed_in=(PLAN, PREFLIGHT),
        seen=evidence.replaced_by_another_server,
    ),
    Condition(
        "server_in_front",
        NOTE,
        Sentence("Another server is in front of Apache"),
        Sentence(
            "Visitors connect to it first, so it decides on HTTP/2 and TLS. A change restarts "
            "Apache only."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "spare_servers_throttle",
        WARN,
        Sentence("prefork has too few spare processes"),
        Sentence(
            "With fewer spare processes than PHP-FPM has children, requests wait for a process."
        ),
        Sentence("Raise MinSpareServers and MaxSpareServers, or use event."),
        patterns=(r"AH00162",),
        under_load=True,
    ),
    Condition(
        "event_untuned",
        WARN,
        Sentence("event still has the limits of prefork"),
        Sentence("The server is busy, and its limits were made for prefork."),
        Sentence(
            "Set ServerLimit, ThreadsPerChild, and MaxRequestWorkers for event; the capacity page "
            "has the values."
        ),
        patterns=(r"AH10159", r"AH00486"),
        under_load=True,
    ),
    Condition(
        "httpd_down",
        WARN,
        Sentence("Apache isn't running"),
        Sentence("It stopped or didn't start. Its error log says why. A change starts it again."),
        Sentence("Test the configuration (httpd -t), then start Apache."),
        START,
        listed_in=(PLAN, HEALTH),
        seen=evidence.httpd_down,
        patterns=(
            r"httpd does not run",
            r"httpd \(no pid file\) not running",
            r"httpd dead but pid file exists",
        ),
    ),
    Condition(
        "service_unmanaged",
        WARN,
        Sentence("Apache runs outside its service"),
        Sentence(
            "Apache serves visitors, but systemd's httpd.service isn't active or doesn't manage "
            "this Apache. Stopping the service doesn't stop Apache, and the service's limits "
            "don't apply to it."
        ),
        Sentence("Restart Apache here. httpd.service then manages it again."),
        RESTART,
        seen=evidence.service_unmanaged,
    ),
    Condition(
        "switched_off",
        BLOCK,
        Sentence("Apache is switched off"),
        Sentence("systemd and cPanel don't start Apache as long as it is switched off."),
        Sentence("Switch Apache on and start it, then try again."),
        listed_in=(PREFLIGHT,),
    ),
    Condition(
        "panel_proxied",
        BLOCK,
        Sentence("This panel is behind the Apache it would restart"),
        Sentence("The restart would cut the connection to this panel."),
        Sentence(
            "Open the panel on its own port (an SSH tunnel will do), and remove the line for the "
            "duration of the change."
        ),
        listed_in=(PREFLIGHT,),
    ),
    Condition(
        "guarded_mpm_lines",
        NOTE,
        Sentence("A file that no package owns could load an MPM"),
        Sentence("Its section applies neither now nor after this change: Apache skips it."),
        listed_in=(PLAN,),
    ),
    Condition(
        "local_templates",
        NOTE,
        Sentence("cPanel's template was replaced by your own"),
        Sentence(
            "After the packages change, cPanel writes httpd.conf from this template. The trial "
            "start uses the present httpd.conf."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "template_directives",
        WARN,
        Sentence("Your own template may keep Apache from starting"),
        Sentence(
            "It has directives that the selected MPM doesn't accept, and cPanel writes httpd.conf "
            "from it. If Apache then refuses httpd.conf, the change is undone."
        ),
        Sentence("In the template, put them into an <IfModule> section of their MPM."),
        listed_in=(PLAN,),
    ),
    Condition(
        "document_roots_closed",
        WARN,
        Sentence("Apache won't be able to read some sites"),
        Sentence(
            "mod_ruid2 or MPM ITK reads each site as its own user. Afterwards Apache reads them as "
            "its own user, whom the modes of these folders keep out: visitors get status 403."
        ),
        Sentence(
            "Give each public_html the group nobody and the mode 0750, and the home folder 0711 "
            "(cPanel: /usr/local/cpanel/scripts/enablefileprotect)."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "folders_change_owner",
        NOTE,
        Sentence("Apache's own folders have files of many users"),
        Sentence(
            "mod_ruid2 or MPM ITK writes there as each site's user, and Apache afterwards as its "
            "own. Old files may then be closed to it."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "userdir_returns",
        WARN,
        Sentence("Sites can be reached as /~user/ again"),
        Sentence(
            "cPanel turns UserDir off with mod_ruid2 and MPM ITK, and on without them. Then every "
            "account's site is also part of every other site's address."
        ),
        Sentence(
            "Check WHM » Security Center » Apache mod_userdir Tweak. To keep it off, put UserDir "
            "disabled into pre_virtualhost_global.conf."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "frequent_reloads",
        NOTE,
        Sentence("Apache is reloaded often"),
        Sentence(
            "With event and worker, processes that finish their requests after a reload keep "
            "their slots. With long downloads or HTTP/2, all slots may be in use."
        ),
        Sentence(
            "Raise ServerLimit by the reloads that fall into your longest request, and set "
            "GracefulShutdownTimeout."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "immutable_files",
        BLOCK,
        Sentence("Files can't be replaced"),
        Sentence(
            "They have the immutable flag, or their file system is mounted read-only. A "
            "transaction that meets one fails with both MPMs installed, or none."
        ),
        Sentence("Remove the flag (chattr -i), or mount the file system for writing."),
        listed_in=(PLAN, PREFLIGHT),
        patterns=(r"cpio: \w+ failed - Operation not permitted", r"Read-only file system"),
    ),
    Condition(
        "misnamed_sections",
        NOTE,
        Sentence("A section for an MPM never applies"),
        Sentence("No MPM has that name in <IfModule>, so Apache skips the settings in it."),
        listed_in=(PLAN,),
    ),
    Condition(
        "config_unread",
        NOTE,
        Sentence("Part of the configuration couldn't be read"),
        Sentence("This plan doesn't consider its content; the trial start does."),
        listed_in=(PLAN,),
    ),
    Condition(
        "edited_files_saved_aside",
        WARN,
        Sentence("Edited files will be renamed"),
        Sentence(
            "Their packages will be removed, and rpm renames edited files to .rpmsave. "
            "Reinstalling a package doesn't restore the edits."
        ),
        Sentence("Copy what you need into /etc/apache2/conf.d, inside of an <IfModule> section."),
        listed_in=(PLAN,),
    ),
    Condition(
        "packages_contradict",
        WARN,
        Sentence("Installed packages contradict each other"),
        Sentence("They do so already, before any change."),
        Sentence("dnf check lists these problems. Fix them before you change the MPM."),
        listed_in=(PLAN,),
    ),
)
