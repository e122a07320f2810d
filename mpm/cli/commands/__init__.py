"""The commands, defined once: their arguments, what they do and how their answers look.

``ea4mpm`` runs them from anywhere over REST; ``manage.py mpm`` runs them on the panel's machine, in
process (``mpm.cli.local``). Needs httpx and rich, and no Django.
"""
