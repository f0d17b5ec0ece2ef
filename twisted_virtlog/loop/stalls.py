"""Whether the reactor stands still, judged by what one looks at from beside it.

It is looked at every :data:`LOOK_SECONDS`. A reactor that waits for events does not stand still.
One that is at work is asked for a sign that it turned, and stands still if there is none for
:data:`STALL_SECONDS`.

Time in which nobody could have turned does not count: while the process is stopped or the machine
sleeps, the look itself comes late; and on a machine that has too much to do the reactor's thread
waits for a processor, which the kernel tells. A look is also late while the reactor computes
something in one step that holds the interpreter. Then the processor time of its thread tells that
it was at work, and that counts.
"""

from __future__ import annotations

from msgspec import Struct

from twisted_virtlog.loop.durations import Durations

#: From one look to the next.
LOOK_SECONDS = 0.1

#: A reactor that did not turn for this long stands still.
STALL_SECONDS = 0.25


class Look(Struct, frozen=True):
    """What was found at a time; all times are in seconds.

    :ivar now: the time of a clock that never steps.
    :ivar processor: what the reactor's thread has had of a processor so far.
    :ivar queued: how long it has waited for a processor so far. It is wanted while it is at work,
        and until its sign has come.
    :ivar at_work: it does not wait for events.
    :ivar turned_at: when the sign came that it turned; None if none has come since the last look.
    """

    now: float
    processor: float
    queued: float
    at_work: bool
    turned_at: float | None = None


class Stall(Struct, frozen=True):
    """A stall, as it began or as it ended.

    :ivar seconds: how long it has taken so far.
    :ivar is_over: the reactor turns again.
    """

    seconds: float
    is_over: bool


class StallCounts(Struct, frozen=True):
    """What is counted of stalls.

    :ivar stalls: how many there were, the present one too.
    :ivar seconds: how long those that are over took together.
    :ivar longest: how long the longest of them took, in seconds.
    """

    stalls: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def with_begun(self) -> StallCounts:
        """Return the counts with one more that has begun."""
        return StallCounts(self.stalls + 1, self.seconds, self.longest)

    def with_ended(self, seconds: float) -> StallCounts:
        """Return the counts after the one that had begun ended."""
        return StallCounts(self.stalls, self.seconds + seconds, max(self.longest, seconds))


class Judge:
    """Takes look after look, and says once when a stall begins, and once when it is over.

    :ivar counts: of all stalls so far; a value that is exchanged, so any thread may read it.
    """

    def __init__(self, first: Look) -> None:
        """:param first: how it was at the beginning; the reactor turned then."""
        self.counts = StallCounts()
        #: How long the reactor took to its next turn, as often as that was waited for.
        self.turns = Durations()
        self._last = first
        self._due = LOOK_SECONDS
        # How long there has been no sign, while one is waited for.
        self._silent: float | None = None
        self._told = False

    @property
    def wants_sign(self) -> bool:
        """Whether a sign is waited for that the reactor turned."""
        return self._silent is not None

    @property
    def due(self) -> float:
        """In how many seconds the next look is due."""
        return self._due

    def judge(self, look: Look) -> Stall | None:
        """Return the stall that began or ended, if one did."""
        turned_at = look.turned_at
        if turned_at is None and not look.at_work:
            turned_at = look.now
        found: Stall | None = None
        if self._silent is None:
            if look.at_work:
                # Nothing was waited for; but if this look is as late, it was one step.
                late = look.now - self._last.now - self._due
                self._silent = max(0.0, min(late, self._worked(look)))
        elif turned_at is None:
            self._silent += self._counted(look, look.now)
        else:
            seconds = self._silent + self._counted(look, turned_at)
            if look.turned_at is not None:
                self.turns.add(seconds)
            found = self._ended(seconds)
            self._silent = 0.0 if look.at_work else None
        self._last = look
        self._due = LOOK_SECONDS
        if self._silent is None or self._told:
            return found
        if self._silent >= STALL_SECONDS:
            self._told = True
            self.counts = self.counts.with_begun()
            return Stall(self._silent, is_over=False)
        self._due = min(LOOK_SECONDS, STALL_SECONDS - self._silent)
        return found

    def _ended(self, seconds: float) -> Stall | None:
        if not self._told:
            return None
        self._told = False
        self.counts = self.counts.with_ended(seconds)
        return Stall(seconds, is_over=True)

    def _counted(self, look: Look, until: float) -> float:
        """Return how much of the time since the last look until a time counts."""
        elapsed = max(0.0, until - self._last.now)
        late = max(0.0, elapsed - self._due)
        queued = max(0.0, look.queued - self._last.queued)
        return max(elapsed - late - queued, min(elapsed, self._worked(look)), 0.0)

    def _worked(self, look: Look) -> float:
        return look.processor - self._last.processor
