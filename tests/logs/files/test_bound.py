"""A writer whose file may grow only so far."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from twisted_virtlog.errors import BoundReached, SystemFailure
from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.files.writer import Writer


class Steps:
    """Lets a file grow in steps; a step of 0 refuses. After the last one it is asked no more.

    :ivar asked: the sizes for which it was asked.
    """

    def __init__(self, steps: Sequence[int]) -> None:
        self._steps = list(steps)
        self.asked: list[int] = []

    def reach(self, writer: Writer, size: int) -> int:
        """See Bound."""
        self.asked.append(size)
        step = self._steps.pop(0) if self._steps else 1 << 40
        if not step:
            raise BoundReached(f"Unable to write to file {writer.path}", errno.EDQUOT, writer.path)
        return size + step


def files_of(path: Path) -> dict[str, bytes]:
    """Return the files of a log by their names."""
    return {file.name: file.read_bytes() for file in path.iterdir()}


LINES = st.lists(st.sampled_from([b"a", b"bb\n", b"\n", b"c" * 90, b"d" * 50 + b"\n"]), max_size=30)


@pytest.mark.lengthy
@settings(max_examples=examples(100), deadline=None)
@given(
    messages=st.lists(LINES.map(b"".join), max_size=8),
    steps=st.lists(st.integers(0, 120), max_size=60),
    max_size=st.sampled_from([0, 1, 60, 200]),
)
def test_files_are_split_as_without_a_bound(
    messages: list[bytes], steps: list[int], max_size: int
) -> None:
    """However often it is asked; and of a message that is refused nothing stays.

    (What a roll-over moved away stays, as on a full disk: then the message is not tried again.)
    """
    limits = Limits(max_size, 3)
    with tempfile.TemporaryDirectory() as directory:
        free, bound = Path(directory, "free"), Path(directory, "bound")
        for path in (free, bound):
            path.mkdir()
        one, other = Writer(str(free / "g.log"), limits), Writer(str(bound / "g.log"), limits)
        other.bound = Steps(steps)
        for message in messages:
            rollovers = other.rollovers
            try:
                other.append(message)
            except SystemFailure as failure:
                assert isinstance(failure, BoundReached)  # noqa: PT017 (it is not always raised)
                if other.rollovers != rollovers:
                    break
                continue
            one.append(message)
            assert files_of(bound) == files_of(free)
        one.close()
        other.close()


def test_nobody_is_asked_before_the_end_is_near(tmp_path: Path) -> None:
    """So that nearly all writes cost what they cost without a bound."""
    bound = Steps([1 << 20] * 3)
    writer = Writer(str(tmp_path / "g.log"), Limits(0, 3))
    writer.bound = bound
    for _ in range(1000):
        writer.append(b"x" * 1000)
    assert len(bound.asked) <= 3
    writer.append(b"x" * 300_000)
    assert bound.asked == sorted(bound.asked)
    writer.close()


def test_a_lease_is_of_one_file(tmp_path: Path) -> None:
    """After a roll-over the new one asks for its own."""
    bound = Steps([1 << 20] * 2)
    writer = Writer(str(tmp_path / "g.log"), Limits(1000, 3))
    writer.bound = bound
    for _ in range(3):
        writer.append(b"x" * 500)
    assert bound.asked == [0, 0]
    writer.close()


def test_what_is_refused_may_be_asked_for_again(tmp_path: Path) -> None:
    """A refusal leaves nothing behind that lets the next write in unasked."""
    bound = Steps([10, 0, 0, 10])
    writer = Writer(str(tmp_path / "g.log"), Limits(0, 3))
    writer.bound = bound
    writer.append(b"x" * 10)
    for _ in range(2):
        with pytest.raises(BoundReached):
            writer.append(b"y")
    writer.append(b"z")
    assert Path(writer.path).read_bytes() == b"x" * 10 + b"z"
    writer.bound = None
    writer.append(b"." * 1000)
    assert len(bound.asked) == 4
    writer.close()


def test_other_limits_leave_the_bound(tmp_path: Path) -> None:
    """And another bound leaves the limits."""
    writer = Writer(str(tmp_path / "g.log"), Limits(0, 3))
    writer.bound = Steps([10, 0])
    writer.append(b"x" * 10)
    writer.limits = Limits(1000, 3)
    with pytest.raises(BoundReached):
        writer.append(b"y")
    writer.limits = Limits(10, 3)
    writer.bound = Steps([])
    writer.append(b"y")
    assert files_of(tmp_path) == {"g.log": b"y", "g.log.0": b"x" * 10}
    writer.close()


def test_a_file_that_cannot_be_asked(tmp_path: Path) -> None:
    """It fails as any other does."""

    class Stale:
        def reach(self, writer: Writer, size: int) -> int:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    writer = Writer(str(tmp_path / "g.log"), Limits(0, 3))
    writer.bound = Stale()
    with pytest.raises(SystemFailure) as caught:
        writer.append(b"x")
    assert caught.value.errno == errno.ESTALE
    assert not isinstance(caught.value, BoundReached)
    writer.close()


def test_a_device_has_no_bound() -> None:
    """Nothing is kept there."""
    writer = Writer(os.devnull, Limits(0, 3))
    writer.bound = Steps([0])
    writer.append(b"x")
    assert writer.written == 1
    writer.close()
