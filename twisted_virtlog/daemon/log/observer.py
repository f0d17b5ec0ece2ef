"""The daemon's observer of twisted.logger: filters, and hands on to the outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TypeAlias

from msgspec.structs import replace
from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from twisted_virtlog.config.logging import DEFAULT_PRIORITY, wanted
from twisted_virtlog.daemon.log.file_sink import FileSink
from twisted_virtlog.daemon.log.lines import namespace_of, priority_of
from twisted_virtlog.daemon.log.output_thread import flush
from twisted_virtlog.daemon.log.outputs import open_output
from twisted_virtlog.daemon.log.parts import names_of
from twisted_virtlog.daemon.log.sink import Sink
from twisted_virtlog.interfaces import IOwnLog
from twisted_virtlog.values import Filter, Logging, Output, Priority

#: How long opening the outputs may take the thread that asks for it, while it serves others and at
#: the start; what is not open by then, on a disk that hangs, counts as open.
OPEN_SECONDS = 1.0
START_SECONDS = 2.0

#: How long closing them waits until all is written.
CLOSE_SECONDS = 1.0

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

        :param default_outputs: returns the outputs for a level, where none are named; the
            directories of their files are made.
        :param outputs: empty for the default.
        :raises OutputError: one of them cannot be opened; none stays open then.
        """
        self._default_outputs = default_outputs
        self._logging = Logging(level, (), ())
        self._sinks: list[_LeveledSink] = []
        self._change(level, filters, outputs, START_SECONDS)

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
        self._change(level, filters, outputs, OPEN_SECONDS)

    def _change(
        self,
        level: Priority | None,
        filters: Sequence[Filter] | None,
        outputs: Sequence[Output] | None,
        seconds: float,
    ) -> None:
        present = self._logging
        level = present.level if level is None else level
        filters = present.filters if filters is None else tuple(filters)
        if outputs is None:
            self._logging = replace(present, level=level, filters=filters)
        elif outputs:
            self._exchange(_open_all([(one.priority, one) for one in outputs], seconds))
            self._logging = Logging(level, filters, tuple(outputs))
        else:
            default = tuple(self._default_outputs(level))
            leveled = [(Priority.DEBUG, one) for one in default]
            self._exchange(_open_all(leveled, seconds, make_directories=True))
            self._logging = Logging(level, filters, default)

    def files(self) -> tuple[str, ...]:
        """Return the paths of the files that are written, without symbolic links."""
        return tuple(file for sink in self._file_sinks() if (file := sink.file()) is not None)

    def flush(self, seconds: float) -> bool:
        """Wait until all messages are written that came before, but no longer than some seconds.

        :returns: whether they are.
        """
        return not flush(seconds)

    def let_go(self, seconds: float) -> list[str]:
        """Write what waits and close the files, which may take some seconds.

        After that no disk holds up an exec. The next message opens the files again.

        :returns: what is not done by then, and would hold up an exec: paths of files, mostly. What
            waits for anything else, such as a full pipe, is lost by an exec.
        """
        for sink in self._file_sinks():
            sink.let_go()
        return [thread.name for thread in flush(seconds) if not thread.is_interruptible]

    def close(self) -> None:
        """Close the outputs when all is written, and wait a second at most for that."""
        self._exchange([])
        self._logging = replace(self._logging, outputs=())
        flush(CLOSE_SECONDS)

    def _file_sinks(self) -> list[FileSink]:
        return [sink for _, sink in self._sinks if isinstance(sink, FileSink)]

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


def _open_all(
    outputs: Iterable[tuple[Priority, Output]], seconds: float, make_directories: bool = False
) -> list[_LeveledSink]:
    """Open outputs, all or none; each is to take what is of a level or more serious.

    :param seconds: how long this may take in all.
    :raises OutputError: one of them cannot be opened.
    """
    sinks: list[_LeveledSink] = []
    deadline = time.monotonic() + seconds
    with ExitStack() as undo:
        for least, output in outputs:
            sink = open_output(output, deadline, make_directories)
            undo.callback(sink.close)
            sinks.append((least, sink))
        undo.pop_all()
    return sinks
