"""The lab: a real EasyApache 4-like server in a folder.

Real rpm packages with EasyApache 4's names, versions and relations, installed by the real dnf
into a folder, served by the real httpd of this machine's distribution. ``lab.server``
holds the one class to use, ``Lab``.
"""
