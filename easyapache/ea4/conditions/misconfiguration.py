"""What no program complains about at once: habits, settings and leftovers that bring a
server down, or slow it down, later."""

from __future__ import annotations

from easyapache.ea4.conditions.condition import RESTART, SETTLE, START, TAKE_BACK, Failure
from easyapache.ea4.sentences import Sentence

MANNERS: tuple[Failure, ...] = (
    Failure(
        "old-mpm-running",
        Sentence("The packages have changed, the running httpd has not"),
        Sentence(
            "httpd was only reloaded. A reload never changes the MPM, ServerLimit or ThreadLimit."
        ),
        Sentence("Restart httpd fully (stop and start), then compare with server-status."),
        (r"Running MPM: expected \w+, (?:saw|got) (event|worker|prefork)\b",),
        RESTART,
    ),
    Failure(
        "foreign-mpm",
        Sentence("An MPM is loaded from outside the packages"),
        Sentence(
            "A LoadModule mpm_… line stands in a file no package owns. After a change of "
            "the MPM it names a module that is gone."
        ),
        Sentence("Remove the line; the package's own file in conf.modules.d loads the MPM."),
    ),
    Failure(
        "pinned",
        Sentence("Packages are excluded or locked"),
        Sentence(
            "exclude= in dnf.conf or yum.conf, or a version lock, keeps packages from moving."
        ),
        Sentence("Remove what names ea- packages, or move them on purpose."),
        (r"All matches were filtered out by exclude filtering", r"filtered out by exclude"),
    ),
    Failure(
        "code-as-nobody",
        Sentence("Scripts run as nobody"),
        Sentence(
            "No module that runs code as the account's user is installed; leaving "
            "mod_ruid2 or ITK without adding mod_suexec brings this about."
        ),
        Sentence("Add ea-apache24-mod_suexec."),
    ),
    Failure(
        "unasked-removal",
        Sentence("Packages left that nobody asked to remove"),
        Sentence("A profile describes the full set of packages: what it does not list is removed."),
        Sentence(
            "Roll back from the history. Look at the list of removals before confirming a profile."
        ),
    ),
    Failure(
        "event-or-worker",
        Sentence("The other threaded MPM came"),
        Sentence("What was asked for was any threaded MPM, and the solver chose."),
        Sentence("Name the MPM explicitly; this panel does and verifies which one runs."),
        (r"MPM package: expected (event|worker), (?:saw|got) (worker|event)\b",),
    ),
    Failure(
        "limit-150",
        Sentence("After prefork the limit stays at 150"),
        Sentence(
            "cPanel's global MaxRequestWorkers of 150 holds for every MPM: event then "
            "serves six processes of 25 threads."
        ),
        Sentence(
            "Raise it in Global Configuration or in pre_virtualhost_global.conf. In "
            "pre_main_global.conf it has no effect: the generated value comes later."
        ),
    ),
    Failure(
        "spare-servers-throttle",
        Sentence("prefork starves PHP-FPM"),
        Sentence("Fewer spare servers than PHP-FPM has children: requests wait for a process."),
        Sentence("Raise MinSpareServers and MaxSpareServers, or use event."),
        (r"AH00162",),
        under_load=True,
    ),
    Failure(
        "event-untuned",
        Sentence("event seems slower than prefork"),
        Sentence("Its limits still are those made for prefork."),
        Sentence(
            "Set ServerLimit, ThreadsPerChild and MaxRequestWorkers for event; see the "
            "capacity page."
        ),
        (r"AH10159", r"AH00486"),
        under_load=True,
    ),
    Failure(
        "httpd-down",
        Sentence("httpd does not run"),
        Sentence("It ended or did not start; its error log says why."),
        Sentence("Test the configuration (httpd -t), then start it."),
        (
            r"httpd does not run",
            r"httpd \(no pid file\) not running",
            r"httpd dead but pid file exists",
        ),
        START,
    ),
    Failure(
        "half-way",
        Sentence("A change ended half-way"),
        Sentence(
            "It failed after it had begun to move packages, and undoing it failed as well: the "
            "server is neither as it was nor as it was asked to be."
        ),
        Sentence(
            "Take the change back: its rollback kit brings back what was before, whatever state "
            "the server is in. As root: sh kit/undo in the folder of the change."
        ),
        repair=TAKE_BACK,
    ),
    Failure(
        "transaction-cut",
        Sentence("The transaction did not reach its end"),
        Sentence(
            "The package manager stopped halfway without a word: it was killed, the "
            "machine went down, or memory ran out."
        ),
        Sentence(
            "The change is undone from its kit. Look at the system log (dmesg, journalctl) for why."
        ),
        (r"The installed packages don't match the plan", r"The packages are not as asked"),
        SETTLE,
        last_resort=True,
    ),
)
