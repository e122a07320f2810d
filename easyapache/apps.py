from django.apps import AppConfig
from django.core.checks import Tags, register


class EasyApacheConfig(AppConfig):
    """What an EasyApache 4 server is: servers and their installed profiles."""

    name = "easyapache"
    verbose_name = "EasyApache 4"

    def ready(self) -> None:
        from easyapache import checks, memory
        from easyapache.catalog_of_tools import register_tools

        register_tools()
        register(checks.files_are_private, Tags.security)
        memory.started()
