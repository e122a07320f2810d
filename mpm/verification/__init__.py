"""Proves that nothing in the history was altered: in the database, or in an export on any machine.

The chain of each server is read once, in its order, at constant memory (mpm.seal). In the
database more can be held against it: the head kept beside each chain, the triggers that
guard it, and what the rows of changes, their reports and their logs say now against what was
sealed. An export ends with the head of every chain in it, so that none can be cut off or left out.
"""

from mpm.verification.database import verify_database
from mpm.verification.export import BadExport, verify_export
from mpm.verification.verdict import Verdict

__all__ = ["BadExport", "Verdict", "verify_database", "verify_export"]
