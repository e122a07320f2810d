"""Verifies the seals of the history: in the database, and in an export."""
