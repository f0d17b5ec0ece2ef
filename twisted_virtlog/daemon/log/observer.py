"""The daemon's observer of twisted.logger: filters, and hands on to the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeAlias

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from twisted_virtlog.config.logging import DEFAULT_PRIORITY, wanted
from twisted_virtlog.daemon.log.lines import namespace_of, priority_of
from twisted_virtlog.daemon.log.outputs import Sink, open_output
from twisted_virtlog.daemon.log.parts import names_of
from twisted_virtlog.interfaces import IOwnLog
from twisted_virtlog.values import Filter, Logging, Output, Priority

#: The least level that an opened output takes.
_LeveledSink: TypeAlias = tuple[Priority, Sink]


@implementer(ILogObserver, IOwnLog)
class OwnLog:
    """Writes the events that the level or a filter lets through to the outputs that want them.

    The default outputs take all of these, as nobody has said which level they are to have.
    """

    def __init__(
        self,
        default_outputs: Callable[[Priority], Sequence[Output]],
        level: Priority = DEFAULT_PRIORITY,
        filters: Sequence[Filter] = (),
        outputs: Sequence[Output] = (),
    ) -> None:
        """Open the outputs.

        :param default_outputs: returns the outputs for a level, where none are named; may raise
            OutputError.
        :param outputs: empty for the default.
        :raises OutputError: one of them cannot be opened; none stays open then.
        """
        self._default_outputs = default_outputs
        self._logging = Logging(level, (), ())
        self._sinks: list[_LeveledSink] = []
        self.change(level, filters, outputs)

    def __call__(self, event: LogEvent) -> None:
        priority = priority_of(event)
        if priority < self._wanted(event):
            return
        for least, sink in self._sinks:
            if priority >= least:
                sink.write(event)

    def logging(self) -> Logging:
        return self._logging

    def change(
        self,
        level: Priority | None = None,
        filters: Sequence[Filter] | None = None,
        outputs: Sequence[Output] | None = None,
    ) -> None:
        present = self._logging
        level = present.level if level is None else level
        filters = present.filters if filters is None else tuple(filters)
        if outputs is None:
            self._logging = replace(present, level=level, filters=filters)
        elif outputs:
            self._exchange(_open_all([(one.priority, one) for one in outputs]))
            self._logging = Logging(level, filters, tuple(outputs))
        else:
            default = tuple(self._default_outputs(level))
            self._exchange(_open_all([(Priority.DEBUG, one) for one in default]))
            self._logging = Logging(level, filters, default)

    def close(self) -> None:
        """Close the outputs."""
        self._exchange([])
        self._logging = replace(self._logging, outputs=())

    def _exchange(self, sinks: list[_LeveledSink]) -> None:
        before, self._sinks = self._sinks, sinks
        for _, sink in before:
            sink.close()

    def _wanted(self, event: LogEvent) -> Priority:
        logging = self._logging
        if not logging.filters:
            return logging.level
        return wanted(logging.filters, logging.level, names_of(namespace_of(event)))


@implementer(ILogObserver)
class Once:
    """Hands each event on once.

    When Twisted begins to log, it passes earlier events to all observers again, even to those that
    have seen them.
    """

    def __init__(self, observer: ILogObserver) -> None:
        self._observer = observer
        # By identity; kept, so that no other event gets the same id.
        self._told: dict[int, LogEvent] | None = {}

    def __call__(self, event: LogEvent) -> None:
        if self._told is not None:
            if id(event) in self._told:
                return
            self._told[id(event)] = event
        self._observer(event)

    def logging_has_begun(self) -> None:
        """Remember no more events, since none will come again."""
        self._told = None


def _open_all(outputs: Iterable[tuple[Priority, Output]]) -> list[_LeveledSink]:
    """Open outputs, all or none; each is to take what is of a level or more serious.

    :raises OutputError: one of them cannot be opened.
    """
    sinks: list[_LeveledSink] = []
    with ExitStack() as undo:
        for least, output in outputs:
            sink = open_output(output)
            undo.callback(sink.close)
            sinks.append((least, sink))
        undo.pop_all()
    return sinks
