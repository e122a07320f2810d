"""What Django itself can tell about the project."""

from __future__ import annotations

import pytest
from django.core.management import call_command


def test_django_finds_nothing_to_warn_about() -> None:
    call_command("check", fail_level="WARNING")


@pytest.mark.django_db
def test_the_migrations_say_what_the_models_say() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
