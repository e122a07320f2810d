"""``ea4mpm``: the panel from any shell, over REST. Needs httpx and rich, and no Django."""
