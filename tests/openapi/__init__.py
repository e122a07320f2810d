"""The description of the API before the tools of others: ``make openapi-lint``."""
