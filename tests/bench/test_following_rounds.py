"""The random followers of ``make stress``: a short run, and that mistakes are noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.followed import LINE_BYTES, TELLING_BYTES, Account, Files, begin_of, text
from bench.following_rounds import main
from bench.ledger import Mistake
from twisted_virtlog.client import Position
from twisted_virtlog.client.feed import FeedData


def following_rounds(directory: Path, *options: str) -> int:
    """Run with as few processes as can be."""
    return main(["--processes", "1", "--directory", str(directory), *options])


@pytest.mark.lengthy
def test_all_are_sent_what_was_written(tmp_path: Path) -> None:
    """Whatever guests, programs and they themselves do."""
    assert following_rounds(tmp_path, "--rounds", "80", "--kills", "0", "--handovers", "0") == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.lengthy
def test_a_notification_that_was_not_sent_is_noticed(tmp_path: Path) -> None:
    """By those who read."""
    options = ("--lose", "--rounds", "80", "--kills", "0", "--handovers", "0")
    assert following_rounds(tmp_path, *options) == 1


@pytest.mark.slow
def test_all_are_sent_it_over_kills_and_hand_overs(tmp_path: Path) -> None:
    """Guests write, and clients read, meanwhile."""
    assert following_rounds(tmp_path, "--rounds", "20", "--kills", "4", "--handovers", "4") == 0


@pytest.mark.parametrize("begin", [0, 1, 15, 16, 1 << 18, (1 << 20) - 7, 123_456_789])
def test_a_few_bytes_say_where_they_belong(begin: int) -> None:
    """Also where blocks of lines meet."""
    some = text(begin, begin + TELLING_BYTES)
    assert len(some) == TELLING_BYTES
    assert begin_of(some) == begin


def test_bytes_that_were_never_written_belong_nowhere() -> None:
    """A mistake says what they are."""
    with pytest.raises(Mistake, match="hello"):
        begin_of(b"hello, this was never written, was it")


class Followed:
    """A log with a file of ten lines and a backup of the five before; one follows it.

    :ivar account: of what he was sent; he has the first two lines.
    """

    WRITTEN = 15 * LINE_BYTES

    def __init__(self, directory: Path) -> None:
        log = directory / "guest.log"
        self.backup = directory / "guest.log.0"
        self.backup.write_bytes(text(0, 5 * LINE_BYTES))
        log.write_bytes(text(5 * LINE_BYTES, self.WRITTEN))
        self.inodes = [os.stat(path).st_ino for path in (self.backup, log)]
        files = Files(str(log), max_backups=1)
        self.account = Account(files, 2 * LINE_BYTES, self.at(2))

    def at(self, line: int) -> Position:
        """Return the position where a line begins."""
        number, before = (0, 0) if line < 5 else (1, 5)
        return Position(self.inodes[number], (line - before) * LINE_BYTES)

    def take(self, begin: int, end: int, gap: bool = False, missed: int | None = None) -> None:
        """Send lines."""
        data = text(begin * LINE_BYTES, end * LINE_BYTES)
        chunk = FeedData(1, data, self.at(begin), self.at(end), gap, missed)
        self.account.take(chunk, self.WRITTEN)


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def test_what_comes_in_order_is_complete(followed: Followed) -> None:
    """In any pieces."""
    followed.take(2, 4)
    assert not followed.account.is_complete(followed.WRITTEN)
    followed.take(4, 15)
    assert followed.account.is_complete(followed.WRITTEN)
    assert followed.account.sums.received == 13 * LINE_BYTES


@pytest.mark.parametrize(
    ("begin", "end"), [(1, 4), (3, 5), (2, 16)], ids=["twice", "left out", "more"]
)
def test_what_is_not_next_is_a_mistake(begin: int, end: int, followed: Followed) -> None:
    """If no gap was told."""
    with pytest.raises(Mistake):
        followed.take(begin, end)


def test_positions_fit_their_bytes(followed: Followed) -> None:
    """Or those who go on from there would miss some."""
    with pytest.raises(Mistake, match="between the positions"):
        followed.account.take(
            FeedData(1, text(32, 48), followed.at(2), followed.at(4)), followed.WRITTEN
        )


@pytest.mark.parametrize("missed", [3 * LINE_BYTES, None])
def test_what_is_gone_may_be_missed(missed: int | None, followed: Followed) -> None:
    """Whether or not he was told how much."""
    followed.backup.unlink()
    followed.take(5, 15, gap=True, missed=missed)
    assert followed.account.is_complete(followed.WRITTEN)
    assert followed.account.sums.missed == 3 * LINE_BYTES


@pytest.mark.parametrize("missed", [LINE_BYTES, None])
def test_what_is_there_must_not_be_missed(missed: int | None, followed: Followed) -> None:
    """Though he was told so."""
    with pytest.raises(Mistake, match=r"said to be missing, and .*guest\.log\.0 has them"):
        followed.take(3, 5, gap=True, missed=missed)


def test_a_wrong_count_is_a_mistake(followed: Followed) -> None:
    """Too much, or too little."""
    followed.backup.unlink()
    with pytest.raises(Mistake):
        followed.take(5, 15, gap=True, missed=2 * LINE_BYTES)


def test_a_gap_of_nothing_is_a_mistake(followed: Followed) -> None:
    """While it is known that nothing is missing."""
    with pytest.raises(Mistake, match="nothing is missing"):
        followed.take(2, 4, gap=True)


def test_a_gap_of_nothing_may_be_told_where_others_have_removed_bytes(followed: Followed) -> None:
    """Until he has all that was written since."""
    followed.account.meddle()
    followed.take(2, 15, gap=True)
    assert followed.account.is_complete(followed.WRITTEN)
    with pytest.raises(Mistake, match="nothing is missing"):
        followed.take(15, 15, gap=True, missed=0)


def test_only_who_comes_from_a_file_that_is_gone_begins_anew(followed: Followed) -> None:
    """With the oldest byte kept, some of which he may have."""
    followed.take(2, 15)
    followed.account.follow_anew(forgotten=-1)
    with pytest.raises(Mistake, match="there already"):
        followed.take(0, 5, gap=True)
    followed.account.front = followed.WRITTEN
    followed.account.position = Position(1, 160)
    followed.account.follow_anew(forgotten=-1)
    followed.take(0, 15, gap=True)
    assert followed.account.is_complete(followed.WRITTEN)


def test_the_end_comes_after_all_that_was_written(followed: Followed) -> None:
    """Before the log was closed."""
    followed.take(2, 14)
    with pytest.raises(Mistake, match="224 of 240 bytes"):
        followed.account.ended(followed.WRITTEN)
    followed.take(14, 15)
    followed.account.ended(followed.WRITTEN)
