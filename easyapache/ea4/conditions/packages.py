"""What dnf and rpm write, and what their transactions leave behind."""

from __future__ import annotations

from easyapache.ea4.conditions import evidence
from easyapache.ea4.conditions.condition import (
    ACCEPT,
    BLOCK,
    CHANGE,
    HEALTH,
    NOTE,
    PLAN,
    PREFLIGHT,
    REINSTALL,
    SETTLE,
    WARN,
    Condition,
)
from easyapache.ea4.sentences import Sentence

PACKAGES: tuple[Condition, ...] = (
    Condition(
        "package_manager_busy",
        BLOCK,
        Sentence("The package manager is busy"),
        Sentence("Another dnf, yum, or rpm holds the lock on the package database."),
        Sentence(
            "Wait until it finishes, then try again. If it hangs, find out what it waits for; "
            "don't kill it."
        ),
        listed_in=(PREFLIGHT, CHANGE),
        patterns=(
            r"RPMDB already locked by",
            r"already locked by \d+",
            r"Waiting for process with pid",
            r"can't create transaction lock",
            r"Failed to obtain (?:the transaction|rpm transaction) lock",
        ),
    ),
    Condition(
        "stale_lock",
        BLOCK,
        Sentence("A lock file was left behind"),
        Sentence(
            "The package manager that wrote the lock file ended, and another process has its "
            "process ID now."
        ),
        Sentence("Remove the lock file."),
        listed_in=(PREFLIGHT,),
    ),
    Condition(
        "whm_resolves_differently",
        NOTE,
        Sentence("WHM would change other packages"),
        Sentence(
            "dnf makes the change, and this plan is its answer. WHM's package manager resolved the "
            "same packages differently; it has its own list of exclusions and may use other "
            "repositories."
        ),
        Sentence("Compare with WHM » EasyApache 4 » Customize before you confirm."),
        listed_in=(PLAN,),
    ),
    Condition(
        "protected",
        BLOCK,
        Sentence("Packages that must be kept would be removed"),
        Sentence("The selection conflicts with packages that the confirmed plan keeps."),
        Sentence("Refresh the plan. Allow their removal, or select another MPM."),
        listed_in=(CHANGE,),
        patterns=(r"removing the following protected packages",),
    ),
    Condition(
        "cgi_module_mismatch",
        BLOCK,
        Sentence("Only the MPM was replaced, not its CGI module"),
        Sentence(
            "mod_cgi belongs to prefork, and mod_cgid to event and worker. They change together "
            "with the MPM."
        ),
        Sentence("Replace both in one transaction, as this panel does."),
        patterns=(
            r"ea-apache24-mod_cgid?-\S* requires ea-apache24-mpm = (forked|threaded)",
            r"conflicts with ea-apache24-mod_cgid? ",
            r"mod_mpm_\w+\S* conflicts with ea-apache24-mod_cgid?\b",
        ),
    ),
    Condition(
        "ruid2_needs_prefork",
        BLOCK,
        Sentence("mod_ruid2 requires prefork"),
        Sentence("mod_ruid2, part of cPanel's default profile, needs an MPM that forks."),
        Sentence(
            "Remove ea-apache24-mod_ruid2 and install ea-apache24-mod_suexec, so that scripts "
            "still run as the account's user."
        ),
        patterns=(r"mod_ruid2\S* requires ea-apache24-mpm = forked",),
    ),
    Condition(
        "suexec_conflicts_with_itself",
        WARN,
        Sentence("This mod_suexec conflicts with itself"),
        Sentence(
            "mod_suexec from 2.4.65-4 to before 2.4.66-5 declares a conflict with what it "
            "provides, so dnf may refuse to install it."
        ),
        Sentence("Update ea-apache24 to 2.4.66-5 or later first."),
        listed_in=(PLAN,),
        patterns=(r"mod_suexec\S* conflicts with ea-apache24-exec_code_asuser",),
    ),
    Condition(
        "mixed_versions",
        WARN,
        Sentence("Modules and Apache have different versions"),
        Sentence(
            "Modules require exactly the Apache version they were built for. Two repositories are "
            "mixed, or an update was interrupted."
        ),
        Sentence("Update all of them together from one repository: dnf update 'ea-apache24*'"),
        listed_in=(PLAN,),
        patterns=(
            r"[Rr]equires:? ea-apache24 = \S+",
            r"requires ea-apache24-mmn = \S+, but none",
        ),
    ),
    Condition(
        "pagespeed_conflicts_with_ruid2",
        BLOCK,
        Sentence("mod_pagespeed conflicts with mod_ruid2"),
        Sentence("Only one of the two packages can be installed."),
        Sentence("Remove ea-apache24-mod_ruid2 first."),
        patterns=(r"mod_pagespeed\S* conflicts with \S*ruid2",),
    ),
    Condition(
        "qos_needs_worker",
        WARN,
        Sentence("mod-qos requires worker"),
        Sentence(
            "ea-apache24-mod-qos requires the worker MPM by name. Without it its limits no longer "
            "apply, and QS_ directives outside of <IfModule> keep Apache from starting."
        ),
        Sentence("Select worker, or remove the QS_ directives first."),
        listed_in=(PLAN,),
        patterns=(r"mod-qos\S* requires ea-apache24-mod_mpm_worker",),
    ),
    Condition(
        "modular_filtering",
        BLOCK,
        Sentence("A module stream hides the package"),
        Sentence("dnf has the package, but modular filtering excludes it."),
        Sentence(
            "Disable the module stream that excludes it: dnf module list --enabled, then dnf "
            "module disable NAME."
        ),
        patterns=(r"filtered out by modular filtering",),
    ),
    Condition(
        "excluded",
        BLOCK,
        Sentence("The package manager excludes these packages"),
        Sentence(
            "exclude=, excludepkgs=, or includepkgs= in dnf's configuration or in a repository's "
            "file hides packages that this change needs."
        ),
        Sentence(
            "Remove the pattern from dnf.conf, yum.conf, or the repository's file, then refresh "
            "the plan."
        ),
        listed_in=(PLAN, PREFLIGHT),
        seen=evidence.excluded,
        patterns=(r"filtered out by exclude",),
    ),
    Condition(
        "version_locked",
        BLOCK,
        Sentence("Packages are locked to a version"),
        Sentence("A version lock of dnf keeps packages from changing."),
        Sentence("List the locks with dnf versionlock list, and remove one with delete."),
        listed_in=(PLAN, PREFLIGHT),
        seen=evidence.version_locked,
        patterns=(r"excluded by versionlock", r"versionlock plugin: .*excluded"),
    ),
    Condition(
        "mpm_conflict",
        BLOCK,
        Sentence("Two MPMs can't be installed together"),
        Sentence("The new MPM was to be installed without removing the old one."),
        Sentence("Replace the MPM in one transaction, as this panel does."),
        patterns=(
            (
                r"mod_mpm_(?:event|worker|prefork)\S* (?:from \S+ )?conflicts (?:with )?"
                r"(?:\S*mod_mpm_(?:event|worker|prefork)|ea-apache24-mpm = \w+ provided by)"
            ),
        ),
    ),
    Condition(
        "repository_incomplete",
        BLOCK,
        Sentence("The repository is being updated"),
        Sentence(
            "The repository offers a package but not yet what it requires: the mirror is only "
            "partly updated."
        ),
        Sentence("Try again in an hour, after dnf clean metadata."),
        patterns=(r"nothing provides \S[^\n]* needed by ",),
    ),
    Condition(
        "key_too_old",
        BLOCK,
        Sentence("The repository's key is too old for this system"),
        Sentence(
            "The system's policy no longer accepts SHA-1 signatures or this key. The package was "
            "not altered."
        ),
        Sentence("Import the repository's current key, then try again."),
        patterns=(
            r"Hash algorithm SHA1 not available",
            r"SHA1 is not considered secure",
            r"Key import failed \(code 2\)",
        ),
    ),
    Condition(
        "no_such_package",
        BLOCK,
        Sentence("No repository offers the package"),
        Sentence(
            "The name is misspelled, the package isn't built for this operating system, or its "
            "repository is disabled."
        ),
        Sentence(
            "Check the name, and check that the EA4 repository is enabled (dnf repolist). Then run "
            "dnf clean expire-cache."
        ),
        listed_in=(PLAN, CHANGE),
        patterns=(r"Unable to find a match", r"No match for argument"),
    ),
    Condition(
        "repository_unreachable",
        BLOCK,
        Sentence("A package repository can't be reached"),
        Sentence(
            "Its address doesn't respond, or it was removed. One unreachable repository is enough "
            "to stop dnf."
        ),
        Sentence(
            "Check the network and the repository's address (dnf repolist -v), or disable the "
            "repository that doesn't respond."
        ),
        listed_in=(CHANGE,),
        patterns=(
            r"Failed to download metadata",
            r"Cannot download repomd",
            r"Cannot prepare internal mirrorlist",
            r"Cache-only enabled but no cache",
            r"Error downloading packages",
            r"No more mirrors to try",
            r"All mirrors were tried",
            r"Could not retrieve mirrorlist",
            r"One of the configured repositories failed",
        ),
    ),
    Condition(
        "unsigned_repository",
        BLOCK,
        Sentence("A repository's signatures aren't checked"),
        Sentence("Without gpgcheck, anyone on the network path can replace its packages."),
        Sentence("Set gpgcheck=1 and gpgkey= in the repository's file."),
        listed_in=(PREFLIGHT,),
    ),
    Condition(
        "bad_signature",
        BLOCK,
        Sentence("A package or repository isn't signed by a trusted key"),
        Sentence(
            "The key is missing or a different one, the package is unsigned, or it was altered on "
            "the way."
        ),
        Sentence(
            "Don't install it. Compare the repository's gpgkey with its publisher's, then run dnf "
            "clean all."
        ),
        listed_in=(CHANGE,),
        patterns=(
            r"is not signed",
            r"Public key for .* is not installed",
            r"wrong key\(s\)",
            r"GPG check FAILED",
            r"GPG signature verification error",
            r"Problem opening package",
            r"repomd\.xml GPG",
            r"Failed to retrieve GPG key",
            r"Curl error \(37\)",
            r"SIGNATURES NOT OK",
        ),
    ),
    Condition(
        "bad_checksum",
        BLOCK,
        Sentence("A downloaded file has the wrong checksum"),
        Sentence("The file is not the one the repository describes; a mirror may be outdated."),
        Sentence("Run dnf clean all, then try again later."),
        listed_in=(CHANGE,),
        patterns=(
            r"has incorrect checksum",
            r"Downloading successful, but checksum doesn't match",
        ),
    ),
    Condition(
        "disk_full",
        BLOCK,
        Sentence("The disk is full"),
        Sentence(
            "There is no room for the packages, the restore point, or the rpm database. A "
            "transaction on a full disk can leave files missing."
        ),
        Sentence("Free some space (dnf clean packages, old logs), then try again."),
        listed_in=(PREFLIGHT, CHANGE),
        patterns=(
            r"needs \d+\s*[KMG]?B more space",
            r"No space left on device(?!: AH00023)",
            r"Not enough free space",
            r"Disk Requirements",
            r"Disk quota exceeded",
        ),
    ),
    Condition(
        "scriptlet_failed",
        BLOCK,
        Sentence("A package's scriptlet failed"),
        Sentence(
            "A %pre, %preun, or %post scriptlet ended with an error. After a failed %pre the old "
            "package is removed and the new one is missing; after a failed %preun both are "
            "installed."
        ),
        Sentence("Report the message to the package's publisher."),
        patterns=(
            r"Error in (PREIN|PREUN|POSTIN|POSTUN) scriptlet",
            r"%(prein|preun|post|postun|pre)\(.*\) scriptlet failed",
            r"scriptlet failed, (signal|exit status)",
        ),
    ),
    Condition(
        "rpm_database",
        BLOCK,
        Sentence("The rpm database is damaged"),
        Sentence("A write to it was interrupted, or its disk was full."),
        Sentence(
            "Check the disk for space and errors, save /var/lib/rpm, and run rpm --rebuilddb, then "
            "dnf clean all."
        ),
        listed_in=(CHANGE,),
        patterns=(
            r"rpmdb: .*(PANIC|corrupt)",
            r"error: .*rpmdb open failed",
            r"database disk image is malformed",
        ),
    ),
    Condition(
        "files_missing",
        BLOCK,
        Sentence("Files of installed packages are missing"),
        Sentence(
            "The rpm database lists files that don't exist: a transaction met a full disk, was "
            "killed, or files were deleted."
        ),
        Sentence("In Diagnostics, run the repair “Reinstall missing files”."),
        REINSTALL,
        listed_in=(PLAN, PREFLIGHT, HEALTH),
        seen=evidence.files_missing,
        patterns=(r"(?m)^missing\s+(?:\S+\s+)?/",),
    ),
    Condition(
        "unfinished_transaction",
        BLOCK,
        Sentence("A package transaction was interrupted"),
        Sentence("A package manager was killed, or the server went down while it was running."),
        Sentence(
            "In Diagnostics, run the repair “Accept the packages as they are”. If it is refused, "
            "dnf check lists what is wrong."
        ),
        ACCEPT,
        listed_in=(PLAN, PREFLIGHT, HEALTH),
        seen=evidence.unfinished_transaction,
        patterns=(r"unfinished transactions",),
    ),
    Condition(
        "duplicate_packages",
        BLOCK,
        Sentence("Packages are installed twice"),
        Sentence("An interrupted update left two builds of a package in the rpm database."),
        Sentence("Run dnf remove --duplicates, or remove the wrong build with rpm -e."),
        listed_in=(PLAN, PREFLIGHT),
        seen=evidence.duplicate_packages,
        patterns=(r"The following packages are duplicates", r"is a duplicate with"),
    ),
    Condition(
        "unsatisfiable",
        BLOCK,
        Sentence("These packages can't be installed together"),
        Sentence("The packages of this selection require or exclude each other."),
        Sentence("Remove extra packages from the selection, or select another MPM."),
        listed_in=(PLAN, CHANGE),
        patterns=(r"(?m)^\s*(?:Error:\s*)?Problem(?: \d+)?: ", r"conflicting requests"),
        last_resort=True,
    ),
    Condition(
        "transaction_failed",
        BLOCK,
        Sentence("The package transaction didn't complete"),
        Sentence(
            "The package manager stopped in the middle: it was killed, the server went down, or "
            "memory ran out."
        ),
        Sentence("The system log (dmesg, journalctl) says why."),
        SETTLE,
        listed_in=(CHANGE,),
        patterns=(r"Transaction failed", r"Error unpacking"),
        last_resort=True,
    ),
)
