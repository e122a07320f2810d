"""What no program complains about at once: habits, settings and leftovers that bring a
server down, or slow it down, later."""

from __future__ import annotations

from easyapache.host.failures.failure import RESTART, SETTLE, START, Failure

MANNERS: tuple[Failure, ...] = (
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
