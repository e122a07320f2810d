"""What a monitoring system reads: whether the panel is alive, ready, and its figures."""
