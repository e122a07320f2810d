#!/usr/bin/env python3
"""Django's command line for this project."""

import os
import sys
from importlib.util import find_spec

if __name__ == "__main__":
    from easyapache import memory
    from easyapache.private_files import FOR_OTHERS, keep_files_private

    memory.starting()
    if not FOR_OTHERS.intersection(sys.argv[1:2]):
        keep_files_private()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
    from easyapache.command_line import run

    if find_spec("demo"):  # a checkout, not an installed panel
        from demo.adoption import adopt_environment

        adopt_environment(os.environ, make=sys.argv[1:2] in (["demo"], ["lab"]))
    run(sys.argv)
