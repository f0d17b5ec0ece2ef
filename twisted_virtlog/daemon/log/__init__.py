"""The daemon's own log: which messages are logged, and where they go."""
