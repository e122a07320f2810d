"""The panel's own settings, with what a test run on any machine needs.

What stands in for the environment is taken out of it again: processes that a test starts must
not inherit it.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_STAND_IN = {
    "SECRET_KEY": "only for tests",
    "VAR_DIR": str(Path(tempfile.gettempdir()) / f"ea4-panel-{os.getpid()}"),
}
_missing = [name for name in _STAND_IN if name not in os.environ]
os.environ.update({name: _STAND_IN[name] for name in _missing})
try:
    from easyapache.settings import *  # noqa: F403
    from easyapache.settings import DATABASES, STATIC_ROOT, VAR
finally:
    for _name in _missing:
        del os.environ[_name]

REDIS_URL = "memory://"
"""Nothing leaves the process, unless a test starts a Redis."""
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if "VAR_DIR" in _missing:
    atexit.register(shutil.rmtree, VAR, ignore_errors=True)
VAR.mkdir(exist_ok=True)  # with PostgreSQL nothing else makes it so early
VAR.chmod(0o700)  # as ``manage.py prepare`` leaves it
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns, page by page, without it
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, because a database in memory has neither WAL nor the lock that services rely on.
    DATABASES["default"]["TEST"] = {"NAME": str(VAR / "test.sqlite3")}
