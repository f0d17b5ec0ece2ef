"""What can go wrong between a command and the servers."""

from __future__ import annotations


class NoServer(Exception):
    """No server answers, or there is no such stream; the message says which."""


class NotThere(Exception):
    """No log is one of those that were asked for, or several are where one must be."""
