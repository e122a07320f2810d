package Cpanel::Config::ConfigObj::Driver::EA4MPM;

# Makes opening the EasyApache 4 MPM panel a privilege that root can give to resellers.

use strict;
use warnings;
use parent qw(Cpanel::Config::ConfigObj::Interface::Config::v1);

our $VERSION = '1.0';

sub init {
    my ($class, $software) = @_;
    return $class->SUPER::base({ thirdparty_ns => 'EA4MPM', meta => {} }, $software);
}

sub info {
    my ($self) = @_;
    return $self->meta()->abstract();
}

sub acl_desc {
    return [
        {
            acl              => 'software-EA4MPM',
            name             => 'EasyApache 4 MPM',
            acl_subcat       => 'Third-Party Services',
            default_value    => 0,
            default_ui_value => 0,
        },
    ];
}

1;
