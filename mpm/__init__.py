"""The MPM section of the panel: rules, plans, changes, their history, and every door to them."""

VERSION = "0.1.0"
"""As in pyproject.toml."""
