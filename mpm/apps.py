from django.apps import AppConfig


class MpmConfig(AppConfig):
    """The MPM section: choices, changes and their history."""

    name = "mpm"
    verbose_name = "Apache MPM"
