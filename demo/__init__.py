"""The whole panel on one machine: Redis, web, control worker, beat, agents and their servers.

``stack.Stack`` assembles it, ``supervisor.Supervisor`` keeps it running, ``manage.py demo`` starts
it. Nothing here opens the panel's database: the supervisor may be root, and the web process must
not be.
"""
