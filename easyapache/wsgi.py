"""The panel for a WSGI server: ``gunicorn easyapache.wsgi``."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
application = get_wsgi_application()
