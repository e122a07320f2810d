"""What httpd itself says: at its start, when it is reloaded and under load."""

from __future__ import annotations

from easyapache.ea4.conditions.condition import REINSTALL, SETTLE, START, Failure
from easyapache.ea4.sentences import Sentence

ITK = "ea-apache24-mod_mpm_itk"

HTTPD: tuple[Failure, ...] = (
    Failure(
        "itk-threaded",
        Sentence("ITK is loaded with a threaded MPM"),
        Sentence(
            "mod_mpm_itk works with prefork only. `httpd -t` accepts the combination; the "
            "start then fails."
        ),
        Sentence(
            "Go to prefork with mod_cgi first, or remove ea-apache24-mod_mpm_itk (and add "
            "mod_suexec, so that code still runs as its user)."
        ),
        (r"mpm-itk cannot use threaded MPMs",),
    ),
    Failure(
        "php-not-threadsafe",
        Sentence("PHP as an Apache module does not work with threads"),
        Sentence(
            "The DSO of PHP (ea-phpNN-php up to 7.4) is not built thread-safe and refuses "
            "to load under event or worker."
        ),
        Sentence(
            "Remove the ea-phpNN-php package and serve PHP by PHP-FPM, CGI or suPHP; or "
            "stay on prefork."
        ),
        (
            r"PHP Module is not compiled to be threadsafe",
            r"ea-php\d\d-php-\S* requires ea-apache24-mpm = forked",
        ),
    ),
    Failure(
        "two-mpms",
        Sentence("Two MPMs at once"),
        Sentence(
            "Two files conf.modules.d/000_mod_mpm_*.conf load an MPM: a transaction was "
            "cut off, a scriptlet of the old package failed, or a file was copied by hand."
        ),
        Sentence("Keep one MPM package and remove the other; then install its CGI module with it."),
        (r"AH00534: .*More than one MPM loaded",),
        SETTLE,
    ),
    Failure(
        "no-mpm",
        Sentence("No MPM at all"),
        Sentence(
            "The MPM package or its file 000_mod_mpm_*.conf is gone: the old one was "
            "erased and the new one failed to install, or the file was renamed (.rpmsave, "
            ".rpmnew)."
        ),
        Sentence("Install exactly one MPM together with its CGI module."),
        (r"AH00534: .*No MPM loaded",),
        SETTLE,
    ),
    Failure(
        "mpm-changed-in-graceful",
        Sentence("A graceful reload met a changed MPM and httpd ended"),
        Sentence(
            "httpd cannot change its MPM in a reload. Something else (log rotation, "
            "AutoSSL, the creation of an account) reloaded between the new packages and "
            "the restart."
        ),
        Sentence("Start httpd. Between packages and restart nothing may reload it."),
        (r"The MPM cannot be changed during restart",),
        START,
    ),
    Failure(
        "module-file-missing",
        Sentence("A module's file does not exist"),
        Sentence(
            "A LoadModule line names a .so that is not there: the package was removed but "
            "its line (in conf.d, or a conffile left behind) was not, or rpm believes in "
            "files that are gone."
        ),
        Sentence("Remove the stray line, or reinstall the package that owns the file."),
        (r"Cannot load modules?/\S+ into server: .*cannot open shared object file",),
        REINSTALL,
    ),
    Failure(
        "prefork-directive",
        Sentence("A directive only prefork knows"),
        Sentence(
            "MinSpareServers, MaxSpareServers and the like stand outside <IfModule>, so "
            "httpd does not start under event or worker."
        ),
        Sentence("Put them between <IfModule mpm_prefork_module> and </IfModule>."),
        (
            r"Invalid command '(MinSpareServers|MaxSpareServers)'",
            r"AH00526: .*(MinSpareServers|MaxSpareServers)",
        ),
    ),
    Failure(
        "run-folder-missing",
        Sentence("Apache's run folder is missing"),
        Sentence(
            "The folder for mutexes, usually /run/apache2, does not exist. It is created at "
            "boot by systemd-tmpfiles."
        ),
        Sentence(
            "As root: systemd-tmpfiles --create. Without a rule for it: mkdir -m 0710 "
            "/run/apache2; chgrp nobody /run/apache2. Then start httpd."
        ),
        (
            r"Invalid Mutex directory",
            r"No such file or directory: AH00023",
        ),
        START,
    ),
    Failure(
        "semaphores-removed",
        Sentence("Apache's semaphores were removed while it ran"),
        Sentence(
            "ipcrm, systemd's RemoveIPC or a cleanup job deleted the semaphores of a running "
            "httpd. Its children then end."
        ),
        Sentence(
            "Start httpd. Exclude its semaphores from the cleanup job; event does not need "
            "System V semaphores."
        ),
        (
            r"AH00144",
            r"Identifier removed: .*mutex",
            r"AH00050: Child \d+ returned a Fatal error",
        ),
        START,
        under_load=True,
    ),
    Failure(
        "out-of-tasks",
        Sentence("The system allows no more processes or threads"),
        Sentence(
            "A limit is reached: TasksMax of the service, pids.max of its control group, nproc "
            "of the user, or the limits of a container."
        ),
        Sentence(
            "Compare ServerLimit × ThreadsPerChild with systemctl show httpd -p TasksMax and "
            "with ulimit -u; raise the limit or lower the number of workers."
        ),
        (
            r"AH00480",
            r"AH00159",
            r"unable to create worker thread",
            r"Unable to fork new process",
        ),
        under_load=True,
    ),
    Failure(
        "htaccess-command",
        Sentence("An .htaccess file uses a directive that is not available"),
        Sentence(
            "The module that knows the directive is not loaded. Every request for this folder "
            "is answered with status 500."
        ),
        Sentence(
            "Install the module, or put the directive between <IfModule> and </IfModule> in "
            "that file."
        ),
        (r"\.htaccess: Invalid command",),
        under_load=True,
    ),
    Failure(
        "htaccess-unreadable",
        Sentence("The web server cannot read an .htaccess file"),
        Sentence(
            "After leaving ruid2 or ITK, files are read as nobody. The folder belongs to the "
            "account and is closed to everybody else."
        ),
        Sentence(
            "Give public_html the group nobody and mode 0750 (cPanel: "
            "/usr/local/cpanel/scripts/enablefileprotect)."
        ),
        (r"AH00529",),
        under_load=True,
    ),
    Failure(
        "threaded-directive",
        Sentence("A directive that this MPM does not know"),
        Sentence(
            "ThreadsPerChild and the like are unknown to prefork, AsyncRequestWorkerFactor to "
            "worker too; outside <IfModule>, httpd does not start."
        ),
        Sentence(
            "Put it between <IfModule !mpm_prefork_module> and </IfModule>; "
            "AsyncRequestWorkerFactor between <IfModule mpm_event_module> and </IfModule>."
        ),
        (
            (
                r"Invalid command '(?:ThreadsPerChild|ThreadLimit|MinSpareThreads|MaxSpareThreads|"
                r"AsyncRequestWorkerFactor)'"
            ),
        ),
    ),
    Failure(
        "directive-of-module",
        Sentence("A directive of a module that is not installed"),
        Sentence(
            "The module that knows this directive was removed, and the line stands outside "
            "<IfModule>."
        ),
        Sentence("Install the module again, or put the line between <IfModule> and </IfModule>."),
        (
            (
                r"(?<!htaccess: )Invalid command '(?:H2\w+|ScriptSock|CGIDScriptTimeout|"
                r"AssignUserID|MaxClientsVHost|RMode|RUidGid|RGroups|SuexecUserGroup|Fcgid\w+|"
                r"suPHP_\w+|QS_\w+|php_(?:admin_)?(?:value|flag)|ProxyHC\w+|Sec[A-Z]\w+)'"
            ),
        ),
    ),
    Failure(
        "include-missing",
        Sentence("An included file does not exist"),
        Sentence(
            "An Include line names a file that is gone, often because the software it belonged "
            "to was removed. cPanel then keeps the old httpd.conf."
        ),
        Sentence("Remove that line or use IncludeOptional, then rebuild the configuration."),
        (
            r"Could not open configuration file",
            r"Failed to generate a syntactically correct Apache configuration",
            r"Rebuilding configuration without any local modifications",
        ),
    ),
    Failure(
        "module-mismatch",
        Sentence("A module does not fit this Apache"),
        Sentence("A module or a library was built for another version."),
        Sentence(
            "Update all ea-apache24 packages and the library that is named together, from one "
            "repository."
        ),
        (
            r"undefined symbol: ",
            r"module structure '?\S+'? in file \S+ is garbled",
            r"error while loading shared libraries",
        ),
    ),
    Failure(
        "itk-no-rights",
        Sentence("ITK cannot become the account's user"),
        Sentence(
            "The user is outside LimitUIDRange or was deleted, EnableCapabilities is off, or a "
            "container takes away CAP_SETGID."
        ),
        Sentence("Check the user named in AssignUserID and the limits of the container."),
        (
            r"initgroups\([^)]*\): Operation not permitted",
            r"Couldn't set uid/gid/priority",
        ),
        under_load=True,
    ),
    Failure(
        "restart-deferred",
        Sentence("cPanel defers restarts of Apache"),
        Sentence(
            "Another job (an update, AutoSSL, the restoration of an account) holds restarts back."
        ),
        Sentence("Wait until that job is finished, then try again."),
        (
            r"Restarts are currently deferred",
            r"deferral lasted too long",
        ),
    ),
    Failure(
        "http2-prefork",
        Sentence("HTTP/2 does not work with prefork"),
        Sentence("mod_http2 needs threads."),
        Sentence("Choose event or worker, or remove ea-apache24-mod_http2."),
        (r"AH10034", r"mod_http2.* conflicts with .*mod_mpm_prefork"),
        under_load=True,
    ),
    Failure(
        "itk-uid-range",
        Sentence("ITK refuses a user outside its range"),
        Sentence(
            "mod_mpm_itk's seccomp filter lets a child become only users within "
            "LimitUIDRange; mail and sudo from PHP break on it as well."
        ),
        Sentence("Adjust LimitUIDRange and LimitGIDRange, or leave ITK."),
        (
            r"set[ug]id\(\d+\): Operation not permitted",
            r"due to the current Limit[UG]IDRange setting",
        ),
        under_load=True,
    ),
    Failure(
        "itk-segfault",
        Sentence("Children crash with an old ITK"),
        Sentence("mod_mpm_itk before 2.4.7.4-4 crashes with Apache 2.4.49 and newer."),
        Sentence("Update ea-apache24-mod_mpm_itk."),
        (r"mpm[-_]itk[^\n]*Segmentation fault",),
        under_load=True,
        beside={ITK: (r"AH0005[12]: .*signal Segmentation fault",)},
    ),
    Failure(
        "semaphores",
        Sentence("No semaphores left"),
        Sentence(
            "EA4's prefork uses System V semaphores, and crashed httpds have left theirs behind."
        ),
        Sentence(
            "With httpd stopped: list user nobody's semaphores (ipcs -s), remove them "
            "(ipcrm -s ID), raise kernel.sem if it recurs, start httpd."
        ),
        (r"No space left on device: AH00023", r"No space left on device: .*mutex"),
    ),
    Failure(
        "address-in-use",
        Sentence("The address is taken"),
        Sentence(
            "Another process listens on httpd's port: an old httpd that has not ended, or "
            "another server."
        ),
        Sentence(
            "See who it is (ss -ltnp). If it is nginx, LiteSpeed or another server in front of "
            "Apache, leave it: set Apache's own port in Tweak Settings and rebuild the "
            "configuration. Otherwise stop it and start httpd."
        ),
        (r"AH00072", r"Address already in use"),
        START,
    ),
    Failure(
        "scoreboard-full",
        Sentence("The scoreboard is full before MaxRequestWorkers is reached"),
        Sentence(
            "Under event and worker, processes that finish gracefully keep their slots; frequent "
            "graceful restarts fill the board."
        ),
        Sentence(
            "Stop and start; raise ServerLimit, limit GracefulShutdownTimeout, reload less often."
        ),
        (r"AH03490", r"AH00485", r"AH00288", r"scoreboard is full, not at MaxRequestWorkers"),
        under_load=True,
    ),
    Failure(
        "workers-exhausted",
        Sentence("All workers are busy"),
        Sentence(
            "MaxRequestWorkers was reached: too low a limit (cPanel's global value is "
            "150), or a slow backend."
        ),
        Sentence("Raise MaxRequestWorkers together with ServerLimit; look for slow scripts."),
        (r"AH00161", r"AH00286", r"AH00484", r"reached MaxRequestWorkers"),
        under_load=True,
    ),
    Failure(
        "limits-lowered",
        Sentence("Limits do not fit each other"),
        Sentence(
            "MaxRequestWorkers exceeds ServerLimit (times ThreadsPerChild), or is no "
            "multiple of ThreadsPerChild, so httpd lowers it."
        ),
        Sentence(
            "Set ServerLimit and ThreadLimit; make MaxRequestWorkers a multiple of ThreadsPerChild."
        ),
        (
            r"AH0018[01]",
            r"AH0031[014-9]",
            r"AH0050[78]",
            r"AH0051[1-6]",
            r"not an integer multiple of ThreadsPerChild",
        ),
        under_load=True,
    ),
    Failure(
        "cgid-socket",
        Sentence("mod_cgid cannot make its socket"),
        Sentence(
            "The folder of ScriptSock does not exist or cannot be written to: every CGI "
            "request waits for ever."
        ),
        Sentence(
            "Make the folder ScriptSock names (by default /etc/apache2/run), or correct the path."
        ),
        (r"AH01243", r"AH01257", r"AH01238", r"Couldn't bind unix domain socket"),
        under_load=True,
    ),
    Failure(
        "syntax",
        Sentence("httpd does not accept its configuration"),
        Sentence("A file has an error in the line that httpd names."),
        Sentence("Correct that line; `httpd -t` says whether it is right."),
        (r"Syntax error on line \d+", r"AH00526", r"AH00013: Pre-configuration failed"),
    ),
    Failure(
        "setup-failed",
        Sentence("A module could not be set up"),
        Sentence(
            "The configuration is read, and a module then refuses to start: a certificate and its "
            "key that do not match, a log that cannot be opened, a resource that is used up."
        ),
        Sentence("Read the lines of the error log just above; they name the module."),
        (r"AH00016: Configuration Failed", r"AH00020: Configuration Failed, exiting"),
        last_resort=True,
    ),
)
