from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db.models.signals import post_migrate, pre_migrate


class MpmConfig(AppConfig):
    """The MPM section: choices, changes and their history."""

    name = "mpm"
    verbose_name = "Apache MPM"

    def ready(self) -> None:
        from mpm import checks
        from mpm.changes.incomplete import register_health
        from mpm.history.models import guards, search_index
        from mpm.servers.profile_library import moved
        from mpm.servers.services.profiles import note_profile
        from mpm.web.mpm_tools import register_tools
        from mpm.web.server_notices import register_notices

        pre_migrate.connect(guards.before_migration, sender=self)
        post_migrate.connect(guards.after_migration, sender=self)
        post_migrate.connect(search_index.after_migration, sender=self)
        register(checks.words_have_an_index, Tags.database)
        moved.connect(note_profile)
        register_tools()
        register_notices()
        register_health()
