"""Pipes watched as one: how long the watch looks away, and that nobody is forgotten."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterator

import pytest

from tests.fakes.reactor import FakeReactor
from twisted_virtlog.loop import guest_pipes
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES, SMALL_PIECE_BYTES, PipeWatch
from twisted_virtlog.loop.shares import SHARE_SECONDS, TOGETHER_SECONDS
from twisted_virtlog.syscalls import set_pipe_capacity


class Reader:
    """Takes what is in a pipe, which is said to hold what the test wants."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK)
        set_pipe_capacity(self.read_end, 8 * PIECE_BYTES)
        self.taken = b""
        self.floods = 0
        self.capacity = 1 << 30

    def pipe_ready(self, most: int = PIECE_BYTES) -> int:
        try:
            data = os.read(self.read_end, most)
        except BlockingIOError:
            return 0
        self.taken += data
        return len(data)

    def pipe_floods(self) -> None:
        self.floods += 1

    def end(self) -> None:
        """Close the write end, once."""
        if self.write_end >= 0:
            os.close(self.write_end)
        self.write_end = -1

    def close(self) -> None:
        """Close both ends."""
        os.close(self.read_end)
        self.end()


class Room:
    """A watch on a turned reactor, and readers."""

    def __init__(self, rest_seconds: float, between: Callable[[], object] = lambda: None) -> None:
        self.reactor = FakeReactor()
        self.now = 1000.0
        self.watch = PipeWatch(self.reactor, rest_seconds, between, seconds=lambda: self.now)
        self.readers: list[Reader] = []

    def reader(self) -> Reader:
        """Watch one more pipe."""
        reader = Reader()
        self.readers.append(reader)
        self.watch.add(reader.read_end, reader)
        return reader

    def is_ready(self, milliseconds: int = 0) -> bool:
        """Return whether the reactor would wake within a time."""
        poll = select.poll()
        poll.register(self.watch.fileno(), select.POLLIN)
        return bool(poll.poll(milliseconds))

    def close(self) -> None:
        """Close all."""
        self.watch.close()
        for reader in self.readers:
            reader.close()


# Longer than any test takes, so that a rest does not end by itself.
LONG = 3600.0


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A watch that rests for long, from the first time on."""
    monkeypatch.setattr(guest_pipes, "_FIRST_REST_SECONDS", LONG)
    room = Room(LONG)
    yield room
    room.close()


def test_the_first_byte_after_silence_is_seen_at_once(room: Room) -> None:
    """Only what follows waits."""
    reader = room.reader()
    assert not room.is_ready()
    os.write(reader.write_end, b"one")
    assert room.is_ready()
    room.reactor.turn()
    assert reader.taken == b"one"


def test_no_rest_comes_while_more_are_ready_than_one_look_finds(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of guests that go together are served one look after another."""
    monkeypatch.setattr(guest_pipes, "_EVENTS", 2)
    readers = [room.reader() for _ in range(5)]
    for reader in readers:
        os.write(reader.write_end, b"last words")
    for served in (2, 4, 5):
        assert room.is_ready()
        room.reactor.turn()
        assert sum(bool(reader.taken) for reader in readers) == served


def test_after_little_the_watch_rests(room: Room) -> None:
    """The reactor does not wake for each line of a guest."""
    reader, other = room.reader(), room.reader()
    os.write(reader.write_end, b"one")
    room.reactor.turn()
    os.write(reader.write_end, b"two")
    os.write(other.write_end, b"three")
    assert not room.is_ready()


def test_a_rest_ends_by_itself_and_finds_all(room: Room) -> None:
    """What came meanwhile is taken together."""
    short = Room(0.001)
    reader, other = short.reader(), short.reader()
    os.write(reader.write_end, b"one")
    short.reactor.turn()
    os.write(reader.write_end, b"two")
    os.write(other.write_end, b"three")
    assert short.is_ready(60_000)
    short.reactor.turn()
    assert (reader.taken, other.taken) == (b"onetwo", b"three")
    # Then it rests again, finds nothing, and sleeps until something comes.
    assert short.is_ready(60_000)
    short.reactor.turn()
    assert not short.is_ready(20)
    os.write(other.write_end, b"four")
    assert short.is_ready()
    short.close()


def test_a_pipe_that_fills_is_read_on_at_once(room: Room) -> None:
    """A writer does not wait for a rest to end; what it has in a turn is taken in pieces."""
    reader = room.reader()
    more_than_a_piece = b"x" * (3 * PIECE_BYTES + 1)
    os.write(reader.write_end, more_than_a_piece)
    room.watch._looked_at += LONG  # (nothing has passed since it looked)
    room.reactor.turn()
    assert reader.taken == more_than_a_piece
    os.write(reader.write_end, b"!")
    assert room.is_ready()


def test_a_full_pipe_comes_again_after_the_others(room: Room) -> None:
    """A flood keeps nobody waiting for longer than a piece of it takes."""
    flood, quiet = room.reader(), room.reader()
    order = []
    for name, reader, size in (("flood", flood, 2 * PIECE_BYTES), ("quiet", quiet, 1)):
        os.write(reader.write_end, b"x" * size)

        def ready(most: int, name: str = name, reader: Reader = reader) -> int:
            order.append(name)
            return Reader.pipe_ready(reader, most)

        reader.pipe_ready = ready  # type: ignore[method-assign]
    room.reactor.turn()
    assert order[:2] == ["flood", "quiet"]
    assert order[2:] == ["flood"]


def test_clients_are_seen_to_between_much_of_one_pipe_and_much_of_the_next() -> None:
    """A position does not wait for the end of a flood's turn."""
    calls = []
    room = Room(LONG, lambda: calls.append([len(reader.taken) for reader in room.readers]))
    first, second = room.reader(), room.reader()
    for reader in (first, second):
        os.write(reader.write_end, b"x" * 65536)
    room.reactor.turn()
    assert sorted(calls[0]) == [0, 65536]
    assert calls[1:] == [[65536, 65536]]
    room.close()


@pytest.mark.parametrize(
    ("pieces", "are_asking", "floods"), [(4, True, True), (4, False, False), (1, True, False)]
)
def test_a_flood_is_told_while_clients_ask(pieces: int, are_asking: bool, floods: bool) -> None:
    """Who has little, or keeps nobody waiting, is no flood."""
    room = Room(LONG, lambda: int(are_asking))
    reader = room.reader()
    os.write(reader.write_end, b"x" * pieces * PIECE_BYTES)
    room.watch.doRead()
    assert bool(reader.floods) == floods
    room.close()


def test_a_flood_may_leave_the_watch() -> None:
    """When it is told; it is not served then."""
    served = []
    room = Room(LONG, lambda: 1)
    reader = room.reader()

    def leave() -> None:
        served.append(len(reader.taken))
        room.watch.remove(reader.read_end)

    reader.pipe_floods = leave  # type: ignore[method-assign]
    os.write(reader.write_end, b"x" * 6 * PIECE_BYTES)
    room.watch.doRead()
    assert served == [len(reader.taken)]
    assert len(reader.taken) < 6 * PIECE_BYTES
    assert not room.is_ready()
    room.close()


def test_pieces_are_smaller_while_clients_ask() -> None:
    """Each of them waits for half a piece; and a flood alone is moved at its best."""
    served: list[int] = []
    room = Room(LONG, lambda: served.pop() if served else 0)
    flood = room.reader()
    pieces = []

    def ready(most: int) -> int:
        pieces.append(most)
        room.now += 0.00001
        return Reader.pipe_ready(flood, most)

    flood.pipe_ready = ready  # type: ignore[method-assign]
    os.write(flood.write_end, b"x" * 4 * PIECE_BYTES)
    room.watch.doRead()
    assert pieces == [PIECE_BYTES] * 4
    pieces.clear()
    served.append(1)
    os.write(flood.write_end, b"x" * 2 * PIECE_BYTES)
    room.watch.doRead()
    assert pieces == [PIECE_BYTES, *[SMALL_PIECE_BYTES] * 2]
    # Also in the next turns, for a while.
    pieces.clear()
    os.write(flood.write_end, b"x" * PIECE_BYTES)
    room.watch.doRead()
    room.now += 1.0
    os.write(flood.write_end, b"x" * PIECE_BYTES)
    room.watch.doRead()
    assert pieces == [*[SMALL_PIECE_BYTES] * 2, PIECE_BYTES]
    assert len(flood.taken) == 8 * PIECE_BYTES
    room.close()


def test_the_fullest_pipe_decides(room: Room) -> None:
    """A busy pipe among quiet ones shortens the rest for all."""
    quiet, busy = room.reader(), room.reader()
    busy.capacity = 4096
    os.write(busy.write_end, b"x" * 4000)
    os.write(quiet.write_end, b"x")
    room.watch._looked_at += LONG
    room.reactor.turn()
    os.write(quiet.write_end, b"y")
    assert room.is_ready()
    # As the same, if the pipe holds much more, is little.
    busy.capacity = 1 << 20
    os.write(busy.write_end, b"x" * 4000)
    room.watch._looked_at -= LONG
    room.reactor.turn()
    os.write(quiet.write_end, b"y")
    assert not room.is_ready()


def test_a_pipe_that_ends_after_a_whole_piece_is_asked_no_more(room: Room) -> None:
    """How full it was is not asked of a pipe that is closed."""
    reader = room.reader()
    os.write(reader.write_end, b"x" * PIECE_BYTES)
    reader.end()

    def ready(most: int) -> int:
        moved = Reader.pipe_ready(reader, most)
        if not moved:
            room.watch.remove(reader.read_end)
            del reader.capacity
        return moved

    reader.pipe_ready = ready  # type: ignore[method-assign]
    room.reactor.turn()
    assert len(room.watch) == 0


def test_nobody_rests_while_a_pipe_has_more_than_a_turn_takes(room: Room) -> None:
    """However long ago it was looked at before."""
    reader = room.reader()
    set_pipe_capacity(reader.write_end, 16 * PIECE_BYTES)
    os.write(reader.write_end, b"x" * 10 * PIECE_BYTES)
    room.watch._looked_at -= LONG
    room.reactor.turn()
    assert len(reader.taken) < 10 * PIECE_BYTES
    assert room.is_ready()
    room.reactor.turn()
    assert len(reader.taken) == 10 * PIECE_BYTES


def _turn_until_silent(room: Room) -> None:
    """Turn until nothing is ready and nothing is waited for but bytes."""
    while room.is_ready(50):
        room.reactor.turn()


@pytest.fixture
def awake() -> Iterator[Room]:
    """A watch that never rests."""
    room = Room(0.0)
    yield room
    room.close()


def _epoll_has(room: Room, reader: Reader) -> bool:
    try:
        room.watch._pipes.modify(reader.read_end, select.EPOLLIN)
    except FileNotFoundError:
        return False
    return True


def test_a_busy_pipe_costs_its_writer_no_epoll(awake: Room) -> None:
    """It is looked at without being watched, until it had nothing once; then it is watched."""
    busy, quiet = awake.reader(), awake.reader()
    for _ in range(3):
        os.write(busy.write_end, b"x" * 10_000)
        os.write(quiet.write_end, b"y")
        assert awake.is_ready()
        awake.reactor.turn()
        assert not _epoll_has(awake, busy)
        assert _epoll_has(awake, quiet)
    assert (len(busy.taken), quiet.taken) == (30_000, b"yyy")
    _turn_until_silent(awake)
    assert _epoll_has(awake, busy)
    os.write(busy.write_end, b"x")
    assert awake.is_ready()
    awake.reactor.turn()
    assert len(busy.taken) == 30_001


def test_a_busy_pipe_is_looked_at_after_a_rest() -> None:
    """Though nothing says that it is ready."""
    room = Room(0.001)
    reader = room.reader()
    os.write(reader.write_end, b"x" * 10_000)
    room.watch._looked_at -= LONG
    room.reactor.turn()
    os.write(reader.write_end, b"x" * 10_000)
    _turn_until_silent(room)
    assert len(reader.taken) == 20_000
    room.close()


@pytest.fixture
def timed() -> Iterator[tuple[Room, list[float]]]:
    """A watch that rests for ten milliseconds at most, and its rests."""
    room = Room(0.01)
    rests: list[float] = []
    room.watch._timer.start = rests.append  # type: ignore[method-assign]
    yield room, rests
    room.close()


def _print(room: Room, reader: Reader, count: int, seconds: float) -> None:
    """Let a guest print so much, a time after the look before; look."""
    os.write(reader.write_end, b"x" * count)
    room.now += seconds
    room.watch.doRead()
    reader.taken = b""


def test_guests_that_take_turns_stay_busy(timed: tuple[Room, list[float]]) -> None:
    """Who has nothing at one look has a turn at the next, and costs no epoll set then either."""
    room, rests = timed
    readers = [room.reader() for _ in range(6)]
    for reader in readers * 20:
        _print(room, reader, 20_000, 0.002)
    assert not any(_epoll_has(room, reader) for reader in readers)
    assert rests[-1] == 0.01
    # One after the other is quiet, while others print on.
    for _ in range(1000):
        _print(room, readers[0], 20_000, 0.002)
    assert [_epoll_has(room, reader) for reader in readers] == [False, *[True] * 5]


def test_busy_guests_that_have_nothing_for_a_moment_are_looked_at_again(
    timed: tuple[Room, list[float]],
) -> None:
    """None had a processor, perhaps; but not for ever."""
    room, rests = timed
    readers = [room.reader(), room.reader()]
    for reader in readers * 2:
        _print(room, reader, 20_000, 0.002)
    rests.clear()
    while not room.watch.is_calm:
        room.watch.doRead()
        assert len(rests) < 10
    assert rests
    assert rests == [rests[0] * 2**grown for grown in range(len(rests))]
    assert all(_epoll_has(room, reader) for reader in readers)
    # A guest alone has ended its burst.
    _print(room, readers[0], 20_000, 0.002)
    del rests[:]
    room.watch.doRead()
    assert (rests, room.watch.is_calm) == ([], True)


def test_a_rest_lets_come_no_more_than_a_cache_holds(timed: tuple[Room, list[float]]) -> None:
    """However large the pipes are, and however many guests fill them."""
    room, rests = timed
    readers = [room.reader() for _ in range(8)]
    for reader in readers * 30:
        os.write(reader.write_end, b"x" * 60_000)
        _print(room, reader, 1000, 0.0002)
    # (300 MB a second)
    assert 0.001 < rests[-1] < 0.003


def test_a_busy_pipe_can_be_removed_and_watched_again(awake: Room) -> None:
    """As when its file fails, and is written again."""
    reader = awake.reader()
    os.write(reader.write_end, b"x" * 10_000)
    awake.reactor.turn()
    awake.watch.remove(reader.read_end)
    _turn_until_silent(awake)
    os.write(reader.write_end, b"more")
    assert not awake.is_ready()
    awake.watch.add(reader.read_end, reader)
    awake.reactor.turn()
    assert reader.taken == b"x" * 10_000 + b"more"


def test_a_pipe_that_the_kernel_does_not_watch_again_is_looked_at_on(
    awake: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have used up what a user may watch (max_user_watches of epoll(7))."""

    class Full:
        def __getattr__(self, name: str) -> Callable[..., object]:
            return getattr(pipes, name)  # type: ignore[no-any-return]

        def register(self, *_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    pipes = awake.watch._pipes
    reader = awake.reader()
    os.write(reader.write_end, b"x" * 10_000)
    awake.reactor.turn()
    monkeypatch.setattr(awake.watch, "_pipes", Full())
    awake.reactor.turn()
    os.write(reader.write_end, b"more")
    assert awake.is_ready()
    awake.reactor.turn()
    assert reader.taken == b"x" * 10_000 + b"more"


def test_rests_begin_short_and_grow_while_there_is_little() -> None:
    """A line may be the first of many: a guest that begins to flood waits for no long rest."""
    room = Room(LONG)
    reader = room.reader()
    rests = []
    room.watch._timer.start = rests.append  # type: ignore[method-assign]
    for _ in range(4):
        os.write(reader.write_end, b"x")
        room.watch.doRead()
    assert rests == [rests[0] * 2**grown for grown in range(4)]
    assert rests[0] < 0.001
    # Calls that drained the pipe are no silence.
    room.watch.doRead()
    os.write(reader.write_end, b"x")
    room.watch.doRead()
    assert rests[4] == 2 * rests[3]
    # After silence the rests begin short again.
    room.watch.doRead()
    room.watch._looked_at -= 1.0
    os.write(reader.write_end, b"x")
    room.watch.doRead()
    assert rests[5:] == rests[:1]
    room.close()


def test_a_turn_is_bounded_and_the_rest_comes_in_the_next(room: Room) -> None:
    """Many busy pipes do not keep the reactor from its clients."""
    readers = [room.reader() for _ in range(20)]
    for reader in readers:
        os.write(reader.write_end, b"x" * 65536)
    room.reactor.turn()
    seen = [len(reader.taken) for reader in readers]
    assert 0 < sum(seen) <= 10 * 65536
    while not all(reader.taken for reader in readers):
        assert room.is_ready()
        room.reactor.turn()
    assert [len(reader.taken) for reader in readers] == [65536] * 20


def drain(reader: Reader) -> None:
    """Take what a pipe holds, as a call does that comes before the pipe's turn."""
    os.read(reader.read_end, 4 * PIECE_BYTES)
    serve_no_more(reader)


def serve_no_more(reader: Reader) -> None:
    """Let it be a mistake to serve a pipe: its guest may have locked it."""

    def ready(most: int) -> int:
        raise AssertionError("an empty pipe was served")

    reader.pipe_ready = ready  # type: ignore[method-assign]


def test_a_pipe_that_clients_had_drained_is_left_alone() -> None:
    """In the turn in which it was found ready, when clients are served in between."""
    room = Room(LONG, lambda: drain(second))
    first, second = room.reader(), room.reader()
    os.write(first.write_end, b"x" * PIECE_BYTES)
    os.write(second.write_end, b"x")
    room.reactor.turn()
    assert (len(first.taken), second.taken) == (PIECE_BYTES, b"")
    room.close()


@pytest.mark.parametrize("served", [0, 1])
def test_pipes_are_asked_again_if_somebody_was_served_in_between(
    served: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise nobody can have drained those that were just found to have some."""
    asked: list[int] = []
    monkeypatch.setattr(guest_pipes, "pipe_events", lambda pipe: asked.append(pipe) or 1)
    room = Room(LONG, lambda: served)
    first, second = room.reader(), room.reader()
    os.write(first.write_end, b"x" * (PIECE_BYTES // 2))
    os.write(second.write_end, b"x")
    room.reactor.turn()
    assert second.taken == b"x"
    assert asked == [second.read_end] * served
    room.close()


def test_a_busy_pipe_that_is_empty_is_left_alone(awake: Room) -> None:
    """No epoll set says of it that it has bytes."""
    reader = awake.reader()
    os.write(reader.write_end, b"x" * 10_000)
    awake.reactor.turn()
    assert not awake.watch.is_calm
    assert len(reader.taken) == 10_000
    serve_no_more(reader)
    awake.reactor.turn()
    assert awake.watch.is_calm


def test_a_pipe_that_was_drained_between_two_turns_is_left_alone(room: Room) -> None:
    """A long turn leaves some that are ready to the next one, and clients come in between."""
    readers = [room.reader() for _ in range(20)]
    for reader in readers:
        os.write(reader.write_end, b"x" * 65536)
    room.reactor.turn()
    left = [reader for reader in readers if not reader.taken]
    assert left
    for reader in left:
        drain(reader)
    while room.is_ready():
        room.reactor.turn()


def test_a_pipe_that_is_removed_is_not_asked(room: Room) -> None:
    """Also when it was found ready in this turn, and any number of times."""
    first, second = room.reader(), room.reader()
    for reader in (first, second):
        os.write(reader.write_end, b"x")
    first.pipe_ready = lambda most: room.watch.remove(second.read_end) or 1  # type: ignore[method-assign]
    second.pipe_ready = lambda most: room.watch.remove(first.read_end) or 1  # type: ignore[method-assign]
    room.reactor.turn()
    assert len(room.watch) == 1
    for reader in (first, second):
        room.watch.remove(reader.read_end)
        room.watch.remove(reader.read_end)
    assert len(room.watch) == 0


def test_a_turn_ends_when_its_time_is_up(room: Room) -> None:
    """However few bytes that is; the others come first in the next turn, and nobody rests."""
    order = []
    for number in range(5):
        reader = room.reader()
        os.write(reader.write_end, b"x")

        def ready(most: int, number: int = number, reader: Reader = reader) -> int:
            order.append(number)
            room.now += TOGETHER_SECONDS / 2
            return Reader.pipe_ready(reader, most)

        reader.pipe_ready = ready  # type: ignore[method-assign]
    room.reactor.turn()
    assert len(order) == 2
    assert room.is_ready()
    room.reactor.turn()
    room.reactor.turn()
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_clients_are_seen_to_after_each_share_of_time() -> None:
    """Also when that was for a few bytes of many pipes."""
    calls = []
    room = Room(LONG, lambda: calls.append(len(order)))
    order = []
    for _ in range(5):
        reader = room.reader()
        os.write(reader.write_end, b"x")

        def ready(most: int, reader: Reader = reader) -> int:
            order.append(reader)
            room.now += SHARE_SECONDS * 0.6
            return Reader.pipe_ready(reader, most)

        reader.pipe_ready = ready  # type: ignore[method-assign]
    room.reactor.turn()
    assert calls == [2, 4]
    room.close()
