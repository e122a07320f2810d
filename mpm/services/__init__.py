"""Every write of the MPM section: pages, both APIs and the command line all come through here.

A service checks who asks, changes rows by guarded UPDATEs, and writes history in the same
transaction. It refuses by raising Refused (or one of its kinds), having changed nothing.
"""

from mpm.services.actor import (
    SYSTEM,
    Actor,
    BadRequest,
    Busy,
    NotAllowed,
    NotFound,
    NothingToDo,
    Refused,
    Stale,
    TooLate,
    Unanswered,
    UnderWay,
)
from mpm.services.cancel import cancel, why_not_cancel
from mpm.services.heartbeat import record_heartbeat
from mpm.services.inspection import (
    adopt,
    first_look,
    note_particulars,
    record_inspection,
    record_preview,
    rescan,
)
from mpm.services.lookup import change_numbered, only_server, preview_with, server_named
from mpm.services.people import add_user, reset_password, set_active, set_role
from mpm.services.planning import plan_for, profile_of, request_preview
from mpm.services.record import (
    record_log,
    record_reports,
    record_unknown,
)
from mpm.services.repairs import record_repair, repair
from mpm.services.request import request_change
from mpm.services.retention import prune
from mpm.services.rollback import roll_back, rollback_plan, why_not_roll_back
from mpm.services.servers import add_server, alter_server
from mpm.services.sharing import Link, good_links, share, shared_change, take_back
from mpm.services.sweep import ping_all, recover, rescan_all, sweep

__all__ = [
    "SYSTEM",
    "Actor",
    "BadRequest",
    "Busy",
    "Link",
    "NotAllowed",
    "NotFound",
    "NothingToDo",
    "Refused",
    "Stale",
    "TooLate",
    "Unanswered",
    "UnderWay",
    "add_server",
    "add_user",
    "adopt",
    "alter_server",
    "cancel",
    "change_numbered",
    "first_look",
    "good_links",
    "note_particulars",
    "only_server",
    "ping_all",
    "plan_for",
    "preview_with",
    "profile_of",
    "prune",
    "record_heartbeat",
    "record_inspection",
    "record_log",
    "record_preview",
    "record_repair",
    "record_reports",
    "record_unknown",
    "recover",
    "repair",
    "request_change",
    "request_preview",
    "rescan",
    "rescan_all",
    "reset_password",
    "roll_back",
    "rollback_plan",
    "server_named",
    "set_active",
    "set_role",
    "share",
    "shared_change",
    "sweep",
    "take_back",
    "why_not_cancel",
    "why_not_roll_back",
]
