from django.apps import AppConfig
from django.core.checks import Tags, register


class ServersConfig(AppConfig):
    """The managed servers and their installed profiles."""

    name = "mpm.servers"
    label = "easyapache"  # the name its tables have had from the first version on
    verbose_name = "EasyApache 4"

    def ready(self) -> None:
        from easyapache import memory
        from mpm.web import exposure_checks
        from mpm.web.platform_tools import register_tools

        register_tools()
        register(exposure_checks.files_are_private, Tags.security)
        memory.started()
