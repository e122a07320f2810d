"""What a selection means for a server: seen in a plan alone."""

from __future__ import annotations

from easyapache.ea4.conditions.condition import BLOCK, GAIN, NOTE, PLAN, WARN, Condition
from easyapache.ea4.sentences import Sentence, marked

SELECTION: tuple[Condition, ...] = (
    Condition(
        "itk_needs_apache_24",
        BLOCK,
        Sentence("MPM ITK requires Apache 2.4"),
        Sentence("MPM ITK exists for Apache 2.4 only."),
        Sentence("Update Apache first, or disable MPM ITK."),
        listed_in=(PLAN,),
    ),
    Condition(
        "itk_is_a_switch",
        BLOCK,
        Sentence("MPM ITK is an add-on, not an extra package"),
        Sentence("MPM ITK is disabled in the selection, and its package is an extra package."),
        Sentence("Enable MPM ITK instead of adding its package."),
        listed_in=(PLAN,),
    ),
    Condition(
        "more_than_one_mpm",
        BLOCK,
        Sentence("Only one MPM can be selected"),
        Sentence("Apache starts with exactly one MPM."),
        marked("Select {name}, or don't add it."),
        listed_in=(PLAN,),
    ),
    Condition(
        "package_not_for_this_system",
        BLOCK,
        marked("{name} isn't built for this operating system"),
        Sentence(
            "PHP as an Apache module exists up to PHP 7.4, and not for newer operating systems."
        ),
        marked("Use {php}-php-fpm instead."),
        listed_in=(PLAN,),
    ),
    Condition(
        "extra_package_conflicts",
        BLOCK,
        marked("{name} doesn't work with {choice}"),
        Sentence("An extra package must work with the selected MPM."),
        marked("Don't add it, or select {ways}."),
        listed_in=(PLAN,),
    ),
    Condition(
        "beyond_the_mpm",
        BLOCK,
        Sentence("This is more than a change of the MPM"),
        Sentence("This panel changes the MPM, MPM ITK, and the packages that belong to them."),
        Sentence("Use the server's package manager for other packages."),
        listed_in=(PLAN,),
    ),
    Condition(
        "kept_package_removed",
        BLOCK,
        Sentence("A package you keep would be removed"),
        Sentence("It doesn't work with the selected MPM."),
        Sentence("Allow its removal, or select an MPM that it works with."),
        listed_in=(PLAN,),
    ),
    Condition(
        "kept_package_not_installed",
        WARN,
        Sentence("A package to keep is not installed"),
        Sentence("Only installed packages can be kept."),
        Sentence("Add it instead of keeping it, or leave it out."),
        listed_in=(PLAN,),
    ),
    Condition(
        "nothing_to_do",
        NOTE,
        Sentence("No changes needed"),
        Sentence("This server already has this configuration."),
        listed_in=(PLAN,),
    ),
    Condition(
        "default_mpm",
        NOTE,
        Sentence("prefork is the default"),
        Sentence("Without a selection, EasyApache 4 installs prefork."),
        listed_in=(PLAN,),
    ),
    Condition(
        "no_state_to_restore",
        BLOCK,
        Sentence("There is no working state to roll back to"),
        Sentence(
            "Before this change the server didn't have exactly one MPM, and Apache can't start "
            "that way."
        ),
        Sentence("Select an MPM instead of rolling back."),
        listed_in=(PLAN,),
    ),
    Condition(
        "itk_replaces_modules",
        NOTE,
        Sentence("MPM ITK replaces other modules"),
        Sentence("They conflict with MPM ITK, which itself runs every site as its own user."),
        listed_in=(PLAN,),
    ),
    Condition(
        "php_handlers_change",
        WARN,
        Sentence("PHP handlers must change"),
        Sentence("suPHP and FastCGI handlers don't work with MPM ITK."),
        Sentence("Set the PHP handler of these sites to CGI before the change."),
        listed_in=(PLAN,),
    ),
    Condition(
        "itk_seccomp",
        WARN,
        Sentence("mail(), shell_exec(), and sudo may stop working"),
        Sentence(
            "MPM ITK uses seccomp to limit which users a site's process can switch to. Programs "
            "that change their user, like the sendmail behind PHP's mail(), then fail with "
            '"setuid: Operation not permitted".'
        ),
        Sentence(
            "Let sites send mail through SMTP. Widening LimitUIDRange and LimitGIDRange helps too, "
            "but gives up the protection."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "itk_limits",
        NOTE,
        Sentence("Limits of MPM ITK"),
        Sentence(
            "No HTTP/2 and no UserDir (/~user/). A keep-alive connection that requests a site of "
            "another user is closed. Every connection forks a process, which costs time and "
            "memory. PHP runs through the CGI handler."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "packages_removed",
        WARN,
        marked("{names} will be removed"),
        Sentence("It wasn't part of your selection. Check that no site needs it."),
        Sentence("Keep it: the change is then blocked."),
        listed_in=(PLAN,),
    ),
    Condition(
        "updates_included",
        WARN,
        Sentence("This change also updates packages"),
        Sentence("Apache modules work with exactly one version of Apache."),
        Sentence("Update first and change the MPM afterwards, to see the effect of each."),
        listed_in=(PLAN,),
    ),
    Condition(
        "apache_downgraded",
        BLOCK,
        Sentence("Apache would be downgraded"),
        Sentence(
            "The repositories offer the selected MPM only for an older Apache than the installed "
            "one, as in cPanel's delayed repository."
        ),
        Sentence(
            "Wait until the repository offers the installed version, or enable the repository it "
            "was installed from."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "cgi_swapped",
        NOTE,
        Sentence("The CGI module changes"),
        Sentence("With threads a separate daemon starts CGI programs. Sites need no change."),
        listed_in=(PLAN,),
    ),
    Condition(
        "http2_installed",
        GAIN,
        Sentence("HTTP/2 will be enabled"),
        Sentence("mod_http2 will be installed. Browsers use it automatically over HTTPS."),
        listed_in=(PLAN,),
    ),
    Condition(
        "http2_behind_nginx",
        NOTE,
        Sentence("nginx keeps serving HTTP/2"),
        Sentence(
            "mod_http2 will be removed, but visitors connect to nginx, which decides on HTTP/2."
        ),
        listed_in=(PLAN,),
    ),
    Condition(
        "lsapi_without_its_user",
        WARN,
        Sentence("mod_lsapi doesn't work with MPM ITK or mod_ruid2"),
        Sentence(
            "It starts PHP as each site's user itself, with the user that SuexecUserGroup names. "
            "CloudLinux supports neither combination."
        ),
        Sentence("Give the sites another PHP handler first, or select event or worker."),
        listed_in=(PLAN,),
    ),
    Condition(
        "http2_possible",
        GAIN,
        Sentence("HTTP/2 becomes available"),
        Sentence("mod_http2 needs threads. You can install it with this change."),
        listed_in=(PLAN,),
    ),
    Condition(
        "hcheck_needs_threads",
        WARN,
        Sentence("Health checks of proxied servers stop"),
        Sentence(
            "mod_proxy_hcheck crashes under prefork and will be removed. Balancers then don't "
            "notice when a member is down, and hcheck directives outside of <IfModule> keep Apache "
            "from starting."
        ),
        Sentence("Remove hc… parameters from BalancerMember lines, or keep event or worker."),
        listed_in=(PLAN,),
    ),
    Condition(
        "hcheck_installed",
        GAIN,
        Sentence("Health checks of proxied servers will be enabled"),
        Sentence("mod_proxy_hcheck will be installed."),
        listed_in=(PLAN,),
    ),
    Condition(
        "hcheck_possible",
        GAIN,
        Sentence("Health checks of proxied servers become available"),
        Sentence("This server balances load, and mod_proxy_hcheck works with threads."),
        listed_in=(PLAN,),
    ),
    Condition(
        "one_process_per_request",
        NOTE,
        Sentence("Every connection needs a process"),
        Sentence(
            "prefork serves one connection per process, including keep-alive connections. The same "
            "number of visitors needs more memory than with threads."
        ),
        Sentence("Compare the memory in the capacity section before you confirm."),
        listed_in=(PLAN,),
    ),
)
