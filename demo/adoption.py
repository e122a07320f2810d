"""Makes ``manage.py`` use the panel in the data folder.

Without settings in the environment, a shell uses the panel of ``make demo``: its database, its
broker, its secret.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from demo.folder import Folder, data_folder

CHOOSES_PANEL = ("SECRET_KEY", "SECRET_KEY_FILE", "DEBUG")


def adopt_environment(environment: MutableMapping[str, str], *, make: bool) -> None:
    """Add the data folder's settings, unless the environment selects a panel.

    ``make``: create the folder with its secret if missing (for ``manage.py demo``, which chooses
    the rest itself). Existing settings are never changed. An unreadable folder counts as missing.
    """
    if any(environment.get(name) for name in CHOOSES_PANEL):
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
