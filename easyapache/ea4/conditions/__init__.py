"""The catalog of conditions: problems of a server or a change, and facts worth knowing about it.

Plan, preflight, failed change, Diagnostics, REST, WHM and the command line look a condition up here
by its code. The most specific is first: output of programs is matched in this order.

Sources: httpd's own (server/config.c, the MPMs, mod_http2), the spec files of EasyApache 4's
packages, mod_mpm_itk's source, and faults provoked on purpose with real dnf, rpm and httpd.
"""

from __future__ import annotations

from collections.abc import Mapping

from easyapache.ea4.conditions.condition import Condition
from easyapache.ea4.conditions.httpd import HTTPD
from easyapache.ea4.conditions.packages import PACKAGES
from easyapache.ea4.conditions.selection import SELECTION
from easyapache.ea4.conditions.server import SERVER
from easyapache.ea4.conditions.steps import AGENT, STEPS

CATALOG: tuple[Condition, ...] = (*HTTPD, *PACKAGES, *SERVER, *SELECTION, *STEPS, *AGENT)
BY_CODE: Mapping[str, Condition] = {condition.code: condition for condition in CATALOG}
