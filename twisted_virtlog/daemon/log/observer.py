"""The daemon's observer of twisted.logger: filters, and hands on to the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from twisted_virtlog.config.logging import DEFAULT_PRIORITY, wanted
from twisted_virtlog.daemon.log.lines import namespace_of, priority_of
from twisted_virtlog.daemon.log.outputs import Sink, open_output
from twisted_virtlog.daemon.log.parts import names_of
from twisted_virtlog.values import Filter, Output, Priority


@implementer(ILogObserver)
class OwnLog:
    """Writes the events that the level or a filter lets through to the outputs that want them.

    :ivar level: for events that no filter matches; may be set.
    :ivar filters: those in force; may be set.
    :ivar outputs: those in force; see :meth:`set_outputs`.
    :ivar follows_filters: the outputs take all that the level and the filters let through, as
        nobody has said which level they are to have.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        filters: Sequence[Filter],
        level: Priority = DEFAULT_PRIORITY,
        follows_filters: bool = False,
    ) -> None:
        """Open the outputs.

        :raises OutputError: one of them cannot be opened; none stays open then.
        """
        self.level = level
        self.filters = tuple(filters)
        self.outputs = tuple(outputs)
        self.follows_filters = follows_filters
        self._sinks = _open_all(self.outputs)

    def __call__(self, event: LogEvent) -> None:
        """See ILogObserver."""
        priority = priority_of(event)
        if priority < self._wanted(event):
            return
        for output, sink in zip(self.outputs, self._sinks, strict=True):
            if self.follows_filters or priority >= output.priority:
                sink.write(event)

    def set_outputs(self, outputs: Sequence[Output], follows_filters: bool = False) -> None:
        """Write to other outputs from now on, which are opened anew even when they are the same.

        :param follows_filters: see above.
        :raises OutputError: one of them cannot be opened; the present ones stay then.
        """
        sinks = _open_all(outputs)
        before = self._sinks
        self.outputs = tuple(outputs)
        self.follows_filters = follows_filters
        self._sinks = sinks
        for sink in before:
            sink.close()

    def _wanted(self, event: LogEvent) -> Priority:
        if not self.filters:
            return self.level
        return wanted(self.filters, self.level, names_of(namespace_of(event)))

    def close(self) -> None:
        """Close the outputs."""
        self.set_outputs(())


@implementer(ILogObserver)
class Once:
    """Hands each event on once.

    When Twisted begins to log, it tells everybody again what was logged before, also those who have
    heard it.
    """

    def __init__(self, observer: ILogObserver) -> None:
        self._observer = observer
        # By identity, and kept so that no other gets the same.
        self._told: dict[int, LogEvent] | None = {}

    def __call__(self, event: LogEvent) -> None:
        """See ILogObserver."""
        if self._told is not None:
            if id(event) in self._told:
                return
            self._told[id(event)] = event
        self._observer(event)

    def logging_has_begun(self) -> None:
        """Remember no more events, since none will come again."""
        self._told = None


def _open_all(outputs: Sequence[Output]) -> list[Sink]:
    """Open outputs, all or none."""
    sinks: list[Sink] = []
    with ExitStack() as undo:
        for output in outputs:
            sink = open_output(output)
            undo.callback(sink.close)
            sinks.append(sink)
        undo.pop_all()
    return sinks
