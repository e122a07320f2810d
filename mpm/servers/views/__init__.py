"""Pages of the platform: Home, EasyApache 4, packages, profiles, servers, one's own settings."""
