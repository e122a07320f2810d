"""The panel for a WSGI server: ``gunicorn easyapache.wsgi``."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from easyapache import memory
from easyapache.private_files import keep_files_private

memory.starting()
keep_files_private()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
application = get_wsgi_application()
memory.starting()  # which Django's part of it has just ended
# Pages and API are loaded now: before gunicorn forks (--preload), and not while a visitor waits.
_ = get_resolver().url_patterns
memory.started()
