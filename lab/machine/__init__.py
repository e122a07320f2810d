"""A whole machine to try the packages on: Debian 12 with systemd as process 1, a real dnf and an
EasyApache 4 at ``/``, httpd.service and cPanel's scripts as a cPanel server has them.

It is booted by systemd-nspawn on this machine's kernel, with a loopback interface of its own and
nothing else. ``lab.machine.boot`` holds the class to use, ``Machine``. Needs root, debootstrap and
systemd-nspawn.
"""
