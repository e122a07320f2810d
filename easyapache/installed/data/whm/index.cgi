#!@PERL@ -T
# Opens the panel for the WHM user who clicks its entry in WHM's menu.
#
# WHM runs this as root, also for resellers: so privileges are checked before anything else is done.
# The private key is not read here. A command that root alone can run signs a ticket, which is good
# for a minute and once, and the browser takes it to the panel in the body of a form.
use strict;
use warnings;
use lib '@CPANEL@';
use Fcntl qw(O_RDONLY);

my @COMMAND = ('@COMMAND@', 'whm', 'ticket');
my $PRIVILEGE = 'software-EA4MPM';
my $PATIENCE  = 30;      # seconds for the command
my $MOST      = 8192;    # bytes of its answer

my $STYLE    = ':root{color-scheme:light dark}'
  . 'body{font:16px/1.5 system-ui,sans-serif;max-width:38rem;margin:3rem auto;padding:0 1rem}'
  . 'button{font:inherit;font-weight:600;padding:.5rem 1rem}';

# By the browser's first language, as the panel itself does for whoever has chosen none.
my %GERMAN = (
    'You don’t have permission to open this page. It needs all privileges, or “EasyApache 4 MPM” '
      . 'in WHM » Edit Reseller Privileges.' =>
      'Sie dürfen diese Seite nicht öffnen. Nötig sind alle Rechte oder „EasyApache 4 MPM“ '
      . 'unter WHM » Edit Reseller Privileges.',
    'This page takes no form.'          => 'Diese Seite nimmt kein Formular an.',
    'WHM did not say who is signed in.' => 'WHM hat nicht mitgeteilt, wer angemeldet ist.',
    'The ticket for the panel could not be created. As root, run:' =>
      'Das Ticket für das Panel konnte nicht erstellt werden. Führen Sie als root aus:',
    'Opening the panel at' => 'Das Panel wird geöffnet:',
    'Open the panel'       => 'Panel öffnen',
    'The button works once, and for one minute.' =>
      'Die Schaltfläche funktioniert einmal und eine Minute lang.',
    'Back to WHM' => 'Zurück zu WHM',
);
my $LANGUAGE = ($ENV{HTTP_ACCEPT_LANGUAGE} || '') =~ m{\A\s*de\b}i ? 'de' : 'en';

my $user    = defined $ENV{REMOTE_USER}       ? $ENV{REMOTE_USER}       : '';
my $token   = defined $ENV{cp_security_token} ? $ENV{cp_security_token} : '';
my $method  = defined $ENV{REQUEST_METHOD}    ? $ENV{REQUEST_METHOD}    : '';
my ($prefix) = $token =~ m{\A(/cpsess[0-9]{1,20})\z};
$prefix = '' if !defined $prefix;

main();
exit 0;

sub main {
    my $privilege = privilege();
    return refusal(403, 'You don’t have permission to open this page. It needs all privileges, '
          . 'or “EasyApache 4 MPM” in WHM » Edit Reseller Privileges.')
      if $privilege eq '';
    return refusal(405, 'This page takes no form.') if $method !~ m{\A(?:GET|HEAD)\z};
    my ($name) = $user =~ m{\A([A-Za-z0-9][A-Za-z0-9._-]{0,63})\z};
    return refusal(403, 'WHM did not say who is signed in.') if !defined $name;
    my ($panel, $ticket) = ticket($name, $privilege);
    return refusal(503, 'The ticket for the panel could not be created. As root, run:',
        "ea4-mpm whm ticket --user $name --privilege $privilege")
      if !defined $ticket;
    entrance($panel, $ticket);
}

# "all" for a user with every privilege, "own" for one with this plugin's, "" for any other, and
# wherever WHM cannot be asked.
sub privilege {
    my $found = eval {
        require Whostmgr::ACLS;
        Whostmgr::ACLS::init_acls();
        return 'all' if Whostmgr::ACLS::hasroot();
        return Whostmgr::ACLS::checkacl($PRIVILEGE) ? 'own' : '';
    };
    if ($@) {
        print STDERR "ea4mpm: WHM's privileges could not be read: $@";
        return '';
    }
    return $found;
}

# The address of the panel and a ticket for it; nothing where there is none.
sub ticket {
    my ($name, $privilege) = @_;
    %ENV = (PATH => '/usr/sbin:/usr/bin:/sbin:/bin', LANG => 'C.UTF-8');
    my $answer = '';
    my $done   = eval {
        local $SIG{ALRM} = sub { die "no answer within $PATIENCE seconds\n" };
        my $pid = open my $reader, '-|', @COMMAND, '--user', $name, '--privilege', $privilege
          or die "it could not be started: $!\n";
        alarm $PATIENCE;
        my $complete = eval {
            while (sysread $reader, my $more, 4096) {
                $answer .= $more;
                die "its answer is too long\n" if length $answer > $MOST;
            }
            1;
        };
        my $why = $@;
        alarm 0;
        if (!$complete) {
            kill 'KILL', $pid;
            close $reader;
            die $why;
        }
        close $reader or die "it ended with status " . ($? >> 8) . "\n";
        1;
    };
    if (!$done) {
        print STDERR "ea4mpm: $COMMAND[0]: $@";
        return;
    }
    my ($panel, $ticket) = $answer =~ m{
        \A (https://[a-z0-9.:\[\]-]{1,270} | http://(?:localhost|127\.0\.0\.1)(?::[0-9]{1,5})?) \n
        (ea4whm1\.[A-Za-z0-9_-]{1,1500}\.[A-Za-z0-9_-]{86}) \n \z
    }x;
    print STDERR "ea4mpm: $COMMAND[0] did not answer with a ticket\n" if !defined $ticket;
    return ($panel, $ticket);
}

sub entrance {
    my ($panel, $ticket) = @_;
    my $nonce = nonce();
    page(200, "script-src 'nonce-$nonce'; form-action $panel", <<"HTML", $nonce);
<p>@{[ said('Opening the panel at') ]} $panel…</p>
<form method="post" action="$panel/whm/" id="entrance" autocomplete="off">
<input type="hidden" name="ticket" value="$ticket">
<button>@{[ said('Open the panel') ]}</button>
</form>
<p>@{[ said('The button works once, and for one minute.') ]}@{[ again() ]}</p>
<script nonce="$nonce">document.getElementById('entrance').submit();</script>
HTML
}

sub said {
    my ($sentence) = @_;
    return $LANGUAGE eq 'de' ? $GERMAN{$sentence} : $sentence;
}

sub again {
    return $prefix eq '' ? '' : qq{ <a href="$prefix/">@{[ said('Back to WHM') ]}</a>};
}

sub refusal {
    my ($status, $sentence, $command) = @_;
    my $more = defined $command ? "\n<p><code>$command</code></p>" : '';
    page($status, "form-action 'none'",
        "<p>@{[ said($sentence) ]}</p>$more\n<p>@{[ again() ]}</p>\n");
}

# Nothing of this page is kept by anybody, nor is its address, which holds WHM's session token, told
# to the panel.
sub page {
    my ($status, $policy, $body, $nonce) = @_;
    $nonce = nonce() if !defined $nonce;
    my %words = (200 => 'OK', 403 => 'Forbidden', 405 => 'Method Not Allowed',
        503 => 'Service Unavailable');
    print "Status: $status $words{$status}\r\n",
      "Content-Type: text/html; charset=utf-8\r\n",
      "Cache-Control: no-store\r\n",
      "Referrer-Policy: no-referrer\r\n",
      "X-Content-Type-Options: nosniff\r\n",
      "Content-Security-Policy: default-src 'none'; base-uri 'none'; frame-ancestors 'self'; ",
      "style-src 'nonce-$nonce'; $policy\r\n\r\n";
    return if $method eq 'HEAD';
    print qq{<!doctype html>\n<html lang="$LANGUAGE">\n<head>\n<meta charset="utf-8">\n},
      qq{<meta name="viewport" content="width=device-width">\n},
      qq{<title>EasyApache 4 MPM</title>\n<style nonce="$nonce">$STYLE</style>\n</head>\n<body>\n<h1>EasyApache 4 MPM</h1>\n},
      $body, "</body>\n</html>\n";
}

sub nonce {
    sysopen my $random, '/dev/urandom', O_RDONLY or die "/dev/urandom: $!\n";
    (sysread $random, my $bytes, 16) == 16 or die "/dev/urandom: $!\n";
    close $random;
    return unpack 'H*', $bytes;
}
