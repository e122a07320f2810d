#!/usr/bin/env python3
"""Django's command line for this project."""

import os
import sys

if __name__ == "__main__":
    from easyapache import memory

    memory.starting()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
    from django.core.management import execute_from_command_line

    from easyapache.demo.adoption import adopt_environment

    adopt_environment(os.environ, make=sys.argv[1:2] in (["demo"], ["lab"]))
    execute_from_command_line(sys.argv)
