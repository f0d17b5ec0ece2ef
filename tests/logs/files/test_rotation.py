"""What goes into which file, without files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.logs.model import Model
from twisted_virtlog.logs.files.rotation import (
    LOOK_BACK_BYTES,
    PIPE_CHUNK_BYTES,
    Create,
    Look,
    Move,
    NextStep,
    Remove,
    Rename,
    RollOver,
    line_end,
    next_step,
    roll_over_steps,
)


@pytest.mark.parametrize(
    ("size", "available", "into_chunk", "chunk", "max_size", "step"),
    [
        pytest.param(10**9, 5000, 0, 1024, 0, Move(5000), id="no limit"),
        pytest.param(0, 99, 0, 1024, 100, Move(99), id="fits"),
        pytest.param(60, 40, 0, 1024, 100, Move(40), id="fills the file exactly"),
        pytest.param(100, 1, 0, 1024, 100, RollOver(), id="the file is full"),
        pytest.param(150, 1, 0, 1024, 100, RollOver(), id="the file was too large before"),
        pytest.param(60, 60, 0, 60, 100, Look(40), id="all that fits is looked at"),
        pytest.param(0, 101, 0, 101, 100, Move(20), id="what is too far from the end is not"),
        pytest.param(20, 81, 20, 101, 100, Look(80), id="then what is near it"),
        pytest.param(0, 2500, 0, 1024, 1000, Move(920), id="in the first chunk"),
        pytest.param(0, 1500, 1000, 1024, 1000, Move(920), id="in the second chunk"),
        pytest.param(0, 2500, 0, 1024, 1100, Move(1024), id="no look back into another chunk"),
        pytest.param(1024, 1476, 0, 1024, 1100, Look(76), id="only into the same"),
        pytest.param(0, 1025, 0, 1024, 1024, Move(1024), id="a chunk fills the file exactly"),
    ],
)
def test_next_step(
    size: int, available: int, into_chunk: int, chunk: int, max_size: int, step: NextStep
) -> None:
    """Each step follows from sizes alone."""
    assert next_step(size, available, into_chunk, chunk, max_size) == step


@given(
    size=st.integers(0, 5000),
    available=st.integers(1, 5000),
    chunk=st.integers(1, 2000),
    max_size=st.integers(0, 3000),
    data=st.data(),
)
def test_each_step_keeps_the_limits(
    size: int, available: int, chunk: int, max_size: int, data: st.DataObject
) -> None:
    """No step overfills a file, takes what is not there, looks too far back, or does nothing."""
    into_chunk = data.draw(st.integers(0, chunk - 1))
    step = next_step(size, available, into_chunk, chunk, max_size)
    if isinstance(step, RollOver):
        assert 0 < max_size <= size
        return
    assert 1 <= step.count <= available
    assert max_size == 0 or size + step.count <= max_size
    if isinstance(step, Look):
        assert step.count <= min(LOOK_BACK_BYTES, chunk)
        assert size + step.count == max_size
        assert step.count < available
        assert into_chunk + step.count < chunk


@given(
    writes=st.lists(
        st.binary(max_size=300) | st.text("a\n", max_size=300).map(str.encode), max_size=8
    ),
    max_size=st.integers(0, 250),
    chunk=st.sampled_from([1, 7, 79, 80, 81, 100, 1024]),
)
def test_steps_together_are_the_rule_of_the_chunk(
    writes: list[bytes], max_size: int, chunk: int
) -> None:
    """Carried out one after the other, the steps fill files as virtlogd fills them."""
    model = Model(max_size, 10_000)
    files = [b""]
    for write in writes:
        for begin in range(0, len(write), chunk):
            model.chunk(write[begin : begin + chunk])
        moved = 0
        while moved < len(write):
            step = next_step(len(files[-1]), len(write) - moved, moved % chunk, chunk, max_size)
            if isinstance(step, RollOver):
                files.append(b"")
                continue
            taken = write[moved : moved + step.count]
            ends = line_end(taken) if isinstance(step, Look) else 0
            files[-1] += taken[: ends or None]
            moved += ends or len(taken)
            if ends:
                files.append(b"")
    newest_first = [model.files.get(name, b"") for name in ("", *(f".{i}" for i in range(9999)))]
    assert files == newest_first[: len(files)][::-1]
    assert not any(newest_first[len(files) :])


@pytest.mark.parametrize(
    ("window", "count"),
    [
        (b"abc", 0),
        (b"\nabc", 1),
        (b"a\nb\nc", 4),
        (b"abc\n", 4),
    ],
)
def test_a_file_ends_with_the_last_line_that_fits(window: bytes, count: int) -> None:
    """The last newline counts, itself included."""
    assert line_end(window) == count


def test_names_move_up_oldest_first() -> None:
    """Each name is free before it is given again."""
    assert roll_over_steps("/l", 3) == [
        Rename("/l.1", "/l.2"),
        Rename("/l.0", "/l.1"),
        Rename("/l", "/l.0"),
        Create("/l"),
    ]


def test_without_backups_the_file_is_replaced() -> None:
    """Nothing is renamed when no backup is kept."""
    assert roll_over_steps("/l", 0) == [Remove("/l"), Create("/l")]


def test_chunks_are_those_of_virtlogd() -> None:
    """The size of a chunk decides where files end, so it is part of what users see."""
    assert PIPE_CHUNK_BYTES == 1024
    assert LOOK_BACK_BYTES == 80
