"""``ea4-mpm``: sets up, checks, upgrades and removes what a package has installed on this machine.

Run as root, from the installed tree. It needs nothing but the standard library, and knows the panel
only as ``manage.py``, which it runs as the panel's own account.
"""
