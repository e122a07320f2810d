"""The panel's own settings, with what a test run on any machine needs."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("SECRET_KEY", "only for tests")
os.environ.setdefault("VAR_DIR", str(Path(tempfile.gettempdir()) / f"ea4-panel-{os.getpid()}"))

from easyapache.settings import *  # noqa: F403
from easyapache.settings import DATABASES, VAR

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, because a database in memory has neither WAL nor the lock that services rely on.
    DATABASES["default"]["TEST"] = {"NAME": str(VAR / "test.sqlite3")}
