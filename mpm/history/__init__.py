"""What happened: its events, how they are sealed, searched, exported and verified."""
