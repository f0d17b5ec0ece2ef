"""Logs with rates used at random: each byte is in the file, or said to be missing where it was."""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.effort import examples
from tests.logs.fakes import DOMAIN, KIB, STRANGER, World, copied, log_settings
from tests.logs.test_failing import files_end_at
from twisted_virtlog.errors import NotWritten
from twisted_virtlog.logs.rate import Rate
from twisted_virtlog.values import LogState, OnRate

_NOTICE = re.compile(rb"\[virtlogd: (\d+) bytes lost from [^\n]*\]\n")

#: Most of them drop.
rates = st.builds(
    Rate.of,
    st.sampled_from([100, 1000, 1, 10_000, 0]),
    st.sampled_from([0, 50, 5000]),
    st.sampled_from([0, 3000]),
    st.sampled_from([OnRate.DROP, OnRate.DROP, OnRate.BLOCK]),
)


class LimitedLog(RuleBasedStateMachine):
    """One log, of one guest after another."""

    @initialize(rate=rates, max_size=st.sampled_from([0, 50_000]))
    def start(self, rate: Rate | None, max_size: int) -> None:
        """Start a daemon, and a guest."""
        self.directory = tempfile.TemporaryDirectory()
        self.max_size, self.rate = max_size, rate
        # All that was ever written, in order; and of those that are gone, what the files had.
        self.written = bytearray()
        self.worlds = [self._world()]
        self.guest = self.world.open()
        self.guests = [self.guest]
        self.number = 0

    @property
    def world(self) -> World:
        return self.worlds[-1]

    def _world(self) -> World:
        # (so many backups, of such a size, that none is removed)
        return World(Path(self.directory.name), self.max_size, 32, rate=self.rate)

    def teardown(self) -> None:
        """End all; find all bytes."""
        if not hasattr(self, "worlds"):
            return
        self.guest.end()
        self._turn(12)
        for _ in range(3):
            self.world.clock.pump([0.5] * 4)
            self._turn(12)
        assert not self.world.is_open()
        self._account()
        self.world.close()
        for guest in self.guests:
            guest.end()
        self.directory.cleanup()

    @rule(
        lengths=st.lists(st.sampled_from([5000, 700, 80, 9, 1, 0]), min_size=1, max_size=8),
        turns=st.integers(0, 4),
    )
    def write(self, lengths: list[int], turns: int) -> None:
        """Write some lines, as far as there is room; the last may lack its end."""
        for length in lengths:
            self.number += 1
            line = b"%d:" % self.number + b"x" * length + b"\n" * (self.number % 7 != 0)
            taken = self.guest.write_without_blocking(line)
            self.written += line[:taken]
        self._turn(turns)

    @rule(turns=st.integers(1, 6))
    def turn(self, turns: int) -> None:
        """Let the daemon look at the pipe."""
        self._turn(turns)

    def _turn(self, turns: int) -> None:
        for _ in range(turns):
            self.world.reactor.turn()

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.world.clock.pump([seconds / 4] * 4)

    @rule()
    def position(self) -> None:
        """All that was written is accounted for then, but for what is yet to be said."""
        if self.world.status().state is LogState.OPEN:
            self.world.position()
            self._account(self._unsaid())

    @rule(lengths=st.lists(st.sampled_from([700, 5000, 9]), min_size=2, max_size=6))
    def write_and_ask(self, lengths: list[int]) -> None:
        """Ask for a position in the middle of a flood."""
        self.write(lengths, 4)
        self.write(lengths[:1], 0)
        self.position()

    def _unsaid(self) -> int:
        log = self.world.handler.log_of(self.world.path)
        assert log is not None
        return log.excess.lost if log.excess else 0

    @rule(rate=rates)
    def reload(self, rate: Rate | None) -> None:
        """Change the rate."""
        self.rate = rate
        self.world.handler.reload(log_settings(self.max_size, 32, rate=rate), 64 * KIB)

    @rule(killed=st.booleans())
    def go_on(self, killed: bool) -> None:
        """Hand over, or be killed where nothing is yet to be noted."""
        former = self.world
        states = former.handler.snapshot() if killed else former.handler.suspended()
        following = self._world()
        following.clock.advance(former.clock.seconds())
        for state in states:
            take = following.handler.restore if killed else following.handler.adopt
            take(copied(state))
        former.handler.abandon_all()
        former.close_pipes()
        self.worlds.append(following)

    @rule(same=st.booleans())
    def another_guest(self, same: bool) -> None:
        """End, and have the log opened by another guest."""
        self.guest.end()
        with suppress(NotWritten):
            self.guest = self.world.open(domain=DOMAIN if same else STRANGER)
            self.guests.append(self.guest)

    @precondition(lambda self: not self.max_size and self.world.is_open())
    @rule(seconds=st.sampled_from([0.2, 2.5]), length=st.sampled_from([1, 3000]))
    def outage(self, seconds: float, length: int) -> None:
        """Let the disk be full for some time."""
        log = Path(self.world.path)
        with files_end_at(log.stat().st_size):
            self.write([length], 0)
            with suppress(NotWritten):
                self.world.position()
            self._turn(2)
            self.world.clock.pump([0.05] * round(seconds / 0.05))
        self.world.clock.pump([0.05] * 25)
        self._turn(2)

    def _account(self, unsaid: int = 0) -> None:
        """Go through the files, with a place in what was written."""
        places, end = {0}, 0
        text = self.world.whole()
        for notice in _NOTICE.finditer(text):
            before = text[end : notice.start()]
            places = self._after(before, places) | self._after_cut(before, places)
            assert places
            places = {place + int(notice.group(1)) for place in places}
            end = notice.end()
        assert len(self.written) - unsaid in self._after(text[end:], places)

    def _after(self, text: bytes, places: set[int]) -> set[int]:
        """Return where a text ends that begins at one of some places."""
        ends = [(place, place + len(text)) for place in places]
        return {end for place, end in ends if text == self.written[place:end]}

    def _after_cut(self, text: bytes, places: set[int]) -> set[int]:
        """Return the same if its last byte was added, as a notice begins a line.

        (A guest's own line end may have been the first byte that was dropped: both are possible.)
        """
        return self._after(text[:-1], places) if text.endswith(b"\n") else set()


LimitedLog.TestCase.settings = settings(
    max_examples=examples(100), stateful_step_count=30, deadline=None
)
TestLimitedLog = pytest.mark.lengthy(LimitedLog.TestCase)
