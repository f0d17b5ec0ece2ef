"""Packs the backups of logs: when, which, and by a process of its own."""
