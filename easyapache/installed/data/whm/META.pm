package Cpanel::Config::ConfigObj::Driver::EA4MPM::META;

use strict;
use warnings;
use parent qw(Cpanel::Config::ConfigObj::Interface::Config::Version::v1);

our $VERSION = '1.0';

sub meta_version { return 1 }

sub get_driver_name { return 'EA4MPM' }

sub content {
    return {
        vendor => 'EA4 MPM panel',
        url    => '',
        name   => {
            short  => 'EasyApache 4 MPM',
            long   => 'Change the Apache MPM of EasyApache 4',
            driver => get_driver_name(),
        },
        since    => 'cPanel & WHM 110',
        abstract => 'Opens the panel that changes the Apache MPM of this server.',
        version  => $VERSION,
    };
}

sub showcase { return }

1;
