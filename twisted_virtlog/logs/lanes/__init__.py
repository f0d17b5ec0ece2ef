"""Threads for file systems that may not answer, and which files they serve."""
