"""The subcommands of ``manage.py mpm``, one module per matter, each with ``register()``."""
