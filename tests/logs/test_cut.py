"""Files that another program cuts in the middle of a write: no hole, no byte lost or twice."""

from __future__ import annotations

import errno
import os
import select
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import KIB, World
from tests.logs.test_failing import pass_time
from tests.logs.test_keeper import Notes
from twisted_virtlog.errors import NotWritten, SystemFailure
from twisted_virtlog.values import LogState

SIZES = [1, 100, 4 * KIB, 50 * KIB, 300 * KIB]


def text(size: int) -> bytes:
    """Make lines of so many bytes together."""
    return b"".join(b"%015d\n" % number for number in range(size // 16 + 1))[-size:]


class Between:
    """Does something once, right before the next call that writes to a file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._act: Callable[[], object] = lambda: None
        self._splice, self._pwrite = os.splice, os.pwrite
        monkeypatch.setattr(os, "splice", self.splice)
        monkeypatch.setattr(os, "pwrite", self.pwrite)

    def then(self, act: Callable[[], object]) -> None:
        """Do this before the next write."""
        self._act = act

    def _now(self) -> None:
        act, self._act = self._act, lambda: None
        act()

    def splice(self, *arguments: Any, **named: Any) -> int:
        self._now()
        return self._splice(*arguments, **named)

    def pwrite(self, *arguments: Any) -> int:
        self._now()
        return self._pwrite(*arguments)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    return Between(monkeypatch)


@pytest.mark.parametrize("cut", [0, 1, 70, 4 * KIB, 40 * KIB + 5])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 30, 3 * KIB, 60 * KIB])
def test_a_file_that_is_cut_before_the_bytes_come(
    cut: int, size: int, count: int, make_world: MakeWorld, between: Between
) -> None:
    """They stand where the file was cut to."""
    world = make_world()
    guest = world.open()
    before, new = text(size), text(count)
    Path(world.path).write_bytes(before)
    for _ in range(2):
        guest.write(new)
        between.then(lambda: os.truncate(world.path, min(cut, size)))
        assert world.position().offset == min(cut, size) + count
        assert world.text() == before[:cut] + new
        Path(world.path).write_bytes(before)
    assert world.append(b"!").offset == size + 1


@pytest.mark.parametrize("max_size", [0, 10 * KIB])
def test_every_way_of_writing(
    max_size: int, make_world: MakeWorld, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short ones and those that may roll over, copied ones, and messages."""
    world = make_world(max_size, 1)
    guest = world.open()

    def cut() -> None:
        os.truncate(world.path, 2)

    splice = between._splice

    def refuse(source: int, target: int, *rest: Any, **named: Any) -> int:
        if stat.S_ISREG(os.fstat(target).st_mode):
            raise OSError(errno.EINVAL, "no splice")
        return splice(source, target, *rest, **named)

    for write in (
        lambda: guest.write(b"new"),
        lambda: world.append(b"new"),
        lambda: (guest.write(b"new"), monkeypatch.setattr(between, "_splice", refuse)),
    ):
        Path(world.path).write_bytes(text(5000))
        between.then(cut)
        write()
        world.position()
        assert world.text() == text(5000)[:2] + b"new"


def test_a_file_that_only_may_be_written(
    make_world: MakeWorld, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written as ever; nobody can look at what is in it."""
    real = os.open

    def unreadable(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_ACCMODE == os.O_RDWR:
            raise PermissionError(errno.EACCES, "not to be read")
        return real(path, flags, *rest, **named)

    world = make_world()
    Path(world.path).touch()
    monkeypatch.setattr(os, "open", unreadable)
    guest = world.open()
    guest.write(b"first")
    assert world.position().offset == 5
    between.then(lambda: os.truncate(world.path, 0))
    guest.write(b"second")
    assert world.position().offset == 11
    assert world.text() == bytes(5) + b"second"


@st.composite
def with_nuls(draw: st.DrawFn) -> bytes:
    """Text of a guest that writes NULs too."""
    parts = st.sampled_from([b"a", b"line\n", bytes(1), bytes(7), bytes(5000), b"b" * 3000])
    return b"".join(draw(st.lists(parts, max_size=6)))


@given(before=with_nuls(), seen=with_nuls(), new=with_nuls(), cut=st.integers(0, 20000))
def test_a_guests_own_nuls_are_never_lost(before: bytes, seen: bytes, new: bytes, cut: int) -> None:
    """At worst some NULs too many stay where the file was cut.

    Where the guest wrote none, none are too many.
    """
    if b"\0" in before + seen:
        # It is known for its NULs, as there are some at the end of what it wrote.
        before += b"\0known"
    with (
        TemporaryDirectory() as directory,
        pytest.MonkeyPatch.context() as monkeypatch,
        ExitStack() as stack,
    ):
        between = Between(monkeypatch)
        world = World(Path(directory))
        stack.callback(world.close)
        Path(world.path).write_bytes(before)
        guest = world.open()
        guest.write(seen)
        world.position()
        kept = (before + seen)[:cut] if new else before + seen
        guest.write(new)
        between.then(lambda: os.truncate(world.path, len(kept)))
        world.position()
        found = world.text()
        assert found.startswith(kept)
        assert found[len(kept) :].endswith(new)
        surplus = found[len(kept) : len(found) - len(new)]
        assert not surplus.strip(b"\0")
        if b"\0" not in before + seen:
            assert not surplus


class Killed(BaseException):
    """The process is gone."""


class Steps:
    """Counts the system calls that a repair makes, from its beginning on, and may end it at one.

    :ivar count: how many there were.
    """

    NAMES = ("pread", "pwrite", "ftruncate", "fstat")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = -1
        self.at: dict[int, Callable[[], object]] = {}
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.step()
            return call(*arguments, **named)

        return counted

    def step(self) -> None:
        """Count one; do what is to be done at it."""
        if self.count >= 0:
            number, self.count = self.count, self.count + 1
            self.at.pop(number, lambda: None)()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


def kill() -> None:
    """End the process, for those who see it from outside."""
    raise Killed


class Noting(Notes):
    """A keeper whose notes are steps too: a kill may come before each, and after each."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def outage(self, log: Any) -> None:
        self._steps.step()
        self._steps.count = max(self._steps.count, 0)
        super().outage(log)
        self._steps.step()


@pytest.mark.parametrize("cut", [0, 4000])
def test_a_kill_at_any_step_loses_nothing(
    cut: int, make_world: MakeWorld, between: Between, steps: Steps
) -> None:
    """The next process does the rest, from what was noted; then the log goes on."""
    before, new = text(5000), b"in between\n"
    for number in range(100):
        world = make_world()
        notes = world.handler.keeper = Noting(steps)
        path = str(world.directory / f"{number}.log")
        guest = world.open(path)
        Path(path).write_bytes(before)
        guest.write(new)
        between.then(lambda path=path: os.truncate(path, cut))
        steps.count, steps.at = -1, {number: kill}
        try:
            world.position(path)
        except Killed:
            survived = False
        else:
            survived = True
        steps.count, steps.at = -1, {}
        state = notes.last("outage")
        after = make_world()
        after.handler.restore(msgspec.structs.replace(state, pipe=os.dup(state.pipe)))
        guest.write(b"next\n")
        assert after.position(path).offset == cut + len(new + b"next\n")
        assert after.text(path) == before[:cut] + new + b"next\n"
        assert after.status(path).bytes_written == len(new + b"next\n")
        if survived:
            break
    assert number > 4
    assert survived


def test_a_cut_in_the_middle_of_the_repair(
    make_world: MakeWorld, between: Between, steps: Steps
) -> None:
    """At each of its steps: no hole, nothing twice, and the log goes on."""
    before, new = text(5000), b"in between\n"
    for cut in (0, 10, 4000):
        for number in range(100):
            world = make_world()
            world.handler.keeper = Noting(steps)
            path = str(world.directory / f"{cut}-{number}.log")
            guest = world.open(path)
            Path(path).write_bytes(before)
            guest.write(new)
            between.then(lambda path=path: os.truncate(path, 4001))
            again = {number: lambda path=path, cut=cut: os.truncate(path, cut)}
            steps.count, steps.at = -1, again
            world.position(path)
            steps.count = -1
            guest.write(b"next\n")
            world.position(path)
            found = world.text(path)
            kept = before[: 4001 if steps.at else cut]
            assert found in (kept + b"next\n", kept + new + b"next\n"), (cut, number)
            if steps.at:
                break
        assert number > 4


def test_a_repair_that_fails_is_an_outage(
    make_world: MakeWorld, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are kept for the next try, and are in the hand-over document."""
    world = make_world()
    guest = world.open()
    Path(world.path).write_bytes(text(5000))
    guest.write(b"kept ")
    pwrite = os.pwrite

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def cut() -> None:
        os.truncate(world.path, 0)
        monkeypatch.setattr(os, "pwrite", full)

    between.then(cut)
    with pytest.raises(NotWritten, match="No space left") as caught:
        world.position()
    assert caught.value.pending_bytes == 5
    assert world.status().state is LogState.FAILING
    state = world.handler.suspended()[0]
    guest.write(b"next")
    after = make_world()
    after.handler.adopt(msgspec.structs.replace(state, pipe=os.dup(state.pipe)))
    with pytest.raises(NotWritten):
        after.position()
    monkeypatch.setattr(os, "pwrite", pwrite)
    pass_time(after, 1.05)
    assert after.position().offset == 9
    assert after.text() == b"kept next"


@pytest.mark.parametrize("how", ["cut", "removed"])
def test_what_was_put_back_in_part_comes_once(
    how: str, make_world: MakeWorld, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full in the middle of the repair, and another program takes the file again."""
    world = make_world()
    guest = world.open()
    Path(world.path).write_bytes(text(5000))
    guest.write(b"first, second")
    pwrite = os.pwrite
    room = len(b"first, ")

    def nearly_full(file: int, data: bytes, offset: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = pwrite(file, data[:room], offset)
        room -= written
        return written

    def cut() -> None:
        os.truncate(world.path, 0)
        monkeypatch.setattr(os, "pwrite", nearly_full)

    between.then(cut)
    with pytest.raises(NotWritten) as caught:
        world.position()
    assert caught.value.pending_bytes == len(b"second")
    assert world.text() == b"first, "
    state = world.handler.suspended()[0]
    assert state.details is not None
    assert state.details.stranded is not None
    assert state.details.stranded.data == b"second"
    if how == "cut":
        os.truncate(world.path, 0)
    else:
        os.unlink(world.path)
    monkeypatch.setattr(os, "pwrite", pwrite)
    pass_time(world, 1.05)
    assert world.position().offset == len(b"second")
    assert world.text() == b"second"


def test_a_message_that_fails_behind_a_cut_leaves_nothing(
    make_world: MakeWorld, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller hears of the failure, so it must not come later; and nothing becomes a hole."""
    world = make_world()
    world.open()
    Path(world.path).write_bytes(text(5000))
    pwrite = os.pwrite
    tried: list[int] = []

    def one(*arguments: Any) -> int:
        if tried:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        tried.append(1)
        os.truncate(world.path, 3)
        return pwrite(*arguments)

    monkeypatch.setattr(os, "pwrite", one)
    with pytest.raises((NotWritten, SystemFailure)):
        world.append(b"message")
    monkeypatch.setattr(os, "pwrite", pwrite)
    assert world.append(b"next").offset == 7
    assert world.text() == text(5000)[:3] + b"next"


ROUNDS = 5000

# Copies and cuts as logrotate does, the log that it is told, for each line that it is sent.
TOOL = """
while read -r go; do
    cat "$1" >>"$2"
    truncate -s 0 "$1"
    echo done
done
"""
LINE_BYTES = 128

# In a process of its own, too: a thread would keep the interpreter between two calls of a write.
# (half a GiB at most: on a busy machine the rounds take long, and memory is not endless)
FLOOD = f"""
import os
for first in range(0, 2**29 // {LINE_BYTES}, 30):
    os.write(1, b"".join(b"%0{LINE_BYTES - 1}d\\n" % n for n in range(first, first + 30)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", [None, "/dev/shm"])
def test_thousands_of_cuts_under_a_flood(where: str | None, tmp_path: Path) -> None:
    """No NUL in what the tool copied or in the log, and all lines in order, none twice."""
    with TemporaryDirectory(dir=where or tmp_path) as directory, ExitStack() as stack:
        world = World(Path(directory))
        stack.callback(world.close)
        guest = world.open()
        copies = Path(directory) / "copies"
        command = ["sh", "-c", TOOL, "sh", world.path, str(copies)]
        with (
            subprocess.Popen([sys.executable, "-c", FLOOD], stdout=guest.write_end) as flood,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tool,
        ):
            assert tool.stdin is not None
            assert tool.stdout is not None
            try:
                for _ in range(ROUNDS):
                    # No copy begins while a write is under way: between a cut and its repair it
                    # would show the hole. The cut comes whenever it comes.
                    os.write(tool.stdin.fileno(), b"go\n")
                    while not select.select([tool.stdout], [], [], 0)[0]:
                        world.reactor.turn()
                    assert tool.stdout.readline() == b"done\n"
            finally:
                flood.kill()
                tool.stdin.close()
        world.position()
        last = -1
        with open(copies, "ab+") as file:
            file.write(world.text())
            file.seek(0)
            for line in file:
                assert b"\0" not in line
                # A cut may leave a part of a line, which the next one follows.
                if len(line) >= LINE_BYTES:
                    number = int(line[-LINE_BYTES:])
                    assert last < number
                    last = number
        assert last > ROUNDS
