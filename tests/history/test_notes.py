"""What is noted waits in memory, in order and within bounds."""

from __future__ import annotations

import threading

import pytest

from tests.history.world import FILE_SYSTEM, PATH, at, key, later
from twisted_virtlog.history import deeds as deeds_module
from twisted_virtlog.history import notes as module
from twisted_virtlog.history import waiting as waiting_module
from twisted_virtlog.history.deeds import CUT, Closed, FileBegun, FileEnded, FilesGone
from twisted_virtlog.history.moments import NO_BOOT, THIS_BOOT, boot_of, moment, ms_of
from twisted_virtlog.history.notes import Haste, Notes
from twisted_virtlog.history.waiting import Waiting
from twisted_virtlog.history.wall_times import watch


class Woken:
    """Notes, and how they called."""

    def __init__(self) -> None:
        self.calls: list[Haste] = []
        self.notes = Notes(self.calls.append)
        self.waiting = Waiting()

    def take(self) -> Waiting:
        """Take all, as the thread does."""
        self.waiting.take(self.notes.take())
        return self.waiting

    def begin(self, inode: int) -> int:
        number = self.notes.number()
        self.notes.add(FileBegun(number, key(inode), PATH), Haste.NONE)
        return number

    def marks(self, file: int) -> list[tuple[int, int, int]]:
        """Return the marks of a file that wait, with milliseconds of the present boot."""
        found = []
        for offset, since, until in self.waiting.files[file].marks:
            assert {boot_of(since), boot_of(until)} == {THIS_BOOT}
            found.append((offset, ms_of(since), ms_of(until)))
        return found


@pytest.fixture
def woken() -> Woken:
    return Woken()


def test_many_notes_call_once(woken: Woken) -> None:
    file = woken.begin(1)
    woken.notes.mark(file, 0, 1, 1)
    woken.notes.mark(file, 5, 2, 2)
    assert woken.calls == [Haste.NONE]
    # Something is not to wait, and comes after all the same.
    closed = Closed(PATH, at(1, 5), FILE_SYSTEM, later(0))
    woken.notes.add(closed, Haste.SOON)
    woken.notes.add(closed, Haste.SOON)
    woken.notes.mark(file, 7, 3, 3)
    assert woken.calls == [Haste.NONE, Haste.SOON]
    waiting = woken.take()
    assert waiting.deeds == [closed, closed]
    assert woken.marks(file) == [(0, 1, 1), (5, 2, 2), (7, 3, 3)]
    woken.notes.mark(file, 9, 4, 4)
    assert woken.calls == [Haste.NONE, Haste.SOON, Haste.NONE]


def test_the_file_system_s_time_is_of_no_boot(woken: Woken) -> None:
    file = woken.begin(1)
    woken.notes.mark(file, 7, -1_800_000_000_000, 50)
    woken.take()
    assert list(woken.waiting.files[file].marks) == [
        (7, moment(NO_BOOT, 1_800_000_000_000), moment(THIS_BOOT, 50))
    ]


def test_marks_before_a_cut_are_of_other_bytes(woken: Woken) -> None:
    file = woken.begin(1)
    woken.notes.mark(file, 0, 1, 1)
    woken.notes.mark(file, 5, 2, 2)
    woken.notes.mark(file, CUT, 0, 0)
    woken.notes.mark(file, 8, 3, 3)
    woken.take()
    assert woken.marks(file) == [(0, 1, 1), (8, 3, 3)]
    assert woken.waiting.files[file].is_cut


def test_a_smaller_file_was_cut_though_nobody_saw_it(woken: Woken) -> None:
    file = woken.begin(1)
    woken.notes.mark(file, 5, 2, 2)
    woken.notes.mark(file, 3, 4, 4)
    woken.take()
    assert woken.marks(file) == [(3, 4, 4)]
    assert woken.waiting.files[file].is_cut


def test_the_last_marks_of_a_file_that_has_ended_are_taken(woken: Woken) -> None:
    file = woken.begin(1)
    woken.notes.mark(file, 5, 2, 2)
    woken.notes.add(FileEnded(file), Haste.NONE)
    woken.take()
    assert woken.marks(file) == [(5, 2, 2)]
    assert woken.waiting.files[file].is_ended
    woken.waiting.written(set(), whole=True)
    assert not woken.waiting
    # Nothing is known by this number any more.
    woken.notes.mark(file, 9, 9, 9)
    woken.notes.add(FileEnded(file), Haste.NONE)
    assert not woken.take().files


def test_a_file_stays_known_after_it_was_written(woken: Woken) -> None:
    file = woken.begin(1)
    woken.take()
    woken.waiting.written(set(), whole=True)
    woken.notes.mark(file, 9, 9, 9)
    woken.take()
    assert woken.marks(file) == [(9, 9, 9)]


def test_too_many_marks_are_forgotten_but_no_cut(
    woken: Woken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go. That a file was cut is needed to tell that former marks are of no use."""
    monkeypatch.setattr(module, "_MOST_BYTES", 100 * 32)
    file, other = woken.begin(1), woken.begin(2)
    woken.notes.mark(other, 50, 1, 1)
    woken.notes.cut(other)
    for number in range(100):
        woken.notes.mark(file, number, number, number)
    taken = woken.notes.take()
    assert taken.lost_marks == 49
    woken.waiting.take(taken)
    assert woken.waiting.files[other].is_cut
    assert not len(woken.waiting.files[other].marks)
    assert woken.marks(file)[-1] == (99, 99, 99)
    assert len(woken.marks(file)) == 52


def test_too_many_deeds_are_forgotten_but_not_which_file_was_cut(
    woken: Woken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_DEEDS", 10)
    file, other = woken.begin(1), woken.begin(2)
    woken.notes.cut(other)
    closed = [Closed(PATH, at(1, number), FILE_SYSTEM, later(0)) for number in range(9)]
    for one in closed:
        woken.notes.add(one, Haste.SOON)
    taken = woken.notes.take()
    assert taken.lost_deeds == 4
    woken.waiting.take(taken)
    assert woken.waiting.deeds == closed[3:]
    assert woken.waiting.files[other].is_cut
    woken.notes.mark(file, 5, 5, 5)
    assert file not in woken.take().files


def test_what_cannot_be_written_is_bounded(woken: Woken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_module, "_MOST_MARKS", 20)
    monkeypatch.setattr(waiting_module, "_MOST_FILES", 4)
    monkeypatch.setattr(waiting_module, "MOST_DEEDS", 6)
    files = [woken.begin(number) for number in range(5)]
    for file in files:
        for number in range(8):
            woken.notes.mark(file, number, number, number)
    woken.notes.cut(files[0])
    for number in range(7):
        woken.notes.add(FilesGone((key(number),)), Haste.NONE)
    woken.take()
    woken.waiting.watches = [watch(number, number, 0) for number in range(7)]
    lost = woken.waiting.bound()
    assert set(woken.waiting.files) == {files[0], *files[2:]}
    assert woken.waiting.files[files[0]].is_cut
    assert [len(woken.waiting.files[file].marks) for file in files[2:]] == [3, 3, 3]
    assert woken.waiting.deeds == [FilesGone((key(number),)) for number in (4, 5, 6)]
    assert [one.since for one in woken.waiting.watches] == [4, 5, 6]
    assert lost == 4 * 5 + 3 + 4
    assert woken.waiting.bound() == 0


def test_threads_note_at_once(woken: Woken) -> None:
    files = [woken.begin(number) for number in range(4)]

    def note(file: int) -> None:
        for number in range(2000):
            woken.notes.mark(file, number, number, number)

    threads = [threading.Thread(target=note, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        woken.take()
    for thread in threads:
        thread.join()
    woken.take()
    for file in files:
        ends = [offset for offset, *_ in woken.marks(file)]
        assert ends == sorted(ends)
        assert (ends[0], ends[-1]) == (0, 1999)


def test_the_bounds_are_those_of_both() -> None:
    assert module.MOST_DEEDS == waiting_module.MOST_DEEDS == deeds_module.MOST_DEEDS
