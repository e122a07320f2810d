"""Lets ``manage.py`` speak for the panel that lives in the data folder.

Without settings of its own in the environment, a shell means the panel that ``make demo``
made: its database, its broker, its secret.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from demo.folder import Folder, data_folder

SAYS_WHICH = ("SECRET_KEY", "SECRET_KEY_FILE", "DEBUG")


def adopt_environment(environment: MutableMapping[str, str], *, make: bool) -> None:
    """Add the data folder's settings, unless the environment says which panel is meant.

    ``make``: make the folder with its secret when it is not there (``manage.py demo``, which
    chooses the rest itself). What is set already is never changed. A folder we may not read
    counts as not there.
    """
    if any(environment.get(name) for name in SAYS_WHICH):
        return
    if make:
        folder = Folder.open(data_folder())
        environment["SECRET_KEY_FILE"] = str(folder.secret("secret-key"))
        environment["VAR_DIR"] = str(folder.panel)
        return
    file = data_folder() / "panel.env"
    if not os.access(file, os.R_OK):
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        environment.setdefault(name, value)
