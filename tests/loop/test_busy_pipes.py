"""Busy pipes: how fast each fills on the average, and when one is busy no more."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from twisted_virtlog.loop.busy_pipes import LITTLE_A_SECOND, WINDOW_SECONDS, BusyPipes

NOW = 1000.0

MIB = 1024 * 1024


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's ends."""
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def busy(pipe: tuple[int, int]) -> BusyPipes:
    """Busy pipes, one of which became so a millisecond after the look before."""
    busy = BusyPipes()
    busy.add(pipe[0], NOW, 0.001)
    return busy


def test_they_are_asked_together_and_one_by_one(busy: BusyPipes, pipe: tuple[int, int]) -> None:
    """Whether they have bytes; of one that is not busy nothing is known."""
    assert (list(busy.ready()), busy.asked(pipe[0])) == ([], False)
    os.write(pipe[1], b"x")
    assert (list(busy.ready()), busy.asked(pipe[0])) == ([pipe[0]], True)
    assert (len(busy), pipe[0] in busy, list(busy.all())) == (1, True, [pipe[0]])
    busy.remove(pipe[0])
    assert (list(busy.ready()), busy.asked(pipe[0])) == ([], None)
    assert (len(busy), pipe[0] in busy, list(busy.all())) == (0, False, [])


def test_a_pipe_that_has_just_begun_fills_as_fast_as_it_did(
    busy: BusyPipes, pipe: tuple[int, int]
) -> None:
    """Its guest is not kept waiting until an average has come up."""
    assert busy.had(pipe[0], 1000, NOW) == pytest.approx(1e6)
    assert busy.had(pipe[0], 3000, NOW + 0.003) == pytest.approx(1e6)


def test_one_that_has_its_turn_among_others_fills_as_fast_as_on_the_average(
    busy: BusyPipes, pipe: tuple[int, int]
) -> None:
    """A mebibyte in four milliseconds, once in a quarter of a second, is four in a second."""
    rates = [
        busy.had(pipe[0], MIB // 4, NOW + 0.25 * turn + 0.001 * part)
        for turn in range(40)
        for part in range(4)
    ]
    late = rates[40:]
    assert max(late) < 16 * MIB
    assert max(late) > 4 * MIB


def test_a_steady_one_has_its_rate(busy: BusyPipes, pipe: tuple[int, int]) -> None:
    """However long it goes on, and soon after it has become another."""
    for step in range(1000):
        rate = busy.had(pipe[0], 1000, NOW + 0.001 * step)
    assert rate == pytest.approx(1e6, rel=0.02)
    for step in range(1000, 1000 + int(4 * WINDOW_SECONDS / 0.001)):
        rate = busy.had(pipe[0], 5000, NOW + 0.001 * step)
    assert rate == pytest.approx(5e6, rel=0.1)


def test_one_of_many_is_taken_to_have_had_its_turn(pipe: tuple[int, int]) -> None:
    """Others are busy, so it will not have the processor for long, or so it is assumed."""
    busy = BusyPipes()
    others = [os.pipe2(os.O_CLOEXEC) for _ in range(4)]
    for other, _ in others:
        busy.add(other, NOW, 0.001)
    busy.add(pipe[0], NOW, 0.001)
    assert busy.had(pipe[0], 1000, NOW) == pytest.approx(1000 / WINDOW_SECONDS)
    for ends in others:
        for end in ends:
            os.close(end)


def test_one_that_had_bytes_after_silence_is_busy_for_a_while(
    busy: BusyPipes, pipe: tuple[int, int]
) -> None:
    """What was before the silence says nothing of it."""
    busy.remove(pipe[0])
    busy.add(pipe[0], NOW, 3600.0)
    busy.had(pipe[0], 64 * 1024, NOW)
    assert not busy.quiet(NOW)
    assert busy.quiet(NOW + 1) == [pipe[0]]


def test_one_that_has_little_is_quiet_in_time(busy: BusyPipes, pipe: tuple[int, int]) -> None:
    """What it had long ago counts for less and less."""
    now = NOW
    for _ in range(100):
        now += 0.002
        busy.had(pipe[0], 20_000, now)
    assert not busy.quiet(now)
    assert not busy.quiet(now + 0.1)
    assert busy.quiet(now + 1.5) == [pipe[0]]
    # It is looked for now and then.
    assert not busy.quiet(now + 1.5 + WINDOW_SECONDS / 8)
    # One that goes on at a little more than that stays.
    for _ in range(1000):
        now += 0.01
        busy.had(pipe[0], LITTLE_A_SECOND // 80, now)
    assert not busy.quiet(now)
