"""What the daemon tells of itself: which messages, and where they go."""
