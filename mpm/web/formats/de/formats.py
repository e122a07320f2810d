"""Dates and times in German: day first, twenty-four hours, with the zone."""

DATE_FORMAT = "j. F Y"
TIME_FORMAT = "H:i T"
DATETIME_FORMAT = "j. F Y, H:i T"
SHORT_DATE_FORMAT = "j. N Y"
SHORT_DATETIME_FORMAT = "j. N Y, H:i T"
CLOCK_FORMAT = "H:i:s"
"""A time of day with seconds, where the day is known."""
