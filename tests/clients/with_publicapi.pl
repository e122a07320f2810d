# There and back with cPanel::PublicAPI, cPanel's own, from CPAN: HOST PORT TOKEN SERVER MPM...
# POST, a form, "whm user:token"; lists as install-0, install-1.
use strict;
use warnings;
use cPanel::PublicAPI ();
use JSON::PP          ();

my ( $host, $port, $token, $server, @mpms ) = @ARGV;
$| = 1;

# It always asks the ports of WHM; a creator of HTTP::Tiny is its way to reach another one.
{
    package OtherPort;
    our @ISA = ('HTTP::Tiny');

    sub request {
        my ( $self, $method, $url, @rest ) = @_;
        $url =~ s{:2086/}{:$port/};
        return $self->SUPER::request( $method, $url, @rest );
    }
}

my $client = cPanel::PublicAPI->new(
    host              => $host,
    user              => 'root',
    api_token         => $token,
    usessl            => 0,
    http_tiny_creator => sub { OtherPort->new(@_) },
);

sub call {
    my ( $name, %values ) = @_;
    my $answer = $client->whm_api( $name, { server => $server, %values } );
    die "$name: $answer->{metadata}{reason}\n" if !$answer->{metadata}{result};
    return $answer->{data};
}

sub numbered {
    my ( $name, $items ) = @_;
    my $at = 0;
    return map { ( $name . '-' . $at++ => $_ ) } @{$items};
}

for my $mpm (@mpms) {
    my $wanted = "ea-apache24-mod_mpm_$mpm";
    my $moves = call( 'package_manager_resolve_actions', package => $wanted );
    my $build = call(
        'package_manager_submit_actions',
        numbered( 'install', $moves->{install} ), numbered( 'uninstall', $moves->{uninstall} ),
    )->{build};
    my ( $lines, $offset, $running ) = ( 0, 0, 1 );
    while ($running) {
        my $log = call( 'package_manager_get_build_log', build => $build, offset => $offset );
        $lines += @{ $log->{content} };
        ( $offset, $running ) = ( $log->{offset}, $log->{still_running} );
        select undef, undef, undef, 0.2;
    }
    my $active = call( 'package_manager_is_performing_actions', build => $build )->{active};
    my $there = grep { $_ eq $wanted } @{ call('ea4_get_currently_installed_packages')->{packages} };
    my $done = !$active && $there ? JSON::PP::true : JSON::PP::false;
    print JSON::PP->new->canonical->encode(
        { client => 'cPanel::PublicAPI', mpm => $mpm, build => $build, lines => $lines, done => $done }
    ), "\n";
}
