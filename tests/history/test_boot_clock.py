"""The boot clock, and who sees that the wall clock steps."""

from __future__ import annotations

import ctypes
import struct
import time
from pathlib import Path

import pytest

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.history import boot_clock as module
from twisted_virtlog.history.boot_clock import BootClock, StepReader, boot_id, read_clocks
from twisted_virtlog.history.wall_times import SLACK_MS, UNWATCHED_MS, Watch, watch

#: adjtimex(2): add a time to the wall clock.
_ADJ_SETOFFSET = 0x100


class Clocks:
    """Two clocks that show what a test says."""

    def __init__(self) -> None:
        self.now = 1000
        self.ahead: int | None = 5_000_000
        self.steps = 0
        self.clock = BootClock(self.stepped, self.read)

    def read(self) -> tuple[int, int | None]:
        return self.now, self.ahead

    def stepped(self) -> None:
        self.steps += 1


def test_a_clock_that_does_not_step_is_one_watch() -> None:
    clocks = Clocks()
    assert clocks.clock.ms() == 1000
    clocks.now, clocks.ahead = 9000, 5_000_000 + SLACK_MS
    assert clocks.clock.present() == watch(1000, 9000, 5_000_000)
    clocks.now, clocks.ahead = 9001, 5_000_000 - SLACK_MS
    assert clocks.clock.take() == [watch(1000, 9001, 5_000_000)]
    assert clocks.steps == 0


def test_a_step_begins_another_watch() -> None:
    clocks = Clocks()
    clocks.now = 4000
    clocks.clock.ms()
    clocks.now, clocks.ahead = 4010, 1_400_000
    assert clocks.clock.ms() == 4010
    assert clocks.steps == 1
    clocks.now = 5000
    assert clocks.clock.take() == [watch(1000, 4000, 5_000_000), watch(4010, 5000, 1_400_000)]
    assert clocks.clock.take() == [watch(4010, 5000, 1_400_000)]


def test_a_step_was_not_long_before_it_is_told() -> None:
    """The kernel tells of it, even if nobody has read the clocks for long."""
    clocks = Clocks()
    clocks.now, clocks.ahead = 1000 + 10 * UNWATCHED_MS, 1_400_000
    assert clocks.clock.take() == [
        watch(1000, 1000 + 9 * UNWATCHED_MS, 5_000_000),
        watch(clocks.now, clocks.now, 1_400_000),
    ]


def test_readings_that_were_not_made_together_say_nothing() -> None:
    clocks = Clocks()
    clocks.now, clocks.ahead = 3000, None
    assert clocks.clock.ms() == 3000
    assert clocks.clock.present() == watch(1000, 1000, 5_000_000)


def test_whoever_was_held_up_after_reading_sees_no_step() -> None:
    clocks = Clocks()
    late = [(2000, 1_400_000)]
    clocks.clock._read = lambda: late.pop() if late else clocks.read()
    clocks.now = 3000
    assert clocks.clock.ms() == 2000
    assert clocks.steps == 0
    assert clocks.clock.take() == [watch(1000, 3000, 5_000_000)]
    # Nor does one that puts down what was before a step.
    clocks.clock._until = 500
    assert clocks.clock._present() == watch(1000, 1000, 5_000_000)


def test_a_thread_that_was_stopped_between_has_not_read_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = iter([1_000_000_000, 9_000_000_000])
    monkeypatch.setattr(module.time, "clock_gettime_ns", lambda clock: next(readings))
    assert read_clocks() == (9000, None)


def test_the_machine_s_clocks_are_read() -> None:
    now, ahead = read_clocks()
    assert ahead is not None
    assert abs(now / 1000 - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
    assert abs((now + ahead) / 1000 - time.time()) < 60
    clock = BootClock(lambda: None)
    assert isinstance(clock.present(), Watch)


@pytest.mark.parametrize(
    ("offsets", "more"),
    [
        (None, ""),
        ("monotonic           0         0\nboottime            0         0\n", ""),
        ("monotonic           7         0\nboottime           17       500\n", "+17.500"),
    ],
)
def test_a_boot_is_told_from_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offsets: str | None, more: str
) -> None:
    """Also from the same one by the clock of a time namespace; some kernels have none."""
    file = tmp_path / "timens_offsets"
    if offsets is not None:
        file.write_text(offsets)
    monkeypatch.setattr(module, "_TIME_NAMESPACE", file)
    assert boot_id() == module._BOOT_ID.read_text().strip() + more


def test_where_nothing_tells_a_boot_each_process_has_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_BOOT_ID", tmp_path / "missing")
    assert boot_id() != boot_id()


@pytest.mark.root
def test_the_kernel_tells_of_a_step() -> None:
    """By a microsecond and back, which nobody else notices."""
    reactor, clocks = FakeReactor(), Clocks()
    reader = StepReader(reactor, clocks.clock)
    assert not reactor.turn()
    clocks.now, clocks.ahead = 2000, 1_400_000
    _step(0, 1)
    try:
        assert reactor.turn()
    finally:
        _step(-1, 999_999)
    assert clocks.steps == 1
    reactor.run()
    reader.close()
    assert reader.fileno() == -1
    assert not reactor.readers
    reader.doRead()


def _step(seconds: int, microseconds: int) -> None:
    """Let the wall clock step."""
    libc = ctypes.CDLL(None, use_errno=True)
    request = ctypes.create_string_buffer(512)
    struct.pack_into("I", request, 0, _ADJ_SETOFFSET)
    # (struct timex: eight longs and an int come before the time)
    struct.pack_into("ll", request, 9 * struct.calcsize("l"), seconds, microseconds)
    if libc.adjtimex(request) < 0:
        pytest.skip("the clock cannot be set here")
