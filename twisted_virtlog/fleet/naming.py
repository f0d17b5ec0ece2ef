"""What stands before the lines of several logs: their hosts, and the ends of their paths."""

from __future__ import annotations

from collections.abc import Iterable

from twisted_virtlog.ctl.tailing import short_names
from twisted_virtlog.fleet.stored import Log


class Names:
    """Names of logs, as short as tells them apart; what was named once keeps its name."""

    def __init__(self, logs: Iterable[Log]) -> None:
        """:param logs: those that are known."""
        self._names = short_names(list(dict.fromkeys(log.path for log in logs)))

    def of(self, log: Log) -> str:
        """Return the name of a log; it may be a new one."""
        name = self._names.get(log.path)
        if name is None:
            name = short_names([*self._names, log.path])[log.path]
            self._names[log.path] = name
        return f"{log.host}:{name}"
