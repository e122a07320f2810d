"""What is known to go wrong with MPMs on EasyApache 4, the most telling first. Data only.

Where the knowledge comes from: httpd's sources (server/config.c, the MPMs, mod_http2), the
spec files of EasyApache 4's packages, mod_mpm_itk's source, and faults provoked on purpose
with real dnf, rpm and httpd.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """``patterns``: regular expressions over output, any of which recognises it. ``repair``:
    the safe repair that cures it, where there is one; ``last_resort``: only said when nothing
    more telling was recognised."""

    code: str
    title: str
    cause: str
    fix: str
    patterns: tuple[str, ...] = ()
    repair: str = ""
    last_resort: bool = False


SETTLE, START, RESTART, REINSTALL = "settle-mpm", "start-httpd", "restart-httpd", "reinstall-files"

FAILURES: tuple[Failure, ...] = (
    Failure(
        "itk-threaded",
        "ITK is loaded with a threaded MPM",
        "mod_mpm_itk works with prefork only. `httpd -t` accepts the combination; the start "
        "then fails.",
        "Go to prefork with mod_cgi first, or remove ea-apache24-mod_mpm_itk (and add mod_suexec, "
        "so that code still runs as its user).",
        (r"mpm-itk cannot use threaded MPMs", r"AH00016: Configuration Failed"),
    ),
    Failure(
        "php-not-threadsafe",
        "PHP as an Apache module does not work with threads",
        "The DSO of PHP (ea-phpNN-php up to 7.4) is not built thread-safe and refuses to load "
        "under event or worker.",
        "Remove the ea-phpNN-php package and serve PHP by PHP-FPM, CGI or suPHP; or stay on "
        "prefork.",
        (r"PHP Module is not compiled to be threadsafe",),
    ),
    Failure(
        "two-mpms",
        "Two MPMs at once",
        "Two files conf.modules.d/000_mod_mpm_*.conf load an MPM: a transaction was cut off, a "
        "scriptlet of the old package failed, or a file was copied by hand.",
        "Keep one MPM package and remove the other; then install its CGI module with it.",
        (r"AH00534: .*More than one MPM loaded",),
        SETTLE,
    ),
    Failure(
        "no-mpm",
        "No MPM at all",
        "The MPM package or its file 000_mod_mpm_*.conf is gone: the old one was erased and "
        "the new "
        "one failed to install, or the file was renamed (.rpmsave, .rpmnew).",
        "Install exactly one MPM together with its CGI module.",
        (r"AH00534: .*No MPM loaded",),
        SETTLE,
    ),
    Failure(
        "mpm-changed-in-graceful",
        "A graceful reload met a changed MPM and httpd ended",
        "httpd cannot change its MPM in a reload. Something else (log rotation, AutoSSL, the "
        "creation of an account) reloaded between the new packages and the restart.",
        "Start httpd. Between packages and restart nothing may reload it.",
        (r"The MPM cannot be changed during restart",),
        START,
    ),
    Failure(
        "module-file-missing",
        "A module's file does not exist",
        "A LoadModule line names a .so that is not there: the package was removed but its line (in "
        "conf.d, or a conffile left behind) was not, or rpm believes in files that are gone.",
        "Remove the stray line, or reinstall the package that owns the file.",
        (r"Cannot load modules?/\S+ into server: .*cannot open shared object file",),
        REINSTALL,
    ),
    Failure(
        "prefork-directive",
        "A directive only prefork knows",
        "MinSpareServers, MaxSpareServers and the like stand outside <IfModule>, so httpd does not "
        "start under event or worker.",
        "Put them between <IfModule mpm_prefork_module> and </IfModule>.",
        (
            r"Invalid command '(MinSpareServers|MaxSpareServers|MaxClientsVHost|AssignUserID)'",
            r"AH00526: .*(MinSpareServers|MaxSpareServers)",
        ),
    ),
    Failure(
        "http2-prefork",
        "HTTP/2 does not work with prefork",
        "mod_http2 needs threads.",
        "Choose event or worker, or remove ea-apache24-mod_http2.",
        (r"AH10034", r"mod_http2.* conflicts with .*mod_mpm_prefork"),
    ),
    Failure(
        "itk-uid-range",
        "ITK refuses a user outside its range",
        "mod_mpm_itk's seccomp filter lets a child become only users within LimitUIDRange; "
        "mail and "
        "sudo from PHP break on it as well.",
        "Adjust LimitUIDRange and LimitGIDRange, or leave ITK.",
        (r"setuid\(\d+\): Operation not permitted", r"LimitUIDRange", r"LimitGIDRange"),
    ),
    Failure(
        "itk-segfault",
        "Children crash with an old ITK",
        "mod_mpm_itk before 2.4.7.4-4 crashes with Apache 2.4.49 and newer.",
        "Update ea-apache24-mod_mpm_itk.",
        (r"mpm[-_]itk[\s\S]{0,200}Segmentation fault", r"AH00052: .*signal Segmentation fault"),
    ),
    Failure(
        "semaphores",
        "No semaphores left",
        "EA4's prefork uses System V semaphores, and crashed httpds have left theirs behind.",
        "With httpd stopped: list user nobody's semaphores (ipcs -s), remove them (ipcrm -s ID), "
        "raise kernel.sem if it recurs, start httpd.",
        (r"AH00023: Couldn't create the \S+ mutex", r"No space left on device: .*mutex"),
    ),
    Failure(
        "address-in-use",
        "The address is taken",
        "Another process listens on httpd's port: an old httpd that has not ended, or "
        "another server.",
        "See who it is (ss -ltnp), stop it, start httpd.",
        (r"AH00072", r"Address already in use"),
        START,
    ),
    Failure(
        "scoreboard-full",
        "The scoreboard is full before MaxRequestWorkers is reached",
        "Under event, processes that finish gracefully keep their slots; frequent graceful "
        "restarts "
        "fill the board.",
        "Stop and start; raise ServerLimit, limit GracefulShutdownTimeout, reload less often.",
        (r"AH03490", r"AH00485", r"scoreboard is full, not at MaxRequestWorkers"),
    ),
    Failure(
        "workers-exhausted",
        "All workers are busy",
        "MaxRequestWorkers was reached: too low a limit (cPanel's global value is 150), or a slow "
        "backend.",
        "Raise MaxRequestWorkers together with ServerLimit; look for slow scripts.",
        (r"AH00161", r"AH00286", r"AH00484", r"reached MaxRequestWorkers"),
    ),
    Failure(
        "limits-lowered",
        "Limits do not fit each other",
        "MaxRequestWorkers exceeds ServerLimit (times ThreadsPerChild), or is no multiple of "
        "ThreadsPerChild, so httpd lowers it.",
        "Set ServerLimit and ThreadLimit; make MaxRequestWorkers a multiple of ThreadsPerChild.",
        (
            r"AH0018[01]",
            r"AH0031[6-9]",
            r"AH0051[3-6]",
            r"not an integer multiple of ThreadsPerChild",
        ),
    ),
    Failure(
        "cgid-socket",
        "mod_cgid cannot make its socket",
        "The folder of ScriptSock does not exist or cannot be written to: every CGI request waits "
        "for ever.",
        "Make the folder ScriptSock names (by default /etc/apache2/run), or correct the path.",
        (r"AH01243", r"AH01257", r"Couldn't bind unix domain socket"),
    ),
    Failure(
        "syntax",
        "httpd does not accept its configuration",
        "A file has an error in the line that httpd names.",
        "Correct that line; `httpd -t` says whether it is right.",
        (r"Syntax error on line \d+", r"AH00526", r"AH00013: Pre-configuration failed"),
    ),
    Failure(
        "locked",
        "Another package manager is at work",
        "dnf, yum or rpm holds the lock on the database of packages.",
        "Let it finish. If it hangs, look at what it waits for before ending it.",
        (
            r"RPMDB already locked by",
            r"Waiting for process with pid",
            r"can't create transaction lock",
        ),
    ),
    Failure(
        "protected",
        "Packages would go that nobody agreed to lose",
        "What is asked for cannot be together with packages that the confirmed plan keeps.",
        "Look at the plan again: agree to lose them, or choose another MPM.",
        (r"would result in removing the following protected packages",),
    ),
    Failure(
        "cgi-left-behind",
        "Only the MPM was exchanged",
        "mod_cgi belongs to prefork and mod_cgid to event and worker; they have to change together "
        "with the MPM.",
        "Exchange both in one transaction; this panel always does.",
        (
            r"requires ea-apache24-mpm = (forked|threaded)",
            r"conflicts with ea-apache24-mod_cgid? ",
            r"mod_mpm_\w+\S* conflicts with ea-apache24-mod_cgid?\b",
        ),
    ),
    Failure(
        "ruid2-needs-prefork",
        "mod_ruid2 keeps the server on prefork",
        "mod_ruid2 (in cPanel's default profile) needs an MPM that forks.",
        "Remove ea-apache24-mod_ruid2 and add ea-apache24-mod_suexec, with PHP-FPM, so that "
        "code still "
        "runs as its user.",
        (r"mod_ruid2\S* requires ea-apache24-mpm = forked",),
    ),
    Failure(
        "suexec-conflict",
        "mod_suexec conflicts with itself",
        "Packages from August 2025 to March 2026 declared a conflict with what they provide.",
        "Update ea-apache24 to 2.4.66-5 or newer.",
        (r"mod_suexec\S* conflicts with ea-apache24-exec_code_asuser",),
    ),
    Failure(
        "mixed-versions",
        "Packages of different Apache versions",
        "Modules require exactly the Apache they were built with; two repositories are mixed or an "
        "update stopped halfway.",
        "Update all ea-apache24* together, from one repository.",
        (r"requires ea-apache24 = \S+", r"requires ea-apache24-mmn = \S+, but none"),
    ),
    Failure(
        "pagespeed-ruid2",
        "mod_pagespeed cannot be with mod_ruid2",
        "The packages exclude each other.",
        "Remove ea-apache24-mod_ruid2 first.",
        (r"mod_pagespeed\S* conflicts with \S*ruid2",),
    ),
    Failure(
        "qos-needs-worker",
        "mod-qos wants worker",
        "ea-apache24-mod-qos requires the worker MPM by name.",
        "Choose worker, or remove mod-qos.",
        (r"mod-qos\S* requires ea-apache24-mod_mpm_worker",),
    ),
    Failure(
        "no-such-package",
        "The repository does not have this package",
        "The package is not offered for this operating system, or its repository is off.",
        "Check that the EA4 repository is enabled: dnf repolist.",
        (r"Unable to find a match", r"No match for argument"),
    ),
    Failure(
        "repository-gone",
        "The repository cannot be reached",
        "Its address does not answer, or it was removed; a dead third-party repository stops all "
        "others as well.",
        "Check the network and the repository's address; switch off the one that is dead.",
        (
            r"Failed to download metadata for repo",
            r"Cache-only enabled but no cache",
            r"Error downloading packages",
            r"Cannot download .*: All mirrors were tried",
        ),
    ),
    Failure(
        "signature",
        "A package is not signed as it must be",
        "The key is missing or another one, the package is unsigned, or it was altered on the way.",
        "Do not go on. Import the right key, or clean the cache and fetch again (dnf clean all).",
        (
            r"is not signed",
            r"Public key for .* is not installed",
            r"wrong key\(s\)",
            r"GPG check FAILED",
            r"GPG signature verification error",
            r"has incorrect checksum",
        ),
    ),
    Failure(
        "disk-full",
        "The disk is full",
        "There is no room for the packages or for rpm's database.",
        "Make room (dnf clean packages, old logs), then run the doctor: a transaction that "
        "met a full "
        "disk can leave files missing that rpm believes in.",
        (r"needs \d+\s*[KMG]?B more space", r"No space left on device", r"Disk quota exceeded"),
    ),
    Failure(
        "scriptlet",
        "A package's own script failed",
        "A %pre, %preun or %post script ended with an error. A failing %pre leaves the old package "
        "erased and the new one missing; a failing %preun leaves both.",
        "The change is undone from its kit. Report the script's message to the package's maker.",
        (
            r"Error in (PREIN|PREUN|POSTIN|POSTUN) scriptlet",
            r"%(prein|preun|post|postun|pre)\(.*\) scriptlet failed",
            r"scriptlet failed, (signal|exit status)",
        ),
    ),
    Failure(
        "rpm-database",
        "rpm's database is damaged",
        "It was cut off while writing, or its disk was full.",
        "Save /var/lib/rpm, then rpm --rebuilddb; afterwards dnf clean all.",
        (
            r"rpmdb: .*(PANIC|corrupt)",
            r"error: .*rpmdb open failed",
            r"database disk image is malformed",
        ),
    ),
    Failure(
        "missing-files",
        "Files are missing although rpm believes they are there",
        "A transaction met a full disk or was killed in its last part.",
        "Reinstall the packages whose files are missing.",
        (r"(?m)^missing\s+(?:\S+\s+)?/",),
        REINSTALL,
    ),
    Failure(
        "unfinished-transaction",
        "An earlier transaction was never finished",
        "A package manager was killed or the machine went down while it worked.",
        "Find out what is installed twice or missing (dnf check), then finish it.",
        (
            r"unfinished transactions",
            r"The following packages are duplicates",
            r"is a duplicate with",
        ),
    ),
    Failure(
        "old-mpm-running",
        "The packages have changed, the running httpd has not",
        "httpd was only reloaded. A reload never changes the MPM, ServerLimit or ThreadLimit.",
        "Restart httpd fully (stop and start), then compare with server-status.",
        repair=RESTART,
    ),
    Failure(
        "foreign-mpm",
        "An MPM is loaded from outside the packages",
        "A LoadModule mpm_… line stands in a file no package owns. After a change of the MPM "
        "it names "
        "a module that is gone.",
        "Remove the line; the package's own file in conf.modules.d loads the MPM.",
    ),
    Failure(
        "pinned",
        "Packages are excluded or locked",
        "exclude= in dnf.conf or yum.conf, or a version lock, keeps packages from moving.",
        "Remove what names ea- packages, or move them on purpose.",
        (r"All matches were filtered out by exclude filtering", r"filtered out by exclude"),
    ),
    Failure(
        "code-as-nobody",
        "Scripts run as nobody",
        "No module that runs code as the account's user is installed; leaving mod_ruid2 or "
        "ITK without "
        "adding mod_suexec brings this about.",
        "Add ea-apache24-mod_suexec.",
    ),
    Failure(
        "unasked-removal",
        "Packages left that nobody asked to remove",
        "A profile describes the full set of packages: what it does not list is removed.",
        "Roll back from the history. Look at the list of removals before confirming a profile.",
        (r"Removing dependent packages:",),
    ),
    Failure(
        "event-or-worker",
        "The other threaded MPM came",
        "What was asked for was any threaded MPM, and the solver chose.",
        "Name the MPM explicitly; this panel does and verifies which one runs.",
        (r"Running MPM: expected (event|worker).*saw (worker|event)",),
    ),
    Failure(
        "limit-150",
        "After prefork the limit stays at 150",
        "cPanel's global MaxRequestWorkers of 150 holds for every MPM: event then serves six "
        "processes "
        "of 25 threads.",
        "Raise it in Global Configuration, or in pre_main_global.conf inside <IfModule>.",
        (r"MaxRequestWorkers is still 150",),
    ),
    Failure(
        "spare-servers-throttle",
        "prefork starves PHP-FPM",
        "Fewer spare servers than PHP-FPM has children: requests wait for a process.",
        "Raise MinSpareServers and MaxSpareServers, or use event.",
        (r"server seems busy, \(you may need to increase StartServers",),
    ),
    Failure(
        "event-untuned",
        "event seems slower than prefork",
        "Its limits still are those made for prefork.",
        "Set ServerLimit, ThreadsPerChild and MaxRequestWorkers for event; see the capacity page.",
        (r"AH00288", r"AH10159: server is within MinSpareThreads"),
    ),
    Failure(
        "httpd-down",
        "httpd does not run",
        "It ended or did not start; its error log says why.",
        "Test the configuration (httpd -t), then start it.",
        (r"httpd does not run", r"httpd \(no pid file\) not running"),
        START,
    ),
    Failure(
        "transaction-cut",
        "The transaction did not reach its end",
        "The package manager stopped halfway without a word: it was killed, the machine went down, "
        "or memory ran out.",
        "The change is undone from its kit. Look at the system log (dmesg, journalctl) for why.",
        (r"The packages are not as asked",),
        SETTLE,
        last_resort=True,
    ),
)
