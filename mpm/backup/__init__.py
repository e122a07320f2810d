"""A backup of the panel in one file: its database, its keys and its configuration."""
