"""gunicorn's settings for the installed panel, and what systemd's watchdog hears of it."""

import http.client
import logging
import os
import ssl
import threading

from easyapache import journal, sd_notify

bind = os.environ.get("EA4_LISTEN", "0.0.0.0:8443").split(",")
certfile = os.environ.get("EA4_CERTIFICATE") or None
keyfile = os.environ.get("EA4_CERTIFICATE_KEY") or None
worker_class = "easyapache.web_worker.WholeRequests"
workers = int(os.environ.get("EA4_WEB_PROCESSES", "1"))
# Two processes with a copy each of what the other one has changed take more than one alone: 118 MiB
# after some hours, and 105 MiB where only the worker has the panel.
preload_app = workers > 1
threads = 8
timeout = 60
graceful_timeout = 10
keepalive = 15
control_socket_disable = True
# The panel itself writes a line for each request, with its ID and without its query.
os.environ.setdefault("ACCESS_LOG", "true")
worker_tmp_dir = "/tmp"  # noqa: S108 - the unit has a /tmp of its own

LOOK = 20.0
"""Seconds between two pages that the panel serves to itself."""
PATIENCE = 20.0


def ssl_context(_conf, default_ssl_context_factory):
    """TLS 1.2 or newer."""
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def on_starting(_server):
    journal.take_over(["gunicorn.error"], lambda: logging.Formatter("%(name)s: %(message)s"))


def post_worker_init(_worker):
    """In the worker, never in the process that starts workers: one that is forked while a thread is
    within OpenSSL inherits its locks, and no connection of it ever gets further than its first
    byte."""
    if sd_notify.watched():
        threading.Thread(target=_watch, name="watchdog", daemon=True).start()


def _watch():
    """systemd hears of each answer, whatever its status: a thread of a worker has given it."""
    over = threading.Event()
    while True:
        try:
            _ask()
        except (OSError, http.client.HTTPException) as error:
            logging.getLogger(__name__).error("The panel does not answer itself: %s", error)
        else:
            sd_notify.at_work()
        over.wait(LOOK)


def _ask():
    host, _, port = bind[0].rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1", "": "127.0.0.1"}.get(host, host.strip("[]"))  # noqa: S104
    if certfile:
        # Its own certificate, which need not name the loopback address.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        asked = http.client.HTTPSConnection(host, int(port), timeout=PATIENCE, context=context)
    else:
        asked = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    try:
        asked.request("GET", "/healthz", headers={"Host": "localhost"})
        asked.getresponse().read()
    finally:
        asked.close()
