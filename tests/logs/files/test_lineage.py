"""What is remembered of a log's files where they cannot be marked, and what is not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.logs.conftest import MakeWorld
from tests.logs.fakes import place
from tests.logs.test_gaps import lines, read_on, set_backups
from twisted_virtlog.logs.files.lineage import GAP_ATTRIBUTE, Lineage, is_marked
from twisted_virtlog.values import MAX_BACKUPS, Position


@pytest.fixture
def no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a file system without extended attributes."""

    def refused(*_: object, **_named: object) -> bytes:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refused)
    monkeypatch.setattr(os, "getxattr", refused)


def test_a_mark_stays_with_the_file(tmp_path: Path) -> None:
    """It is set once, and a name with no file needs none; nor does what is no file."""
    path = tmp_path / "a.log.2"
    path.write_bytes(b"x")
    assert not is_marked(str(path))
    lineage = Lineage()
    for _ in range(2):
        assert not lineage.mark_gap_after(str(path))
        assert is_marked(str(path))
    path.rename(tmp_path / "a.log.3")
    assert is_marked(str(tmp_path / "a.log.3"))
    assert not lineage.mark_gap_after(str(tmp_path / "missing"))
    assert not lineage.mark_gap_after(str(tmp_path))
    assert GAP_ATTRIBUTE not in os.listxattr(tmp_path)
    assert lineage.gaps == ()


@pytest.mark.usefixtures("no_attributes")
def test_where_there_are_no_attributes_an_open_log_remembers(make_world: MakeWorld) -> None:
    """The files that a lower max_backups left behind, and the newest backup before a cut."""
    world = make_world(100, 3)
    guest = world.open()
    guest.write(lines(0, 40))
    world.position()
    set_backups(world, 1)
    guest.write(lines(40, 60))
    world.position()
    set_backups(world, 3)
    assert read_on(world, None) == [(False, lines(0, 20)), (True, lines(40, 60))]
    (state,) = world.handler.suspended()
    assert state.details is not None
    assert state.details.files is not None
    assert state.details.files.gaps == (place(world.path + ".1", 0).birth,)
    os.truncate(world.path, 0)
    guest.write(lines(60, 61))
    world.position()
    assert read_on(world, None)[1:] == [(True, lines(40, 50)), (True, lines(60, 61))]


@pytest.mark.usefixtures("no_attributes")
def test_no_more_is_remembered_than_there_are_files(tmp_path: Path) -> None:
    """However often something happens to them."""
    lineage = Lineage()
    births = []
    for number in range(MAX_BACKUPS + 10):
        path = tmp_path / str(number)
        path.write_bytes(b"")
        births.append(place(str(path), 0).birth)
        assert lineage.mark_gap_after(str(path))
        assert not lineage.mark_gap_after(str(path))
        lineage.note_cut(births[-1])
    assert lineage.gaps == tuple(births[-MAX_BACKUPS - 1 :])
    assert tuple(lineage.cuts) == lineage.gaps
    assert lineage.has_gap_after(lineage.full(births[-1]))
    assert not lineage.has_gap_after(births[0])
    assert not lineage.mark_gap_after(str(tmp_path / "missing"))


def test_the_last_cut_counts() -> None:
    """A position from between two cuts lies before the second."""
    lineage = Lineage()
    first = lineage.note_cut("h1.a")
    second = lineage.note_cut("h1.a")
    assert first != second
    assert lineage.full("h1.a") == second
    assert lineage.full("h1.b") == "h1.b"
    assert lineage.note_cut("") == ""


def test_an_end_adjoins_only_what_came_next() -> None:
    """The file after it, as far as the births say; and nothing after bytes were missing."""
    lineage = Lineage()
    lineage.note_end(1, 100, "h1.a")
    lineage.note_end(2, 100, "")
    end = Position(1, 100, "h1.a")
    assert lineage.adjoins(end, 2, "h1.b", current=False)
    assert not lineage.adjoins(end, 3, "h1.c", current=False)
    assert not lineage.adjoins(Position(1, 99, "h1.a"), 2, "h1.b", current=False)
    assert not lineage.adjoins(Position(1, 100, "h1.x"), 2, "h1.b", current=False)
    assert lineage.adjoins(Position(2, 100), 3, "h1.c", current=True)
    # Its birth was not known when it ended.
    assert not lineage.adjoins(Position(2, 100, "h1.b"), 3, "h1.c", current=True)
    assert Lineage(ended=lineage.ended).ended == lineage.ended
    # The file of that number is now another one, which came later.
    lineage.note_end(3, 100, "")
    lineage.note_end(2, 100, "")
    assert not lineage.adjoins(end, 2, "h1.d", current=False)
    lineage.forget_ends()
    assert not lineage.adjoins(end, 2, "h1.b", current=False)
