"""What the daemon counts and measures, as Prometheus reads it."""
