from django.apps import AppConfig


class EasyApacheConfig(AppConfig):
    """What an EasyApache 4 server is: servers and their installed profiles."""

    name = "easyapache"
    verbose_name = "EasyApache 4"

    def ready(self) -> None:
        from easyapache import memory
        from easyapache.catalog_of_tools import register_tools

        register_tools()
        memory.started()
