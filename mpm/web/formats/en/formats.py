"""Dates and times in American English: month first, twelve hours, with the zone."""

DATE_FORMAT = "F j, Y"
TIME_FORMAT = "g:i A T"
DATETIME_FORMAT = "F j, Y, g:i A T"
SHORT_DATE_FORMAT = "M j, Y"
SHORT_DATETIME_FORMAT = "M j, Y, g:i A T"
CLOCK_FORMAT = "g:i:s A"
"""A time of day with seconds, where the day is known."""
