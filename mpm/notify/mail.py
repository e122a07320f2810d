"""One attempt to deliver by e-mail, through the mail server that SMTP_URL names."""

from __future__ import annotations

import smtplib
import ssl
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from easyapache.ea4.sentences import Sentence
from mpm.notify.delivery import Attempt
from mpm.notify.ssrf import BadDestination

SECONDS = 10.0
SCHEME = "mailto:"


def recipient(url: str) -> str:
    """The address in ``mailto:ops@example.com``. Raises BadDestination for any other text, and if
    the panel has no mail server."""
    address = unquote(url.removeprefix(SCHEME)) if url.startswith(SCHEME) else ""
    try:
        validate_email(address)
    except ValidationError as error:
        raise BadDestination(
            Sentence("For e-mail, the URL must be mailto: and one address.")
        ) from error
    if not settings.SMTP_URL:
        raise BadDestination(
            Sentence("This panel has no mail server. Set SMTP_URL and start the panel again.")
        )
    return address


def send(url: str, identity: str, content: dict[str, str]) -> Attempt:
    """Hand one message over; ``identity``: the same over all attempts, in Message-ID."""
    began = time.monotonic()

    def attempt(status: int | None, error: str) -> Attempt:
        return Attempt(status, error[:300], "", int((time.monotonic() - began) * 1000))

    try:
        message = _message(recipient(url), identity, content)
        _hand_over(message)
    except BadDestination as error:
        return attempt(None, str(error))
    except (smtplib.SMTPException, OSError) as error:
        return attempt(None, f"{type(error).__name__}: {error}")
    return attempt(250, "")


def _message(to: str, identity: str, content: dict[str, str]) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = settings.MAIL_FROM, to
    message["Subject"], message["Date"] = content["subject"], formatdate()
    domain = settings.MAIL_FROM.rpartition("@")[2].rstrip(">") or "panel"
    message["Message-ID"] = make_msgid(identity, domain)
    message["X-Webhook-Id"] = identity
    message.set_content(content["text"])
    return message


def _hand_over(message: EmailMessage) -> None:
    """``smtps`` is TLS from the start, ``smtp`` is STARTTLS, which is only left out on the
    loopback."""
    parts = urlsplit(settings.SMTP_URL)
    host, context = parts.hostname or "localhost", ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, parts.port or 465, timeout=SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=SECONDS)
    with server:
        if parts.scheme == "smtp" and host not in ("localhost", "127.0.0.1", "::1"):
            server.starttls(context=context)
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)
