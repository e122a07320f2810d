"""REST under ``/api/v1``: what a person does with clicks, for programs, in one idempotent call."""
