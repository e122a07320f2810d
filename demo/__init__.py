"""The whole panel on one machine: Redis, web, control worker, beat, agents and their servers.

``stack.Stack`` puts it together, ``supervisor.Supervisor`` keeps it running,
``manage.py demo`` is the door. Nothing here opens the panel's database: the supervisor may be
root, and what is served to a browser must not be.
"""
