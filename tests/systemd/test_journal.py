"""The journal of open logs."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.systemd.values import log, logs
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.systemd.journal import (
    Choice,
    Journal,
    Left,
    choose,
    closed_record,
    header,
    open_record,
    read,
    worth_replacing,
)

Acts = list[tuple[int, OpenLogState | None]]

acts = st.lists(st.tuples(st.integers(0, 4), st.none() | logs), max_size=12)


def _written(taken: Acts) -> tuple[bytes, dict[int, OpenLogState]]:
    """Give a journal and what it should say."""
    content = header(7)
    expected: dict[int, OpenLogState] = {}
    for inode, state in taken:
        if state is None:
            expected.pop(inode, None)
            content += closed_record(inode)
        else:
            expected[inode] = msgspec.structs.replace(state, pipe=inode)
            content += open_record(inode, state)
    return content, expected


@given(acts)
def test_a_journal_says_which_logs_are_open(taken: Acts) -> None:
    """What was opened and not closed is there as it was opened, or as it was told of last."""
    content, expected = _written(taken)
    journal = read(content)
    assert journal is not None
    assert dict(journal.logs) == expected
    assert journal.unreadable == 0
    assert journal.generation == 7


@given(acts, logs, st.data())
def test_a_torn_line_is_as_if_it_had_not_been_written(
    taken: Acts, last: OpenLogState, data: st.DataObject
) -> None:
    """A process may be killed in the middle of a write."""
    content, expected = _written(taken)
    record = open_record(9, last)
    journal = read(content + record[: data.draw(st.integers(0, len(record) - 1))])
    assert journal is not None
    assert dict(journal.logs) == expected
    assert journal.unreadable == 0


@given(st.binary())
def test_any_bytes_are_a_journal_or_none(content: bytes) -> None:
    """Nothing that is in the store keeps the daemon from starting."""
    assert read(content) is None
    journal = read(header(1) + content)
    assert journal is not None
    assert not journal.logs


def test_lines_that_are_no_records_are_counted() -> None:
    """So that somebody hears of them; the others count."""
    lines = [b"[1]\n", b'{"open":{"path":1}}\n', b'{"closed":"x"}\n', b'{"closed":[]}\n', b"\n"]
    journal = read(header(1) + b"".join(lines) + open_record(3, log("/a")))
    assert journal is not None
    assert list(journal.logs) == [3]
    assert journal.unreadable == len(lines)


def test_the_newest_journal_counts() -> None:
    """Two are there when the daemon was killed between storing the new and removing the old one."""
    old = header(1) + open_record(3, log("/old"))
    new = header(2) + open_record(4, log("/new"))
    for contents in ([("a", old), ("b", new)], [("b", new), ("x", b"torn"), ("a", old)]):
        choice = choose(contents)
        assert (choice.name, choice.useless, choice.left) == ("b", ("a",), None)
        assert list(choice.journal.logs) == [4]


def test_without_a_journal_nothing_is_open() -> None:
    """As at the first start."""
    choice = choose([])
    assert (choice.name, choice.useless) == (None, ())
    assert not choice.journal.logs


NEWER = b'{"journal":3,"generation":5}\nwhatever there is by then'


def test_of_a_newer_journal_nothing_is_guessed() -> None:
    """It stays where it is; a journal from before it is not needed."""
    choice = choose([("a", header(4) + open_record(3, log("/old"))), ("b", NEWER)])
    assert choice == Choice(None, Journal(-1), Left("b", 5, 3), ("a",))


def test_a_journal_beside_a_newer_one_counts() -> None:
    """Until the newer release comes, which reads both."""
    own = header(6, beside=5) + open_record(4, log("/own"))
    choice = choose([("a", NEWER), ("b", header(4)), ("c", own)])
    assert (choice.name, choice.left, choice.useless) == ("c", Left("a", 5, 3), ("b",))
    assert list(choice.journal.logs) == [4]


def test_a_journal_that_is_read_again_counts_with_the_one_beside_it() -> None:
    """As the newer release does, for which it was left."""
    left = header(5) + open_record(3, log("/left"))
    own = header(6, beside=5) + open_record(4, log("/own"))
    choice = choose([("a", left), ("c", own)])
    assert (choice.name, choice.left, choice.useless) == ("c", None, ("a",))
    assert list(choice.journal.logs) == [3, 4]


def test_a_journal_is_replaced_when_it_is_mostly_history() -> None:
    """Neither while it is small, nor for each log that is closed."""
    assert not worth_replacing(200_000, 0)
    assert worth_replacing(300_000, 0)
    assert not worth_replacing(4_000_000, 1_000_000)
    assert worth_replacing(4_000_001, 1_000_000)


def test_a_journal_with_lanes_is_not_read_by_who_does_not_know_of_them() -> None:
    """A release that reads version 1 leaves it alone; without lanes it can go on."""
    assert header(1).startswith(b'{"journal":1,')
    assert header(1, with_lanes=True).startswith(b'{"journal":2,')


def test_the_lane_and_what_was_staged_are_known_again() -> None:
    """The pipe in which that is by its inode number, whatever its descriptor was."""
    one = log("/a")
    assert one.details is not None
    details = msgspec.structs.replace(one.details, lane="/mnt/\udcff", staged=77)
    one = msgspec.structs.replace(one, details=details)
    content = header(1, with_lanes=True) + open_record(3, one, 12) + open_record(4, one)
    journal = read(content)
    assert journal is not None
    assert journal.version == 2
    assert [found.staged for found in journal.logs.values()] == [12, None]
    assert {found.details and found.details.lane for found in journal.logs.values()} == {
        "/mnt/\udcff"
    }
