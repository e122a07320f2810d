"""What httpd itself writes: at its start, when it is reloaded, and under load."""

from __future__ import annotations

from easyapache.ea4.conditions import evidence
from easyapache.ea4.conditions.condition import (
    BLOCK,
    CHANGE,
    HEALTH,
    NOTE,
    PLAN,
    PREFLIGHT,
    REINSTALL,
    SETTLE,
    START,
    WARN,
    Condition,
)
from easyapache.ea4.mpm import ITK
from easyapache.ea4.sentences import Sentence

HTTPD: tuple[Condition, ...] = (
    Condition(
        "itk_needs_prefork",
        BLOCK,
        Sentence("MPM ITK works with prefork only"),
        Sentence(
            "MPM ITK runs each site as its own user by forking, which threads can't do. `httpd -t` "
            "accepts MPM ITK with event or worker, but Apache then doesn't start."
        ),
        Sentence(
            "Select prefork with MPM ITK, or disable MPM ITK. Without MPM ITK, install mod_suexec "
            "so that scripts run as the account's user."
        ),
        listed_in=(PLAN, HEALTH),
        seen=evidence.itk_threaded,
        patterns=(r"mpm-itk cannot use threaded MPMs",),
    ),
    Condition(
        "php_dso_needs_prefork",
        WARN,
        Sentence("PHP as an Apache module works with prefork only"),
        Sentence(
            "PHP as an Apache module (ea-phpNN-php, up to PHP 7.4) isn't thread-safe. Its package "
            "conflicts with event and worker, and the module doesn't load under them."
        ),
        Sentence("Move these sites to PHP-FPM, CGI, or suPHP first, or keep prefork."),
        listed_in=(PLAN,),
        seen=evidence.php_dso_threaded,
        patterns=(
            r"PHP Module is not compiled to be threadsafe",
            r"ea-php\d\d-php-\S* requires ea-apache24-mpm = forked",
        ),
    ),
    Condition(
        "several_mpms",
        BLOCK,
        Sentence("More than one MPM"),
        Sentence(
            "Apache starts with exactly one MPM (AH00534: More than one MPM loaded). A package "
            "transaction was interrupted, a scriptlet failed, or a file that loads an MPM was "
            "copied."
        ),
        Sentence("In Diagnostics, run the repair “Restore one MPM”."),
        SETTLE,
        listed_in=(PLAN, PREFLIGHT, HEALTH),
        seen=evidence.several_mpms,
        patterns=(r"AH00534: .*More than one MPM loaded",),
    ),
    Condition(
        "no_mpm",
        BLOCK,
        Sentence("No MPM"),
        Sentence(
            "Apache starts with exactly one MPM (AH00534: No MPM loaded). The old MPM was removed "
            "and the new one wasn't installed, or the file that loads it was renamed (.rpmsave, "
            ".rpmnew)."
        ),
        Sentence("In Diagnostics, run the repair “Restore one MPM”."),
        SETTLE,
        listed_in=(PLAN, PREFLIGHT, HEALTH),
        seen=evidence.no_mpm,
        patterns=(r"AH00534: .*No MPM loaded",),
    ),
    Condition(
        "mpm_changed_in_reload",
        BLOCK,
        Sentence("A graceful reload stopped Apache after its MPM changed"),
        Sentence(
            "Apache can't change its MPM in a graceful reload. Another job (log rotation, AutoSSL, "
            "account creation) reloaded Apache between the package change and the restart."
        ),
        Sentence("Start Apache. Don't reload it between a package change and the restart."),
        START,
        patterns=(r"The MPM cannot be changed during restart",),
    ),
    Condition(
        "module_file_missing",
        BLOCK,
        Sentence("A module file doesn't exist"),
        Sentence(
            "A LoadModule line names a file that doesn't exist: its package was removed and the "
            "line was left behind, or the rpm database lists files that were deleted."
        ),
        Sentence("Remove that line, or reinstall the package that owns the file."),
        REINSTALL,
        patterns=(r"Cannot load modules?/\S+ into server: .*cannot open shared object file",),
    ),
    Condition(
        "prefork_only_directives",
        BLOCK,
        Sentence("Directives that only prefork accepts"),
        Sentence(
            "event and worker don't know MinSpareServers and MaxSpareServers. Outside of an "
            "<IfModule> section, they keep Apache from starting (AH00526)."
        ),
        Sentence("Put them between <IfModule mpm_prefork_module> and </IfModule>."),
        listed_in=(PLAN, PREFLIGHT),
        seen=evidence.prefork_only_directives,
        patterns=(
            r"Invalid command '(MinSpareServers|MaxSpareServers)'",
            r"AH00526: .*(MinSpareServers|MaxSpareServers)",
        ),
    ),
    Condition(
        "run_folder_missing",
        BLOCK,
        Sentence("Apache's run folder is missing"),
        Sentence(
            "The folder for mutexes, usually /run/apache2, doesn't exist. systemd-tmpfiles creates "
            "it at boot."
        ),
        Sentence(
            "As root, run: systemd-tmpfiles --create. Without a rule for the folder, run: mkdir -m "
            "0710 /run/apache2; chgrp nobody /run/apache2. Then start Apache."
        ),
        START,
        patterns=(r"Invalid Mutex directory", r"No such file or directory: AH00023"),
    ),
    Condition(
        "few_semaphores_left",
        WARN,
        Sentence("Few System V semaphores are left"),
        Sentence(
            "prefork needs some in EasyApache 4, and doesn't start without. Killed httpd processes "
            "leave theirs behind."
        ),
        Sentence(
            "List the unused ones (ipcs -s -p) and remove them (ipcrm -s ID), or raise kernel.sem."
        ),
        listed_in=(PLAN,),
        seen=evidence.few_semaphores_left,
    ),
    Condition(
        "semaphores_removed",
        BLOCK,
        Sentence("Apache's semaphores were removed while it was running"),
        Sentence(
            "ipcrm, systemd's RemoveIPC, or a cleanup job deleted the semaphores of a running "
            "httpd. Its child processes then exit."
        ),
        Sentence(
            "Start Apache. Exclude its semaphores from the cleanup job; event doesn't need System "
            "V semaphores."
        ),
        START,
        patterns=(
            r"AH00144",
            r"Identifier removed: .*mutex",
            r"AH00050: Child \d+ returned a Fatal error",
        ),
        under_load=True,
    ),
    Condition(
        "out_of_tasks",
        BLOCK,
        Sentence("The system allows no more processes or threads"),
        Sentence(
            "A limit is reached: TasksMax of the service, pids.max of its control group, nproc of "
            "the user, or the limits of a container."
        ),
        Sentence(
            "Compare ServerLimit × ThreadsPerChild with systemctl show httpd -p TasksMax and with "
            "ulimit -u. Raise the limit or lower the number of workers."
        ),
        patterns=(
            r"AH00480",
            r"AH00159",
            r"AH02324",
            r"unable to create (?:worker|listener) thread",
            r"Unable to fork new process",
        ),
        under_load=True,
    ),
    Condition(
        "htaccess_directives",
        WARN,
        Sentence("An .htaccess file uses a directive that isn't available"),
        Sentence(
            "The module that provides the directive isn't loaded. Every request for that folder "
            "gets status 500, and `httpd -t` doesn't notice."
        ),
        Sentence(
            "Remove the directive, put it between <IfModule> and </IfModule>, or install the "
            "module that provides it."
        ),
        listed_in=(PLAN,),
        patterns=(r"\.htaccess: Invalid command",),
        under_load=True,
    ),
    Condition(
        "htaccess_unreadable",
        WARN,
        Sentence("Apache can't read an .htaccess file"),
        Sentence(
            "Without mod_ruid2 or MPM ITK, Apache reads files as user nobody. The folder belongs "
            "to the account and is closed to other users."
        ),
        Sentence(
            "Give public_html the group nobody and the mode 0750 (cPanel: "
            "/usr/local/cpanel/scripts/enablefileprotect)."
        ),
        patterns=(r"AH00529",),
        under_load=True,
    ),
    Condition(
        "threaded_only_directives",
        BLOCK,
        Sentence("Directives that the selected MPM doesn't accept"),
        Sentence(
            "prefork doesn't know ThreadsPerChild, ThreadLimit, MinSpareThreads, and "
            "MaxSpareThreads; only event knows AsyncRequestWorkerFactor. Outside of an <IfModule> "
            "section, they keep Apache from starting (AH00526)."
        ),
        Sentence(
            "Put them between <IfModule !mpm_prefork_module> and </IfModule>, and "
            "AsyncRequestWorkerFactor between <IfModule mpm_event_module> and </IfModule>."
        ),
        listed_in=(PLAN, PREFLIGHT),
        seen=evidence.threaded_only_directives,
        patterns=(
            (
                r"Invalid command '(?:ThreadsPerChild|ThreadLimit|MinSpareThreads|MaxSpareThreads|"
                r"AsyncRequestWorkerFactor)'"
            ),
        ),
    ),
    Condition(
        "directive_of_missing_module",
        BLOCK,
        Sentence("A directive of a module that isn't installed"),
        Sentence(
            "The module that provides this directive was removed, and the line is outside of an "
            "<IfModule> section."
        ),
        Sentence("Reinstall the module, or put the line between <IfModule> and </IfModule>."),
        patterns=(
            (
                r"(?<!htaccess: )Invalid command '(?:H2\w+|ScriptSock|CGIDScriptTimeout|"
                r"AssignUserID|MaxClientsVHost|RMode|RUidGid|RGroups|SuexecUserGroup|Fcgid\w+|"
                r"suPHP_\w+|QS_\w+|php_(?:admin_)?(?:value|flag)|ProxyHC\w+|Sec[A-Z]\w+|"
                r"lsapi_\w+|(?:Mod)?PageSpeed\w*|ModPagespeed\w*|Cache[A-Z]\w+|Passenger\w+)'"
            ),
            r"unknown Worker parameter",
        ),
    ),
    Condition(
        "directives_of_removed_module",
        BLOCK,
        Sentence("Directives of a module that will be removed"),
        Sentence("Without the module, Apache doesn't know them and doesn't start (AH00526)."),
        Sentence("Put them between <IfModule> and </IfModule>, or remove them."),
        listed_in=(PLAN,),
    ),
    Condition(
        "include_missing",
        BLOCK,
        Sentence("An included file doesn't exist"),
        Sentence(
            "An Include line names a file that doesn't exist, often because the software it "
            "belonged to was removed. cPanel then keeps the old httpd.conf."
        ),
        Sentence("Remove that line or use IncludeOptional, then rebuild the configuration."),
        patterns=(
            r"Could not open configuration file",
            r"Failed to generate a syntactically correct Apache configuration",
            r"Rebuilding configuration without any local modifications",
        ),
    ),
    Condition(
        "module_mismatch",
        BLOCK,
        Sentence("A module doesn't fit this Apache"),
        Sentence("A module or a library was built for another version."),
        Sentence(
            "Update all ea-apache24 packages and the named library together, from one repository."
        ),
        patterns=(
            r"undefined symbol: ",
            r"module structure '?\S+'? in file \S+ is garbled",
            r"error while loading shared libraries",
        ),
    ),
    Condition(
        "itk_no_rights",
        WARN,
        Sentence("MPM ITK can't switch to the account's user"),
        Sentence(
            "The user is outside of LimitUIDRange or was deleted, EnableCapabilities is off, or a "
            "container removes CAP_SETGID."
        ),
        Sentence("Check the user named in AssignUserID and the limits of the container."),
        patterns=(
            r"initgroups\([^)]*\): Operation not permitted",
            r"Couldn't set uid/gid/priority",
        ),
        under_load=True,
    ),
    Condition(
        "restart_deferred",
        WARN,
        Sentence("cPanel defers Apache restarts"),
        Sentence("Another job (an update, AutoSSL, an account restore) holds back restarts."),
        Sentence("Wait until that job finishes, then try again."),
        patterns=(r"Restarts are currently deferred", r"deferral lasted too long"),
    ),
    Condition(
        "http2_needs_threads",
        WARN,
        Sentence("HTTP/2 requires event or worker"),
        Sentence(
            "mod_http2 needs threads, so it conflicts with prefork and MPM ITK. Without it, "
            "browsers fall back to HTTP/1.1, and pages with many files load slower."
        ),
        Sentence("Select event or worker to keep HTTP/2."),
        listed_in=(PLAN,),
        patterns=(r"AH10034", r"mod_http2.* conflicts with .*mod_mpm_prefork"),
        under_load=True,
    ),
    Condition(
        "itk_uid_range",
        WARN,
        Sentence("MPM ITK refuses a user outside of its range"),
        Sentence(
            "With its seccomp filter, MPM ITK lets a child process switch only to users within "
            "LimitUIDRange. mail() and sudo from PHP fail for the same reason."
        ),
        Sentence("Adjust LimitUIDRange and LimitGIDRange, or disable MPM ITK."),
        patterns=(
            r"set[ug]id\(\d+\): Operation not permitted",
            r"due to the current Limit[UG]IDRange setting",
        ),
        under_load=True,
    ),
    Condition(
        "itk_too_old",
        WARN,
        Sentence("This MPM ITK crashes with this Apache"),
        Sentence(
            "mod_mpm_itk before 2.4.7.4-4 makes child processes of Apache 2.4.49 and later crash."
        ),
        Sentence("Update ea-apache24-mod_mpm_itk to 2.4.7.4-4 or later."),
        listed_in=(PLAN,),
        seen=evidence.itk_too_old,
        patterns=(r"mpm[-_]itk[^\n]*Segmentation fault",),
        under_load=True,
        beside={ITK: (r"AH0005[12]: .*signal Segmentation fault",)},
    ),
    Condition(
        "no_semaphores_left",
        BLOCK,
        Sentence("No semaphores left"),
        Sentence(
            "prefork uses System V semaphores in EasyApache 4, and crashed httpd processes left "
            "theirs behind."
        ),
        Sentence(
            "Stop Apache, list the semaphores of user nobody (ipcs -s), remove them (ipcrm -s ID), "
            "and start Apache. Raise kernel.sem if it happens again."
        ),
        patterns=(
            r"No space left on device: AH00023",
            r"No space left on device: .*mutex",
        ),
    ),
    Condition(
        "address_in_use",
        BLOCK,
        Sentence("Another process uses Apache's port"),
        Sentence(
            "Another process listens on the port: an httpd that hasn't exited yet, or another "
            "server."
        ),
        Sentence(
            "Find the process (ss -ltnp). If it is nginx, LiteSpeed, or another server in front of "
            "Apache, don't stop it: set Apache's own port in Tweak Settings and rebuild the "
            "configuration. Otherwise stop the process and start Apache."
        ),
        START,
        patterns=(r"AH00072", r"Address already in use"),
    ),
    Condition(
        "scoreboard_full",
        WARN,
        Sentence("The scoreboard is full before MaxRequestWorkers is reached"),
        Sentence(
            "With event and worker, processes that finish gracefully keep their slots. Frequent "
            "graceful restarts fill the scoreboard."
        ),
        Sentence(
            "Stop and start Apache. Raise ServerLimit, set GracefulShutdownTimeout, and reload "
            "less often."
        ),
        patterns=(
            r"AH03490",
            r"AH00485",
            r"AH00288",
            r"scoreboard is full, not at MaxRequestWorkers",
        ),
        under_load=True,
    ),
    Condition(
        "workers_exhausted",
        WARN,
        Sentence("All workers are busy"),
        Sentence(
            "MaxRequestWorkers was reached: the limit is too low (cPanel sets 150), or a backend "
            "is slow."
        ),
        Sentence("Raise MaxRequestWorkers together with ServerLimit, and look for slow scripts."),
        patterns=(r"AH00161", r"AH00286", r"AH00484", r"reached MaxRequestWorkers"),
        under_load=True,
    ),
    Condition(
        "limits_lowered",
        WARN,
        Sentence("Apache corrects limits that don't fit each other"),
        Sentence(
            "MaxRequestWorkers exceeds ServerLimit (times ThreadsPerChild), or isn't a multiple of "
            "ThreadsPerChild, so Apache lowers it."
        ),
        Sentence(
            "Set ServerLimit and ThreadLimit, and make MaxRequestWorkers a multiple of "
            "ThreadsPerChild."
        ),
        patterns=(
            r"AH0018[01]",
            r"AH0031[014-9]",
            r"AH0050[78]",
            r"AH0051[1-6]",
            r"not an integer multiple of ThreadsPerChild",
        ),
        under_load=True,
    ),
    Condition(
        "cgid_socket",
        WARN,
        Sentence("mod_cgid can't create its socket"),
        Sentence(
            "The folder of ScriptSock doesn't exist or isn't writable. CGI requests never finish."
        ),
        Sentence(
            "Create the folder that ScriptSock names (by default /etc/apache2/run), or correct the "
            "path."
        ),
        patterns=(r"AH01243", r"AH01257", r"AH01238", r"Couldn't bind unix domain socket"),
        under_load=True,
    ),
    Condition(
        "child_unresponsive",
        NOTE,
        Sentence("Child processes didn't exit when Apache stopped"),
        Sentence(
            "Apache sent SIGTERM (AH00045) and then SIGKILL (AH00046) to child processes that "
            "still had requests. Their visitors lost the connection."
        ),
        Sentence(
            "Look for slow scripts and long downloads. GracefulShutdownTimeout limits how long a "
            "graceful stop waits."
        ),
        patterns=(
            r"AH00045: child process \d+ still did not exit",
            r"AH00046: child process \d+ still did not exit",
        ),
    ),
    Condition(
        "byte_order_mark",
        BLOCK,
        Sentence("A configuration file begins with a byte order mark"),
        Sentence(
            "An editor, usually on Windows, saved the file with an invisible mark (BOM) at its "
            "beginning. Apache reads it as part of the first directive."
        ),
        Sentence("Save the file that the error names as UTF-8 without BOM."),
        patterns=(r"Invalid command '(?:\\xef\\xbb\\xbf|\ufeff|\\xff\\xfe|\\xfe\\xff)",),
    ),
    Condition(
        "configuration_broken",
        BLOCK,
        Sentence("Apache rejects its configuration"),
        Sentence("A configuration file has an error. Without a fix, Apache doesn't start again."),
        Sentence("Run httpd -t on the server and correct the line it names."),
        listed_in=(PLAN, PREFLIGHT, CHANGE, HEALTH),
        seen=evidence.configuration_broken,
        patterns=(
            r"Syntax error on line \d+",
            r"AH00526",
            r"AH00013: Pre-configuration failed",
        ),
    ),
    Condition(
        "module_setup_failed",
        BLOCK,
        Sentence("A module couldn't be set up"),
        Sentence(
            "The configuration is valid, but a module doesn't start: a certificate and its key "
            "don't match, a log can't be opened, or a resource is used up."
        ),
        Sentence("Read the lines above this one in the error log; they name the module."),
        patterns=(r"AH00016: Configuration Failed", r"AH00020: Configuration Failed, exiting"),
        last_resort=True,
    ),
)
