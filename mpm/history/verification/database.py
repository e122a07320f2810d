"""The history in the database: its chains, their heads, its triggers, and its rows."""

from __future__ import annotations

from django.db import connection

from mpm.history.export import event_as_json
from mpm.history.models.guards import missing_guards
from mpm.history.seal import Fault, Notes, check_chain
from mpm.history.verification.rows import rows_against_events
from mpm.history.verification.verdict import Counted, Verdict
from mpm.models import Chain, Event


def verify_database() -> Verdict:
    """Read every chain, and hold the rows of changes against it."""
    faults = [
        Fault("", 0, f"The database trigger {name} is missing: it no longer guards history.")
        for name in missing_guards(connection)
    ]
    heads, events, notes = {}, 0, Notes()
    for chain in Chain.objects.order_by("server_name").iterator():
        head = heads[chain.server_name] = (chain.seq, chain.hash)
        rows = Event.objects.filter(server_name=chain.server_name).order_by("seq")
        counted = Counted(event_as_json(event) for event in rows.iterator(chunk_size=500))
        # The panel's own chain has no name, and so is the first.
        noted = notes.check(chain.server_name, counted, faults) if chain.server_name else None
        read = noted or notes.read(counted)
        faults += list(check_chain(chain.server_name, read, head))
        events += counted.count
    faults += notes.missing()
    orphans = Event.objects.exclude(server_name__in=Chain.objects.values("server_name"))
    if orphans.exists():
        faults.append(Fault("", 0, "There are events of a chain that has no head."))
    faults += rows_against_events()
    return Verdict(len(heads), events, tuple(faults), heads=heads)
