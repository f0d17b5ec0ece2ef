"""The table of loads, and the check of the files that they leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.load import record, tail
from bench.loads import LOADS, chosen
from bench.writing import Wrong, check, files

_FULL = 2 * 1024 * 1024


def test_keys_are_unique() -> None:
    """Each load can be asked for, and each figure of it is there once."""
    assert len({load.key for load in LOADS}) == len(LOADS)
    for load in LOADS:
        names = [figure.name for figure in load.figures]
        assert len(set(names)) == len(names), load.key


def test_letters_and_keys_choose() -> None:
    """A letter stands for all loads that share it; the order is that of the table."""
    assert [load.key for load in chosen("h-4m,c,a")] == ["a", "c-lines", "c-64k", "h-4m"]
    with pytest.raises(ValueError, match="no load z; there are a, b"):
        chosen("a,z")


def test_files_are_found_oldest_first(tmp_path: Path) -> None:
    """The backup with the highest number is the oldest; the log itself comes last."""
    for name in ("x.log", "x.log.0", "x.log.1", "x.log.10", "other.log"):
        (tmp_path / name).touch()
    names = [file.name for file in files(str(tmp_path / "x.log"))]
    assert names == ["x.log.10", "x.log.1", "x.log.0", "x.log"]


def _rotated(log: Path, size: int, records: int) -> None:
    """Write what a daemon leaves of so many records that fill files exactly."""
    data = b"".join(record(number, size) for number in range(records))
    parts = [data[at : at + _FULL] for at in range(0, len(data), _FULL)]
    for number, part in enumerate(reversed(parts[-4:])):
        log.with_name(f"{log.name}.{number - 1}" if number else log.name).write_bytes(part)


def test_complete_files_pass(tmp_path: Path) -> None:
    """All bytes without rotation, and the last ones with it."""
    log = tmp_path / "x.log"
    _rotated(log, 65536, 20)
    check([str(log)], [20], 65536)
    _rotated(log, 65536, 200)
    check([str(log)], [200], 65536)


@pytest.mark.parametrize("spoil", ["cut", "doubled", "changed", "gone", "short backup"])
def test_what_is_not_as_it_was_written_is_found(tmp_path: Path, spoil: str) -> None:
    """Bytes lost, doubled or changed in any file."""
    log = tmp_path / "x.log"
    _rotated(log, 65536, 200)
    backup = log.with_name("x.log.1")
    match spoil:
        case "cut":
            log.write_bytes(log.read_bytes()[:-1])
        case "doubled":
            log.write_bytes(log.read_bytes() + record(199, 65536))
        case "changed":
            backup.write_bytes(backup.read_bytes().replace(b"xx", b"yy", 1))
        case "gone":
            backup.unlink()
        case "short backup":
            backup.write_bytes(backup.read_bytes()[:-100])
    with pytest.raises(Wrong, match=r"x\.log"):
        check([str(log)], [200], 65536)


def test_a_tail_is_the_end_of_all_records() -> None:
    """It has any length, also more than there is."""
    everything = b"".join(record(number, 100) for number in range(50))
    assert everything[100:116] == b"0000000000000001"
    for length in (1, 99, 100, 101, 4999, 5000):
        assert tail(50, 100, length) == everything[-length:]
