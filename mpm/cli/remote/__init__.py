"""``ea4mpm``: the commands for a panel over the network, with a token."""
