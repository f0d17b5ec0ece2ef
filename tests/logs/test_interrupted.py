"""Rollovers that a crash interrupted, and how they go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.logs.files.names import newest_first
from twisted_virtlog.logs.files.rotation import (
    LOOK_BACK_BYTES,
    Create,
    Limits,
    Rename,
    RollOverStep,
    interrupted_steps,
    roll_over_steps,
    unfinished_steps,
)
from twisted_virtlog.logs.files.writer import Writer, interrupted_rollover

PATH = "/log"
FULL = 1000

#: What a file holds that the rollover begins.
NEW = -1


def _carried_out(steps: Sequence[RollOverStep], files: dict[str, int]) -> dict[str, int]:
    """Do with names what the writer does with files."""
    after = dict(files)
    for step in steps:
        if isinstance(step, Rename):
            if step.source in after:
                after[step.target] = after.pop(step.source)
        elif isinstance(step, Create):
            after.setdefault(step.path, NEW)
        else:
            after.pop(step.path, None)
    return after


@given(st.integers(1, 6), st.data())
def test_after_a_crash_at_any_step_no_backup_is_lost(backups: int, data: st.DataObject) -> None:
    """The files are as without the crash, once the next rollover that is due is done."""
    names = newest_first(PATH, backups)
    there = data.draw(st.integers(1, backups + 1))
    before = {name: number for number, name in enumerate(names[:there])}
    steps = roll_over_steps(PATH, backups)
    whole = _carried_out(steps, before)
    cut = data.draw(st.integers(0, len(steps)))
    files = _carried_out(steps[:cut], before)
    step = steps[cut] if cut < len(steps) else None
    if isinstance(step, Rename) and step.source in files and data.draw(st.booleans()):
        # The writer removes a file before it puts another in its place.
        files.pop(step.target, None)
    done = NEW in files.values()
    sizes = [(0 if files[name] == NEW else FULL) if name in files else None for name in names]
    left = interrupted_steps(sizes, FULL)
    files = _carried_out(unfinished_steps(PATH, backups, left), files)
    if not left and not done:
        # Nothing was moved yet, and the file is still full.
        files = _carried_out(steps, files)
    assert files == whole


@pytest.mark.parametrize(
    ("sizes", "left"),
    [
        pytest.param([FULL], 0, id="no backups"),
        pytest.param([None], 0, id="no files"),
        pytest.param([FULL, FULL, None], 0, id="fewer backups than allowed"),
        pytest.param([None, None, None], 0, id="somebody removed all"),
        pytest.param([None, FULL, FULL], 1, id="the new file is missing"),
        pytest.param([FULL, None, FULL], 2, id="the current file was about to be moved"),
        pytest.param([FULL, FULL, None, FULL], 3, id="a backup was about to be moved"),
        pytest.param([FULL - LOOK_BACK_BYTES, None, FULL], 2, id="it ended at a line"),
        pytest.param([FULL - LOOK_BACK_BYTES - 1, None, FULL], 0, id="somebody removed a backup"),
        pytest.param([0, None, FULL], 0, id="a new file beside a gap"),
    ],
)
def test_a_gap_tells_how_far_a_rollover_came(sizes: list[int | None], left: int) -> None:
    """Only a file that is due for it is rolled over."""
    assert interrupted_steps(sizes, FULL) == left


def test_without_a_limit_no_gap_means_anything() -> None:
    """Nothing rolls over then."""
    assert interrupted_steps([FULL, None, FULL], 0) == 0


def test_the_files_of_an_interrupted_rollover_are_found(tmp_path: Path) -> None:
    """A writer that goes on moves the current file into the gap, and touches no backup."""
    path = tmp_path / "a.log"
    path.write_bytes(b"2" * FULL)
    (tmp_path / "a.log.1").write_bytes(b"1" * FULL)
    (tmp_path / "a.log.2").write_bytes(b"0" * FULL)
    limits = Limits(FULL, 3)
    left = interrupted_rollover(str(path), limits)
    writer = Writer(str(path), limits, steps_left=left)
    writer.reopen()
    writer.append(b"new")
    writer.close()
    assert [file.read_bytes()[:3] for file in sorted(tmp_path.iterdir())] == [
        b"new",
        b"222",
        b"111",
        b"000",
    ]
