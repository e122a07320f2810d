"""What dnf and rpm say, and what their transactions leave behind."""

from __future__ import annotations

from easyapache.ea4.conditions.condition import ACCEPT, REINSTALL, Failure
from easyapache.ea4.sentences import Sentence

PACKAGES: tuple[Failure, ...] = (
    Failure(
        "locked",
        Sentence("Another package manager is at work"),
        Sentence("dnf, yum or rpm holds the lock on the database of packages."),
        Sentence("Let it finish. If it hangs, look at what it waits for before ending it."),
        (
            r"RPMDB already locked by",
            r"Waiting for process with pid",
            r"can't create transaction lock",
            r"Failed to obtain the transaction lock",
        ),
    ),
    Failure(
        "protected",
        Sentence("Packages would go that nobody agreed to lose"),
        Sentence(
            "What is asked for cannot be together with packages that the confirmed plan keeps."
        ),
        Sentence("Look at the plan again: agree to lose them, or choose another MPM."),
        (r"would result in removing the following protected packages",),
    ),
    Failure(
        "cgi-left-behind",
        Sentence("Only the MPM was exchanged"),
        Sentence(
            "mod_cgi belongs to prefork and mod_cgid to event and worker; they have to "
            "change together with the MPM."
        ),
        Sentence("Exchange both in one transaction; this panel always does."),
        (
            r"ea-apache24-mod_cgid?-\S* requires ea-apache24-mpm = (forked|threaded)",
            r"conflicts with ea-apache24-mod_cgid? ",
            r"mod_mpm_\w+\S* conflicts with ea-apache24-mod_cgid?\b",
        ),
    ),
    Failure(
        "ruid2-needs-prefork",
        Sentence("mod_ruid2 keeps the server on prefork"),
        Sentence("mod_ruid2 (in cPanel's default profile) needs an MPM that forks."),
        Sentence(
            "Remove ea-apache24-mod_ruid2 and add ea-apache24-mod_suexec, with PHP-FPM, so "
            "that code still runs as its user."
        ),
        (r"mod_ruid2\S* requires ea-apache24-mpm = forked",),
    ),
    Failure(
        "suexec-conflict",
        Sentence("mod_suexec conflicts with itself"),
        Sentence(
            "Packages from August 2025 to March 2026 declared a conflict with what they provide."
        ),
        Sentence("Update ea-apache24 to 2.4.66-5 or newer."),
        (r"mod_suexec\S* conflicts with ea-apache24-exec_code_asuser",),
    ),
    Failure(
        "mixed-versions",
        Sentence("Packages of different Apache versions"),
        Sentence(
            "Modules require exactly the Apache they were built with; two repositories are "
            "mixed or an update stopped halfway."
        ),
        Sentence("Update all ea-apache24* together, from one repository."),
        (r"[Rr]equires:? ea-apache24 = \S+", r"requires ea-apache24-mmn = \S+, but none"),
    ),
    Failure(
        "pagespeed-ruid2",
        Sentence("mod_pagespeed cannot be with mod_ruid2"),
        Sentence("The packages exclude each other."),
        Sentence("Remove ea-apache24-mod_ruid2 first."),
        (r"mod_pagespeed\S* conflicts with \S*ruid2",),
    ),
    Failure(
        "qos-needs-worker",
        Sentence("mod-qos wants worker"),
        Sentence("ea-apache24-mod-qos requires the worker MPM by name."),
        Sentence("Choose worker, or remove mod-qos."),
        (r"mod-qos\S* requires ea-apache24-mod_mpm_worker",),
    ),
    Failure(
        "modular-filtering",
        Sentence("A module stream hides the package"),
        Sentence("dnf has the package, and modular filtering excludes it."),
        Sentence(
            "Disable the module stream that excludes it (dnf module list --enabled, dnf module "
            "disable NAME)."
        ),
        (r"filtered out by modular filtering",),
    ),
    Failure(
        "mpm-conflict",
        Sentence("Two MPMs cannot be installed together"),
        Sentence("The new MPM was installed without removing the old one."),
        Sentence("Exchange them in one transaction; this panel always does."),
        (
            (
                r"mod_mpm_(?:event|worker|prefork)\S* conflicts with \S*mod_mpm_(?:event|worker|"
                r"prefork)"
            ),
        ),
    ),
    Failure(
        "repository-incomplete",
        Sentence("The repository is being updated"),
        Sentence(
            "A package is there and what it needs is not yet: the mirror is only half updated."
        ),
        Sentence("Try again in an hour, after dnf clean metadata."),
        (r"nothing provides \S[^\n]* needed by ",),
    ),
    Failure(
        "key-too-old",
        Sentence("The repository's key is too old for this system"),
        Sentence(
            "The system's policy no longer accepts SHA-1 signatures or this key. The package "
            "was not altered."
        ),
        Sentence("Import the current key of the repository, then try again."),
        (
            r"Hash algorithm SHA1 not available",
            r"SHA1 is not considered secure",
            r"Key import failed \(code 2\)",
        ),
    ),
    Failure(
        "no-such-package",
        Sentence("The repository does not have this package"),
        Sentence("The package is not offered for this operating system, or its repository is off."),
        Sentence("Check that the EA4 repository is enabled: dnf repolist."),
        (r"Unable to find a match", r"No match for argument"),
    ),
    Failure(
        "repository-gone",
        Sentence("The repository cannot be reached"),
        Sentence(
            "Its address does not answer, or it was removed; a dead third-party repository "
            "stops all others as well."
        ),
        Sentence(
            "Check the network and the repository's address; switch off the one that is dead."
        ),
        (
            r"Failed to download metadata for repo",
            r"Cache-only enabled but no cache",
            r"Error downloading packages",
            r"Cannot download .*: All mirrors were tried",
            r"Could not retrieve mirrorlist",
            r"One of the configured repositories failed",
        ),
    ),
    Failure(
        "signature",
        Sentence("A package is not signed as it must be"),
        Sentence(
            "The key is missing or another one, the package is unsigned, or it was altered "
            "on the way."
        ),
        Sentence(
            "Do not go on. Import the right key, or clean the cache and fetch again (dnf "
            "clean all)."
        ),
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
        Sentence("The disk is full"),
        Sentence("There is no room for the packages or for rpm's database."),
        Sentence(
            "Make room (dnf clean packages, old logs), then run the doctor: a transaction "
            "that met a full disk can leave files missing that rpm believes in."
        ),
        (
            r"needs \d+\s*[KMG]?B more space",
            r"No space left on device(?!: AH00023)",
            r"Disk quota exceeded",
        ),
    ),
    Failure(
        "scriptlet",
        Sentence("A package's own script failed"),
        Sentence(
            "A %pre, %preun or %post script ended with an error. A failing %pre leaves the "
            "old package erased and the new one missing; a failing %preun leaves both."
        ),
        Sentence(
            "The change is undone from its kit. Report the script's message to the package's maker."
        ),
        (
            r"Error in (PREIN|PREUN|POSTIN|POSTUN) scriptlet",
            r"%(prein|preun|post|postun|pre)\(.*\) scriptlet failed",
            r"scriptlet failed, (signal|exit status)",
        ),
    ),
    Failure(
        "rpm-database",
        Sentence("rpm's database is damaged"),
        Sentence("It was cut off while writing, or its disk was full."),
        Sentence("Save /var/lib/rpm, then rpm --rebuilddb; afterwards dnf clean all."),
        (
            r"rpmdb: .*(PANIC|corrupt)",
            r"error: .*rpmdb open failed",
            r"database disk image is malformed",
        ),
    ),
    Failure(
        "missing-files",
        Sentence("Files are missing although rpm believes they are there"),
        Sentence("A transaction met a full disk or was killed in its last part."),
        Sentence("Reinstall the packages whose files are missing."),
        (r"(?m)^missing\s+(?:\S+\s+)?/",),
        REINSTALL,
    ),
    Failure(
        "unfinished-transaction",
        Sentence("An earlier transaction was never finished"),
        Sentence("A package manager was killed or the machine went down while it worked."),
        Sentence(
            "Accept the packages as they are, which is refused where anything is installed twice "
            "or missing; dnf check names what is."
        ),
        (
            r"unfinished transactions",
            r"The following packages are duplicates",
            r"is a duplicate with",
        ),
        ACCEPT,
    ),
)
