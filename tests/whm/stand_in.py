"""A folder in which things are as on a machine with WHM, for what the project puts there.

The programs of WHM that are called are stand-ins, after cPanel's documentation: register_appconfig
refuses a file without what it requires and keeps its own copy, and Whostmgr::ACLS knows who has
which privilege. Perl is the distribution's and runs the project's CGI program for real.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from easyapache.installed.layout import Layout

PROJECT = Path(__file__).resolve().parents[2]

REGISTER = """\
#!/usr/bin/perl
use strict; use warnings; use FindBin; use File::Copy; use File::Basename;
my $root = "$FindBin::Bin/../../../..";
open my $log, '>>', "$root/restarts" or die; print $log "cpsrvd\\n"; close $log;
my ($file) = @ARGV; my %key; my $docroot = "$root/usr/local/cpanel/whostmgr/docroot";
open my $in, '<', $file or die "$file: $!\\n";
while (<$in>) { next if /^#/; chomp; my ($k, $v) = split /=/, $_, 2; $key{$k} = $v }
for (qw(service url acls)) { die "$_ is required\\n" if !length($key{$_} // '') }
die "url must begin with /\\n" if $key{url} !~ m{^/};
die "the program is missing\\n" if !-x "$docroot$key{url}";
die "the entry leads nowhere\\n" if !-e "$docroot/cgi/$key{entryurl}";
die "the icon is missing\\n" if !-e "$docroot/addon_plugins/$key{icon}";
copy($file, "$root/var/cpanel/apps/" . basename($file)) or die "$!\\n";
chmod 0600, "$root/var/cpanel/apps/" . basename($file);
print "$key{name} registered\\n";
"""
UNREGISTER = """\
#!/usr/bin/perl
use strict; use warnings; use FindBin;
my $root = "$FindBin::Bin/../../../..";
open my $log, '>>', "$root/restarts" or die; print $log "cpsrvd\\n"; close $log;
unlink "$root/var/cpanel/apps/$ARGV[0].conf" or die "$ARGV[0] is not registered\\n";
"""
ACLS = """\
package Whostmgr::ACLS;
use strict; use warnings;
my %has;
my $ready = 0;
sub init_acls {
    my $file = $INC{'Whostmgr/ACLS.pm'} =~ s{[^/]+\\z}{resellers}r;
    %has = (); $ready = 1;
    open my $in, '<', $file or die "$file: $!";
    while (<$in>) {
        chomp; my ($name, @acls) = split /[:,]/;
        next if $name ne ($ENV{REMOTE_USER} // '');
        $has{$_} = 1 for @acls;
    }
}
sub hasroot { die 'init_acls first' if !$ready; return $has{all} ? 1 : 0 }
sub checkacl { die 'init_acls first' if !$ready; return $has{all} || $has{$_[0]} ? 1 : 0 }
1;
"""
COMMAND = """\
#!/bin/sh
cd {project} || exit 3
test -z "$REMOTE_USER$cp_security_token$PYTHONPATH" || exit 4
exec {python} - "$@" <<'END'
import sys
from pathlib import Path
from easyapache.installed import __main__ as program
from easyapache.installed.layout import Layout
program.Layout = lambda: Layout(Path({root!r}))
program.os.geteuid = lambda: 0
sys.exit(program.main(sys.argv[1:]))
END
"""


@dataclass
class StandIn:
    """``root`` is what ``/`` is on a real machine."""

    root: Path
    layout: Layout = field(init=False)

    def __post_init__(self) -> None:
        self.layout = Layout(self.root)
        cpanel = self.root / "usr/local/cpanel"
        for name in (
            *("usr/local/cpanel/bin", "usr/local/cpanel/3rdparty/bin", "usr/sbin"),
            *("usr/local/cpanel/Whostmgr", "usr/local/cpanel/whostmgr/docroot/cgi/addons"),
            *("usr/local/cpanel/whostmgr/docroot/addon_plugins", "var/cpanel/apps"),
            *("usr/local/cpanel/Cpanel/Config/ConfigObj/Driver", "etc/ea4-mpm/secrets"),
            *("opt/ea4-mpm", "var/lib/ea4-mpm/agent"),
        ):
            (self.root / name).mkdir(parents=True)
        (cpanel / "3rdparty/bin/perl").symlink_to("/usr/bin/perl")
        for name, text in (("register_appconfig", REGISTER), ("unregister_appconfig", UNREGISTER)):
            (cpanel / "bin" / name).write_text(text)
            (cpanel / "bin" / name).chmod(0o755)
        (cpanel / "Whostmgr/ACLS.pm").write_text(ACLS)
        self.resellers("root:all", "support:list-accts,software-EA4MPM", "shop:list-accts")
        command = self.root / "usr/sbin/ea4-mpm"
        command.write_text(
            COMMAND.format(project=PROJECT, python=sys.executable, root=str(self.root))
        )
        command.chmod(0o755)
        self.layout.agent_toml.write_text('server = "web03"\n')
        self.layout.agent_env.write_text('EA4_SERVER="web03"\n')

    def resellers(self, *lines: str) -> None:
        (self.root / "usr/local/cpanel/Whostmgr/resellers").write_text("\n".join(lines) + "\n")

    @property
    def restarts(self) -> int:
        """How often cpsrvd would have been restarted."""
        path = self.root / "restarts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    @property
    def program(self) -> Path:
        return self.root / "usr/local/cpanel/whostmgr/docroot/cgi/addons/ea4mpm/index.cgi"

    def files(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    def open(self, user: str | None, **more: str) -> subprocess.CompletedProcess[str]:
        """What cpsrvd does when somebody opens the entry."""
        return subprocess.run(
            [self.program],
            env=environment(user, more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def environment(user: str | None, more: Mapping[str, str]) -> dict[str, str]:
    values = {
        "PATH": "/tmp/evil:/usr/bin:/bin",
        "PYTHONPATH": "/tmp/evil",
        "BASH_ENV": "/tmp/evil",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/cgi/addons/ea4mpm/index.cgi",
        "cp_security_token": "/cpsess0123456789",
        **({} if user is None else {"REMOTE_USER": user}),
        **more,
    }
    return {name: value for name, value in values.items() if os.fsencode(value) or name}
