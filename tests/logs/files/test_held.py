"""The held files of logs: their names, and how they are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from twisted_virtlog.logs.files.held import HeldListing, look_at_held
from twisted_virtlog.logs.files.log_directory import BY_PATH
from twisted_virtlog.logs.files.names import HELD, held_path, parse_held, parse_name


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        (".a.log.held.0", ("a.log", 0)),
        ("..log.held.12", (".log", 12)),
        (".a.held.1.held.2", ("a.held.1", 2)),
        (".a\nb.held.0", ("a\nb", 0)),
        ("a.log.held.0", None),
        (".held.0", None),
        (".a.log.held.", None),
        (".a.log.held.00", None),
        (".a.log.held.-1", None),
        (".a.log.held.1\n", None),
    ],
)
def test_names(name: str, parsed: tuple[str, int] | None) -> None:
    """What is called so is of that log, whatever its own name."""
    assert parse_held(name) == parsed
    if parsed is not None:
        assert held_path(f"/d/{parsed[0]}", parsed[1]) == f"/d/{name}"
        assert held_path(*parsed) == name


def test_those_of_logs_are_older_than_backups() -> None:
    """And of two, the one with the smaller number is."""
    order = ["a.log", "a.log.0", "a.log.32", ".a.log.held.11", ".a.log.held.9"]
    parsed = [parse_name(name) for name in order]
    assert all(one is not None and one[0] == "a.log" for one in parsed)
    numbers = [one[1] for one in parsed if one is not None]
    assert numbers == sorted(numbers)
    assert numbers[2] < HELD < numbers[3]
    assert parse_name(".a.held.0") is None


def test_they_are_found_in_their_order(tmp_path: Path) -> None:
    """As numbers, and each with what tells it apart; the directory is listed once a second."""
    clock = Clock()
    listing = HeldListing(clock.seconds)
    for number in (10, 9, 100):
        (tmp_path / f".a.log.held.{number}").write_bytes(bytes(number))
    (tmp_path / ".a.log.held.11").mkdir()
    (tmp_path / ".b.log.held.0").write_bytes(b"b")
    path = str(tmp_path / "a.log")
    found = listing.find(BY_PATH, path)
    assert [(one.number, one.size) for one in found] == [(9, 9), (10, 10), (100, 100)]
    file = tmp_path / ".a.log.held.9"
    assert (found[0].inode, found[0].modified_ns) == (file.stat().st_ino, file.stat().st_mtime_ns)
    assert found[0] == look_at_held(BY_PATH, path, 9)
    file.unlink()
    (tmp_path / ".b.log.held.1").write_bytes(b"more")
    assert [one.number for one in listing.find(BY_PATH, path)] == [10, 100]
    assert [one.number for one in listing.find(BY_PATH, str(tmp_path / "b.log"))] == [0]
    clock.advance(2)
    assert [one.size for one in listing.find(BY_PATH, str(tmp_path / "b.log"))] == [1, 4]
    assert listing.find(BY_PATH, str(tmp_path / "c.log")) == []


def test_a_directory_that_is_not_there_has_none(tmp_path: Path) -> None:
    """Whoever asks is told."""
    with pytest.raises(FileNotFoundError):
        HeldListing().find(BY_PATH, str(tmp_path / "gone" / "a.log"))
