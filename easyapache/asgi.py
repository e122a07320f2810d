"""The panel for a ASGI server."""

import os

from django.core.asgi import get_asgi_application

from easyapache.private_files import keep_files_private

keep_files_private()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
application = get_asgi_application()
