"""Every read of what happened: filters and pages, the story of one change, exports."""

from mpm.history.activity import Day, activity, known_people, known_tickets
from mpm.history.aftermath import AFTERMATH, Aftermath, aftermath, half_way, not_started
from mpm.history.capacity import Load, load_of
from mpm.history.customer import MAY_INCLUDE, customer_facts, exact_time, headline, ticket_text
from mpm.history.examination import Examination, RepairTold, examined, of_the_panel, repairs
from mpm.history.export import as_csv, as_json, event_as_json, events_as_json
from mpm.history.filters import BadFilter, ChangeFilters
from mpm.history.health import incomplete, register_health
from mpm.history.outside import TAKEN_BACK, taken_back_by, undecided, undecided_of
from mpm.history.pages import Page, changes
from mpm.history.prediction import Prediction, predicted
from mpm.history.story import (
    BeforeAfter,
    Entry,
    author,
    before_and_after,
    evidence,
    moved_packages,
    opening_from_outside,
    paragraphs,
    story,
    timeline,
)
from mpm.history.words import words_indexed

__all__ = [
    "AFTERMATH",
    "MAY_INCLUDE",
    "TAKEN_BACK",
    "Aftermath",
    "BadFilter",
    "BeforeAfter",
    "ChangeFilters",
    "Day",
    "Entry",
    "Examination",
    "Load",
    "Page",
    "Prediction",
    "RepairTold",
    "activity",
    "aftermath",
    "as_csv",
    "as_json",
    "author",
    "before_and_after",
    "changes",
    "customer_facts",
    "event_as_json",
    "events_as_json",
    "evidence",
    "exact_time",
    "examined",
    "half_way",
    "headline",
    "incomplete",
    "known_people",
    "known_tickets",
    "load_of",
    "moved_packages",
    "not_started",
    "of_the_panel",
    "opening_from_outside",
    "paragraphs",
    "predicted",
    "register_health",
    "repairs",
    "story",
    "taken_back_by",
    "ticket_text",
    "timeline",
    "undecided",
    "undecided_of",
    "words_indexed",
]
