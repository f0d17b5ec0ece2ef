"""What a log's files are called."""

from __future__ import annotations

import pytest

from twisted_virtlog.logs.files.names import (
    CURRENT,
    backup_path,
    longest_suffix,
    newest_first,
    oldest_first,
    parse_name,
)


def test_a_log_has_its_file_and_its_backups() -> None:
    """Reading begins with the oldest backup, and looking for a position with the current file."""
    assert newest_first("/l", 2) == ["/l", "/l.0", "/l.1"]
    assert oldest_first("/l", 2) == ["/l.1", "/l.0", "/l"]
    assert newest_first("/l", 0) == oldest_first("/l", 0) == ["/l"]


@pytest.mark.parametrize(("max_backups", "suffix"), [(0, ""), (1, ".0"), (10, ".9"), (11, ".10")])
def test_the_longest_suffix_is_that_of_the_oldest_backup(max_backups: int, suffix: str) -> None:
    """A name that leaves no room for it cannot be rotated."""
    assert longest_suffix(max_backups) == suffix
    assert newest_first("/l", max_backups)[-1] == f"/l{suffix}"


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("web.log", ("web.log", CURRENT)),
        ("web.log.0", ("web.log", 0)),
        ("web.log.31", ("web.log", 31)),
        # The longest log that it can be a file of.
        ("web.log.1.log", ("web.log.1.log", CURRENT)),
        ("two\nlines.log.3", ("two\nlines.log", 3)),
        ("web.log.01", None),
        ("web.log.-1", None),
        ("web.log.old", None),
        ("web.txt", None),
        (".log", None),
        ("web.log\n", None),
    ],
)
def test_a_name_says_whose_it_is(name: str, parsed: tuple[str, int] | None) -> None:
    """As far as it is one that rotation gives."""
    assert parse_name(name) == parsed


def test_what_is_named_is_parsed() -> None:
    """One rule, in both directions."""
    for number in (0, 9, 10, 31):
        assert parse_name(backup_path("a.log", number)) == ("a.log", number)
