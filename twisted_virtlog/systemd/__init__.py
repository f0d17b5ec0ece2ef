"""The service manager's side of a daemon: what it hands over, keeps, and is told."""
