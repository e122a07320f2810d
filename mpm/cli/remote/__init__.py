"""``ea4mpm``: which panel it speaks to, and with which token."""
