"""Watches all guests' pipes as one descriptor on the reactor, and rests when they had little.

How often the daemon wakes decides what it costs, not the bytes. Nothing hurries: a position, a
read and an append drain on demand, and a pipe holds much. So after a turn that found little in
every pipe the watch looks away for some milliseconds, and then finds more at once. A pipe that
fills fast shortens the rest, down to none, so that its writer does not wait.

The pipes are in an epoll set of their own. It is in a second one, the gate, which the reactor
watches: masking a set in its gate costs the same for ten pipes and for ten thousand, while adding
it to the reactor's set and removing it again would make the kernel walk through all of them.

Each write to a pipe in such a set runs through all of the sets, which doubles what a line costs its
writer. So a busy pipe is taken out of them: it is looked at after each rest anyhow (busy_pipes.py).

A guest can lock its pipe, and then whoever looks for bytes in it waits, see
:mod:`~twisted_virtlog.syscalls`. So no pipe is served that is not known to have some: the kernel
has just said so, and nobody has drained it since, or it is asked by poll(2).
"""

from __future__ import annotations

import contextlib
import errno
import math
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_virtlog.loop.busy_pipes import BusyPipes
from twisted_virtlog.loop.flag import Flag
from twisted_virtlog.loop.guard import guarded
from twisted_virtlog.loop.shares import SHARE_SECONDS, TOGETHER_SECONDS
from twisted_virtlog.loop.timerfd import TimerFD
from twisted_virtlog.syscalls import pipe_events

#: Whoever takes longer than this with a pipe waits for a file system that is slow to answer.
SLOW_SECONDS = 0.1

#: The longest rest in seconds.
REST_SECONDS = 0.008

#: A shorter rest than this is not worth a timer.
_SHORTEST_REST_SECONDS = 0.0003

#: The first rest after silence: nobody knows yet what follows. Each one is at most twice as long
#: as the one before.
_FIRST_REST_SECONDS = 0.0005

#: It is silent after no pipe was ready for this long. None may be ready for a moment because calls
#: drain them.
_SILENCE_SECONDS = 0.1

#: A rest ends before a pipe is fuller than this, at the rate at which it filled before.
_FILL_BEFORE_WAKING = 0.25

#: Nor before all pipes together have had so many bytes: what is in them is to be in a processor's
#: cache still when it is moved, and its pages when they are written again.
_TOGETHER_BYTES = 512 * 1024

#: The reactor's turn belongs to all guests: each in turn moves this many bytes at most. A
#: multiple of rotation.PIPE_CHUNK_BYTES, so that the next piece begins at a chunk.
PIECE_BYTES = 64 * 1024

#: And this many while clients ask something again and again: each of them waits for half a piece.
SMALL_PIECE_BYTES = 32 * 1024

#: For how long after an answer they do.
_ASKING_SECONDS = 0.01

#: About how many bytes one turn of the reactor moves from all pipes together. However few they are,
#: it takes no longer than TOGETHER_SECONDS.
_TURN_BYTES = 512 * 1024

#: After this many bytes from one pipe, it is time to serve clients.
_MUCH_BYTES = 32 * 1024

#: Less than this fills no pipe, as the smallest holds a page, and is not worth a look at how full.
_LITTLE_BYTES = 1024

#: A pipe that had this many bytes in a turn is busy.
_BUSY_BYTES = 8 * 1024

#: One that had this many in a turn in which a client was served, and has more, floods its log.
_FLOOD_BYTES = 128 * 1024

_EVENTS = 256

#: The kernel has no room in any epoll set, as of max_user_watches, or no memory.
_NO_ROOM = frozenset({errno.ENOSPC, errno.ENOMEM})


class Watched(Protocol):
    """A pipe's reader.

    :ivar capacity: bytes that the pipe holds, as far as is known.
    """

    capacity: int

    def pipe_ready(self, most: int = PIECE_BYTES) -> int:
        """Move some bytes, or end if there are none and no write end is open.

        It takes about a share of time, also when a piece would take longer. Readiness may be stale,
        or that of another pipe that had this number before.

        :param most: up to so many bytes, a whole piece.
        :returns: bytes that were moved; a whole piece, or more, says that more may wait. It is said
            of a piece that was ended by its time, too.
        """

    def pipe_slow(self) -> None:
        """Take note that :meth:`pipe_ready` took longer than :data:`SLOW_SECONDS`."""

    def pipe_floods(self) -> None:
        """Take note that it has more than others and that clients ask meanwhile.

        It may leave the watch for that.
        """

    def pipe_failed(self) -> None:
        """Respond to an exception from :meth:`pipe_ready`: stop watching, and try again later."""


@implementer(IReadDescriptor)
class PipeWatch:
    """All guests' pipes, as one descriptor on the reactor."""

    _logger = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        rest_seconds: float = REST_SECONDS,
        between: Callable[[], object] = lambda: 0,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Register with the reactor; :meth:`close` unregisters.

        :param rest_seconds: the longest rest; 0 never rests.
        :param between: called in a long turn after each pipe that had much, and after each share of
            time, to serve clients; returns 0 if it has served nobody.
        :param seconds: a clock that never steps.
        """
        self._between = between
        self._reactor = reactor
        self._rest_seconds = rest_seconds
        self._readers: dict[int, Watched] = {}
        self._ready: deque[int] = deque()
        # Those that are in no epoll set.
        self._busy = BusyPipes()
        self._seconds = seconds
        # When the latest look was, how long after the one before, what all pipes have had since,
        # and the longest rest that this allows. One look may take several turns.
        self._looked_at = seconds()
        self._elapsed = 0.0
        self._moved = 0
        self._rest_allowed = 0.0
        # When a client was answered between two pipes.
        self._answered_at = -math.inf
        self._resting = False
        self._timed = False
        # Up while busy pipes are to be looked at in the next turn; nothing else calls for them.
        self._again = Flag()
        self._next_rest = _FIRST_REST_SECONDS
        self._pipes = select.epoll()
        self._timer = TimerFD()
        self._gate = select.epoll()
        self._gate.register(self._pipes.fileno(), select.EPOLLIN)
        self._gate.register(self._timer.fileno(), select.EPOLLIN)
        self._gate.register(self._again.fileno(), select.EPOLLIN)
        reactor.addReader(self)

    def add(self, pipe: int, reader: Watched) -> None:
        """Watch a pipe's read end.

        :raises OSError: the kernel refuses; ENOSPC at the limit max_user_watches of epoll(7).
        """
        self._pipes.register(pipe, select.EPOLLIN)
        self._readers[pipe] = reader

    def add_or_poll(self, pipe: int, reader: Watched) -> None:
        """Watch the read end of a pipe that is in use already and must not be given up.

        Where the kernel has no room for it, it is looked at after each rest, as busy pipes are,
        until there is room.

        :raises OSError: the descriptor cannot be watched at all.
        """
        try:
            self.add(pipe, reader)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._readers[pipe] = reader
            self._busy.add(pipe, self._seconds())
            self._again.put_up()

    def remove(self, pipe: int) -> None:
        """Stop watching a pipe; to be called before it is closed, any number of times."""
        if self._readers.pop(pipe, None) is None:
            return
        if pipe in self._busy:
            self._busy.remove(pipe)
        else:
            try:
                self._pipes.unregister(pipe)
            except FileNotFoundError:
                # (the service has ended meanwhile, and given the pipe up)
                return

    def changed(self, pipe: int, reader: Watched) -> None:
        """Go on: here, nobody's output is awaited more than that of others."""

    def __contains__(self, pipe: int) -> bool:
        return pipe in self._readers

    @property
    def is_calm(self) -> bool:
        """Whether no pipe is known to be filling fast."""
        return not (self._busy or self._ready)

    def __len__(self) -> int:
        return len(self._readers)

    def close(self) -> None:
        """Stop watching."""
        self._reactor.removeReader(self)
        self._gate.close()
        self._timer.close()
        self._again.close()
        self._pipes.close()

    def fileno(self) -> int:
        """Return the gate's descriptor; -1 once closed."""
        return -1 if self._gate.closed else self._gate.fileno()

    def logPrefix(self) -> str:
        return "pipes"

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing, as the reactor has ended."""

    @guarded("watching the logs' pipes failed")
    def doRead(self) -> None:
        """Serve the pipes that are ready, and rest if they had little."""
        # How many of the first may be empty now, as that was known some time ago.
        doubtful = len(self._ready)
        are_more = False
        if not self._ready:
            self._ready.extend(self._busy.ready())
            found = self._pipes.poll(0, _EVENTS)
            self._ready.extend([pipe for pipe, _ in found])
            # (when thousands of guests go together, no rest comes between two looks)
            are_more = len(found) >= _EVENTS
            if not self._ready:
                self._found_nothing()
                return
        now = self._seconds()
        if not doubtful:
            self._elapsed, self._looked_at = now - self._looked_at, now
            self._moved = 0
            self._rest_allowed = 0.0 if are_more else self._rest_seconds
            if self._elapsed > _SILENCE_SECONDS:
                self._next_rest = _FIRST_REST_SECONDS
        self._serve_ready(now, doubtful)
        if self._ready:
            self._watch_again()
            return
        for pipe in self._busy.quiet(now):
            self._calm(pipe)
        rest = min(self._rest_allowed, self._next_rest)
        if self._moved >= _BUSY_BYTES:
            rest = min(rest, self._elapsed * _TOGETHER_BYTES / self._moved)
        if rest < _SHORTEST_REST_SECONDS:
            self._next_rest = _FIRST_REST_SECONDS
            self._watch_again()
        else:
            self._rest(rest)

    def _found_nothing(self) -> None:
        """Wait for bytes, or rest on, as one of several busy guests will have some soon."""
        if len(self._busy) > 1 and self._next_rest <= self._rest_seconds:
            self._rest(self._next_rest)
            return
        for pipe in self._busy.all():
            self._calm(pipe)
        self._watch_again()

    def _serve_ready(self, now: float, doubtful: int) -> None:
        """Serve the pipes that are ready, as far as this turn goes.

        :param doubtful: how many of them, from the first on, are to be asked before.
        """
        ready, readers, busy, seconds = self._ready, self._readers, self._busy, self._seconds
        left = _TURN_BYTES
        are_asking = now - self._answered_at < _ASKING_SECONDS
        piece = SMALL_PIECE_BYTES if are_asking else PIECE_BYTES
        turn_ends, share_ends = now + TOGETHER_SECONDS, now + SHARE_SECONDS
        # Those with more than they gave, and how much that was; they come again after the others.
        full: deque[tuple[int, int]] = deque()
        while left > 0 and now < turn_ends and (ready or full):
            pipe, before = (ready.popleft(), 0) if ready else full.popleft()
            reader = readers.get(pipe)
            asks = doubtful > 0 or before > 0
            begun = now
            doubtful -= 1
            if reader is None:
                continue
            try:
                moved = 0 if asks and not self._has_bytes(pipe) else reader.pipe_ready(piece)
            except Exception:  # noqa: BLE001 (no other pipe may suffer)
                self._logger.failure("a log's pipe could not be served")
                now = seconds()
                if now - begun > SLOW_SECONDS:
                    reader.pipe_slow()
                reader.pipe_failed()
                continue
            left -= moved
            self._moved += moved
            total = before + moved
            if total >= _LITTLE_BYTES and pipe in readers:
                if total >= _BUSY_BYTES and pipe not in busy:
                    busy.add(pipe, self._looked_at, self._elapsed)
                    self._pipes.unregister(pipe)
                if moved >= piece:
                    full.append((pipe, total))
                else:
                    self._shorten_rest(pipe, total, reader.capacity)
            now = seconds()
            if moved >= _MUCH_BYTES or now >= share_ends:
                if now - begun > SLOW_SECONDS:
                    reader.pipe_slow()
                floods = moved >= piece and total >= _FLOOD_BYTES
                served = self._serve_clients(reader if floods else None)
                now = seconds()
                # (clients may have had any of them drained)
                doubtful = doubtful if served == 0 else len(ready)
                piece = SMALL_PIECE_BYTES if served else piece
                self._answered_at = now if served else self._answered_at
                share_ends = now + SHARE_SECONDS
        for pipe, total in full:
            if pipe in readers:
                self._shorten_rest(pipe, total, 0)

    def _serve_clients(self, flooded: Watched | None) -> object:
        """Serve clients between two pipes; return 0 if there were none.

        :param flooded: whose pipe has more than can be served without their having to wait.
        """
        served = self._between()
        if served and flooded is not None:
            flooded.pipe_floods()
        return served

    def _shorten_rest(self, pipe: int, count: int, capacity: int) -> None:
        """Rest no longer than until a pipe may be too full.

        :param count: bytes that it had, at least one.
        :param capacity: how many it holds; 0 if it has more than it gave.
        """
        fills = capacity * _FILL_BEFORE_WAKING
        rest = fills * self._elapsed / count
        if pipe in self._busy:
            rate = self._busy.had(pipe, count, self._looked_at)
            # (one that is alone does not take turns, and may be faster now than before)
            rest = fills / rate if len(self._busy) > 1 else rest
        self._rest_allowed = min(self._rest_allowed, rest)

    def _has_bytes(self, pipe: int) -> bool:
        """Return whether bytes are in a pipe, or no write end is open."""
        has = self._busy.asked(pipe)
        return bool(pipe_events(pipe)) if has is None else has

    def _calm(self, pipe: int) -> None:
        # Where the kernel has no room for it any more, it goes on being looked at as if busy.
        with contextlib.suppress(OSError):
            self._pipes.register(pipe, select.EPOLLIN)
            self._busy.remove(pipe)

    def _rest(self, seconds: float) -> None:
        if not self._resting:
            self._resting = True
            self._gate.modify(self._pipes.fileno(), 0)
        self._next_rest = 2 * seconds
        self._again.take_down()
        self._timed = True
        self._timer.start(seconds)

    def _watch_again(self) -> None:
        if self._resting:
            self._resting = False
            self._gate.modify(self._pipes.fileno(), select.EPOLLIN)
        if self._busy:
            self._again.put_up()
            return
        self._again.take_down()
        if self._timed:
            self._timed = False
            self._timer.stop()
