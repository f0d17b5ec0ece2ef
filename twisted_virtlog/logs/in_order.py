"""Does what is asked of one log, in the order in which it is asked, when it takes long.

What takes more than a share of time goes on in slices, and others are served meanwhile; what is
asked of the same log then comes after it. So a caller finds what he would find if nothing took any
time, but later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_virtlog.interfaces import Answer, InSlices

T = TypeVar("T")

#: Does something long by itself; yields often, and returns its result.
Slices = Generator[None, None, T]


class Occupant(Protocol):
    """A log, as far as it is known here.

    :ivar order: what occupies it, if anything does.
    """

    order: InOrder | None

    def occupy(self, order: InOrder) -> None:
        """Take no bytes from now on but for what is done in order."""

    def free(self) -> None:
        """Go on as usual."""


class InOrder:
    """A queue of what is to be done, of which the first is under way."""

    def __init__(
        self,
        in_slices: InSlices,
        end: Callable[[], object],
        wanted: Callable[[], object] | None = None,
    ) -> None:
        """Do nothing yet.

        :param end: called when there is nothing more to do; the object is used up then.
        :param wanted: called when there is something to do, which waits for :meth:`begin`; by
            default, it does not wait.
        """
        self._in_slices = in_slices
        self._end = end
        self._wanted = wanted
        self._queue: deque[tuple[Slices[Any], _Result]] = deque()
        self._occupied: list[Occupant] = []
        self._begun = False

    def occupy(self, log: Occupant) -> None:
        """Occupy a log until there is nothing more to do."""
        if log.order is None:
            log.occupy(self)
            self._occupied.append(log)

    def do(self, work: Slices[T]) -> Answer[T]:
        """Do something after all that was asked for before.

        :returns: its result; at once if that takes no more than a share of time.
        :raises Exception: likewise.
        """
        result = _Result()
        self._queue.append((work, result))
        if self._wanted is not None:
            self._wanted()
        else:
            self.begin()
        answer: Answer[T] = result.get()
        return answer

    @property
    def is_wanted(self) -> bool:
        """Whether something waits for :meth:`begin`."""
        return bool(self._queue)

    def begin(self) -> None:
        """Do what there is to do, if that has not begun, and end."""
        self._wanted = None
        if not self._begun:
            self._begun = True
            self._in_slices(self._do_all())

    def _do_all(self) -> Slices[None]:
        queue = self._queue
        while queue:
            work, result = queue.popleft()
            try:
                value = yield from work
            except Exception as error:  # noqa: BLE001 (whoever asked is told)
                result.set(Failure(error))
            else:
                result.set(value)
        # (before anybody can ask for more)
        self._end()
        for log in self._occupied:
            log.free()


class _Result:
    """What comes of something, before or after somebody asks."""

    def __init__(self) -> None:
        self._found: list[Any] = []
        self._later: Deferred[Any] | None = None

    def set(self, value: Any) -> None:
        if self._later is None:
            self._found.append(value)
        else:
            # (a Failure becomes an errback)
            self._later.callback(value)

    def get(self) -> Any:
        if not self._found:
            self._later = Deferred()
            return self._later
        (value,) = self._found
        if isinstance(value, Failure):
            value.raiseException()
        return value
