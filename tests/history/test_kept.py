"""What happened to a log, as far as the bytes are kept."""

from __future__ import annotations

import pytest
from msgspec import structs

from tests.history.world import FILE_SYSTEM, GUEST, at, birth, kept, later
from twisted_virtlog.history.kept import boots, events
from twisted_virtlog.history.records import FileKey, Opening, key_of, key_of_kept
from twisted_virtlog.values import Boot, EventKind, KeptFile, LogEvent, Position


def opening(start: Position, seconds: int) -> Opening:
    return Opening(start, FILE_SYSTEM, later(seconds), "qemu", GUEST, later(seconds + 1), start)


def boot(start: Position, seconds: int) -> Boot:
    return Boot(start, later(seconds), later(seconds + 1), "qemu", GUEST)


@pytest.mark.parametrize(
    ("starts", "files", "left"),
    [
        # All is kept.
        ([at(1, 0), at(1, 9)], [kept(1, 20), kept(2, 20)], [at(1, 0), at(1, 9)]),
        # The oldest byte is of the second.
        ([at(1, 0), at(1, 9), at(3, 5)], [kept(2, 20), kept(3, 9)], [None, at(2, 0), at(3, 5)]),
        # The oldest byte is the first one of the third.
        ([at(1, 0), at(1, 9), at(2, 0)], [kept(2, 20)], [None, None, at(2, 0)]),
        # Nothing was written since.
        ([at(1, 0), at(2, 0)], [kept(2, 0)], [None, at(2, 0)]),
        ([at(1, 0)], [], [None]),
        ([at(1, 0)], [kept(2, 0)], [None]),
        ([], [kept(2, 5)], []),
        # All bytes are of the last one, which began in a file that is gone.
        ([at(1, 0), at(1, 9)], [kept(2, 20)], [None, at(2, 0)]),
    ],
)  # fmt: skip
def test_openings_of_which_bytes_are_kept(
    starts: list[Position], files: list[KeptFile], left: list[Position | None]
) -> None:
    openings = [opening(start, 10 * number) for number, start in enumerate(starts)]
    expected = [boot(start, 10 * n) for n, start in enumerate(left) if start is not None]
    assert boots(openings, files) == expected


def test_a_position_in_a_file_that_was_cut_is_gone() -> None:
    cut = KeptFile(1, f"{birth(1)}+cut", 20, later(0), FILE_SYSTEM)
    after = Position(1, 7, cut.birth)
    assert boots([opening(at(1, 5), 0), opening(after, 10)], [cut]) == [
        boot(Position(1, 0, cut.birth), 0),
        boot(after, 10),
    ]


def test_events_of_which_bytes_are_kept() -> None:
    happened = [
        LogEvent(at(1, 5), later(5), EventKind.OUTAGE),
        LogEvent(at(2, 5), later(9), EventKind.DROPPED, 7),
        LogEvent(at(2, 6), later(6), EventKind.RECOVERED),
        LogEvent(at(2, 6), later(10), EventKind.CLOSED),
    ]
    files = [kept(2, 20)]
    assert events(happened, files, None) == happened[1:]
    # (the wall clock has stepped back between)
    assert events(happened, files, later(9)) == [happened[1], happened[3]]


def test_bytes_that_are_missing_between_files_happened_to_the_log() -> None:
    """In the order of the bytes, with when the last ones before came, whoever took them away."""
    files = [kept(1, 9), kept(2, 9), structs.replace(kept(3, 9), parted=True), kept(4, 9)]
    files[1] = structs.replace(files[1], modified_at=later(7))
    files.append(structs.replace(kept(5, 0), parted=True))
    gaps = [
        LogEvent(at(3, 0), later(7), EventKind.GAP),
        LogEvent(at(5, 0), files[3].modified_at, EventKind.GAP),
    ]
    happened = [
        LogEvent(at(0, 5), later(1), EventKind.OPENED),
        LogEvent(at(2, 9), later(7), EventKind.DROPPED, 7),
        LogEvent(at(3, 0), later(8), EventKind.CUT, 5),
        LogEvent(at(4, 9), later(9), EventKind.CLOSED),
    ]
    expected = [happened[1], gaps[0], *happened[2:], gaps[1]]
    assert events(happened, files, None) == expected
    assert events((), files, None) == gaps
    assert events(happened, files, later(8)) == [one for one in expected if one.time >= later(8)]
    # Nothing is before the oldest file.
    assert events((), files[2:3], None) == []


def test_a_file_is_known_by_what_comes_from_itself() -> None:
    assert key_of("h1.x+cut", "u.1") == FileKey("u.1", "h1.x")
    assert key_of("", "u.1") is None
    assert key_of_kept(kept(5, 0)) == FileKey(FILE_SYSTEM, birth(5))
