"""What is known to go wrong with MPMs on EasyApache 4, the most telling first. Data only.

Where the knowledge comes from: httpd's sources (server/config.c, the MPMs, mod_http2), the
spec files of EasyApache 4's packages, mod_mpm_itk's source, and faults provoked on purpose
with real dnf, rpm and httpd.
"""

from __future__ import annotations

from easyapache.ea4.conditions.condition import Failure
from easyapache.ea4.conditions.httpd import HTTPD
from easyapache.ea4.conditions.misconfiguration import MANNERS
from easyapache.ea4.conditions.packages import PACKAGES
from easyapache.ea4.conditions.service import SERVICE

FAILURES: tuple[Failure, ...] = (*HTTPD, *PACKAGES, *MANNERS, *SERVICE)

__all__ = ["FAILURES", "HTTPD", "Failure"]
