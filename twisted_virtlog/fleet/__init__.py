"""Reads the logs of a fleet that ``virtlog-ship`` has stored: the program ``virtlog-fleet``."""
