"""virtlogctl: the daemon's logs for people and scripts. Without Twisted, so it starts at once."""

from twisted_virtlog.ctl.program import virtlogctl as main

__all__ = ["main"]
