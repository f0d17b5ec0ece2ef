"""A live table of the open logs: how much is written to each, and what is wrong."""
