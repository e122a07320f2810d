"""``ea4-mpm``: sets up, checks, upgrades and removes what a package has installed on this machine.

Run as root, from the installed tree. It needs only the standard library, and uses the panel only
through ``manage.py``, run as the panel's own account.
"""
