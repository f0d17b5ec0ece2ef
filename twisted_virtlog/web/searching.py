"""Search in all files of a log, in a process that may not take long."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from twisted_virtlog.client import LogFile, LogFiles, Position
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.web.files import Files
from twisted_virtlog.web.queries import MakesNoSense
from twisted_virtlog.web.search_process import BAD_PATTERN_STATUS

#: So many lines are found at most.
MOST_LINES = 1000
#: A search takes no longer.
LIMIT_SECONDS = 10.0
#: So many go on at once.
_AT_ONCE = 2

_PROGRAM = Path(__file__).with_name("search_process.py")
#: Where the packages are, of which this is in one.
_PACKAGES = str(Path(__file__).parents[2])
#: The first descriptor after the standard ones.
_FIRST_DESCRIPTOR = 3


class ISearchReactor(IReactorProcess, IReactorTime):
    """What searching needs of a reactor."""


@dataclass(frozen=True)
class Wanted:
    """What is searched for.

    :ivar is_regex: ``pattern`` is a regular expression of Python's, about bytes.
    """

    pattern: str
    is_regex: bool
    ignore_case: bool


class Line(msgspec.Struct, frozen=True):
    """A line that was found.

    :ivar at: where it begins, or in a long one what was found.
    """

    at: Position
    text: str


@dataclass(frozen=True)
class Found:
    """What a search has found, the oldest first.

    :ivar ended_by: why it is not all: ``lines``, ``time``, ``compressed`` (compressed files could
        not be read: they are broken, or there is no zstd here); None if it is.
    """

    lines: Sequence[Line]
    ended_by: str | None


class Searching:
    """Searches, a few at a time.

    :param limit: seconds that a search may take.
    """

    def __init__(self, reactor: ISearchReactor, files: Files, limit: float = LIMIT_SECONDS) -> None:
        self._reactor = reactor
        self._files = files
        self._limit = limit
        self._turns = DeferredSemaphore(_AT_ONCE)

    async def search(self, client: Client, path: str, wanted: Wanted) -> Found:
        """Search all that is kept of a log.

        :raises MakesNoSense: the regular expression makes no sense.
        """
        turn = await self._turns.acquire()
        try:
            return await self._search(client, path, wanted)
        finally:
            turn.release()

    async def _search(self, client: Client, path: str, wanted: Wanted) -> Found:
        lines: list[Line] = []
        start: Position | None = None
        deadline = self._reactor.seconds() + self._limit
        is_whole = True
        while True:
            files = await self._files.of(client, path, start)
            try:
                # (the last of those before comes again)
                new = [one for one in files.files if not _is_in(start, one)]
                left = deadline - self._reactor.seconds()
                run = _Run(self._reactor, new, wanted, MOST_LINES - len(lines), left)
                in_time = await run.ended
            finally:
                _close(files)
            lines += run.lines
            is_whole &= run.is_whole
            if not in_time:
                return Found(lines, "time")
            if len(lines) >= MOST_LINES:
                return Found(lines, "lines")
            if not files.more or not files.files:
                return Found(lines, None if is_whole else "compressed")
            last = files.files[-1]
            start = Position(last.inode, last.size, last.birth)


def _is_in(position: Position | None, file: LogFile) -> bool:
    return position is not None and (position.inode, position.birth) == (file.inode, file.birth)


def _close(files: LogFiles) -> None:
    for file in files.files:
        os.close(file.descriptor)


class _Run(ProcessProtocol):
    """The search of some files.

    :ivar ended: a Deferred that fires with whether it came to its end in time; it fails with
        MakesNoSense if the expression makes no sense.
    :ivar lines: what was found.
    :ivar is_whole: whether all files could be read.
    """

    #: An IProcessTransport, once the process has begun.
    transport: Any

    def __init__(
        self,
        reactor: ISearchReactor,
        files: Sequence[LogFile],
        wanted: Wanted,
        most: int,
        limit: float,
    ) -> None:
        self._files = files
        self._output = bytearray()
        self._errors = bytearray()
        self._in_time = True
        self.ended: Deferred[bool] = Deferred(lambda _ended: self._kill())
        self.lines: list[Line] = []
        self.is_whole = True
        numbers = range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + len(files))
        asked = {
            "pattern": wanted.pattern,
            "is_regex": wanted.is_regex,
            "ignore_case": wanted.ignore_case,
            "most": most,
            "files": [
                (number, file.size, file.compressed)
                for number, file in zip(numbers, files, strict=True)
            ],
            "modules": [_PACKAGES, *filter(None, sys.path)],
        }
        self._input = json.dumps(asked).encode()
        reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-I", "-S", str(_PROGRAM)],
            env={},
            childFDs={
                0: "w",
                1: "r",
                2: "r",
                **{number: file.descriptor for number, file in zip(numbers, files, strict=True)},
            },
        )
        self._timer: IDelayedCall | None = reactor.callLater(max(0.0, limit), self._give_up)

    def connectionMade(self) -> None:
        """Say what is wanted."""
        self.transport.write(self._input)
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        """Take lines that were found."""
        self._output += data

    def errReceived(self, data: bytes) -> None:
        """Take what is wrong."""
        self._errors += data

    def processEnded(self, reason: Failure) -> None:
        """Tell whoever waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.ended.called:
            return
        text = self._errors.decode(errors="replace").strip()
        if self._in_time and not reason.check(ProcessDone):
            if cast(ProcessTerminated, reason.value).exitCode == BAD_PATTERN_STATUS:
                self.ended.errback(MakesNoSense(f"the expression makes no sense: {text[-300:]}"))
            else:
                self.ended.errback(RuntimeError(f"the search failed: {text}"))
            return
        # (an unfinished line is left out)
        for told in self._output.split(b"\n")[:-1]:
            found = json.loads(told)
            if found is None:
                self.is_whole = False
                continue
            index, offset, line = found
            file = self._files[index]
            self.lines.append(Line(Position(file.inode, offset, file.birth), line))
        self.ended.callback(self._in_time)

    def _give_up(self) -> None:
        self._timer = None
        self._in_time = False
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")
