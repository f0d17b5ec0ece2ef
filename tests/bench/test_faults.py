"""The random faults of ``make stress``: a short run of each kind, and that mistakes are noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import fault_rounds
from bench.faults import main
from bench.ledger import LINE_BYTES, Ledger, Mistake, text
from twisted_virtlog.logs.bounds.leases import LEASE_BYTES
from twisted_virtlog.logs.bounds.usage import Guest, Usage, UsageOfLog

NOTICE = b"\n[virtlogd: 32 bytes lost from 2026-01-01 to 2026-01-01: No space left on device]\n"


def faults(directory: Path, *options: str) -> int:
    """Run with as few processes as can be."""
    slow = ("--slow-kills", "0", "--slow-handovers", "0")
    return main(["--processes", "1", "--directory", str(directory), *slow, *options])


@pytest.mark.lengthy
def test_every_byte_is_accounted_for(tmp_path: Path) -> None:
    """Whatever befalls the log and its disk."""
    assert faults(tmp_path, "--rounds", "2000", "--kills", "0", "--handovers", "0") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_lost_byte_is_noticed(tmp_path: Path) -> None:
    """By the rounds in one process."""
    options = ("--lose", "--rounds", "1000", "--kills", "0", "--handovers", "0")
    assert faults(tmp_path, *options) == 1


def bounded_rounds(directory: Path) -> fault_rounds.Outcome:
    """Make rounds in which bounds are reached."""
    return fault_rounds.run(directory, 500, "bounds-10")


def test_bounds_have_files_removed(tmp_path: Path) -> None:
    """Or what is seen of them would say nothing."""
    outcome = bounded_rounds(tmp_path)
    assert outcome.mistakes == []
    assert outcome.rounds[fault_rounds.BOUNDED] > 0


def test_a_passed_bound_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a daemon that grants whatever is asked for."""
    monkeypatch.setattr(Usage, "ask", lambda usage, log: LEASE_BYTES)
    assert "bytes of a quota of" in " ".join(bounded_rounds(tmp_path).mistakes)


def test_a_removed_file_of_another_guest_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a daemon that takes the oldest backup of all guests."""

    def oldest(usage: Usage, guest: Guest) -> list[UsageOfLog]:
        logs = [log for one in usage._guests.values() for log in one.logs.values()]
        return sorted(
            (log for log in logs if log.files.backups),
            key=lambda log: log.files.backups[0].modified_ns,
        )

    monkeypatch.setattr(Usage, "oldest", oldest)
    assert "the files of another guest" in " ".join(bounded_rounds(tmp_path).mistakes)


@pytest.mark.slow
def test_every_byte_outlives_kills_and_hand_overs(tmp_path: Path) -> None:
    """While other programs meddle with the logs."""
    assert faults(tmp_path, "--rounds", "0", "--kills", "1", "--handovers", "1") == 0


@pytest.mark.slow
@pytest.mark.fuse
def test_every_byte_outlives_them_on_a_slow_file_system(tmp_path: Path) -> None:
    """Which does not answer at times, and is taken away and mounted anew."""
    options = ("--slow-kills", "2", "--slow-handovers", "2")
    assert faults(tmp_path, "--rounds", "0", "--kills", "0", "--handovers", "0", *options) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_byte_lost_by_a_daemon_is_noticed(tmp_path: Path) -> None:
    """By the rounds with real daemons."""
    assert faults(tmp_path, "--lose", "--rounds", "0", "--kills", "2", "--handovers", "0") == 1


class Log:
    """A log whose guest wrote three lines."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "guest.log"
        self.ledger = Ledger(str(self.path), max_backups=1)
        self.ledger.wrote(3 * LINE_BYTES)

    def account(self) -> None:
        """Look at the files, and sum up."""
        self.ledger.observe()
        self.ledger.finish()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        text(0, 2 * LINE_BYTES),
        text(1, 3 * LINE_BYTES),
        text(0, 16) + text(0, 3 * LINE_BYTES),
        text(0, 20) + text(24, 48),
        text(0, 24) + text(28, 48) + text(24, 28),
        text(0, 49),
        text(0, 24) + bytes(8) + text(24, 48),
        text(0, 32) + NOTICE,
    ],
    ids=["end", "begin", "twice", "middle", "order", "more", "hole", "false notice"],
)
def test_what_is_not_as_it_was_written_is_a_mistake(content: bytes, log: Log) -> None:
    """Bytes lost, doubled, changed or out of order, and losses reported that were none."""
    log.path.write_bytes(content)
    with pytest.raises(Mistake):
        log.account()


def test_all_places_of_bytes_are_counted(log: Log) -> None:
    """Rotated away, cut, reported lost or kept."""
    backup = log.path.with_name("guest.log.0")
    backup.write_bytes(text(0, 5))
    log.path.write_bytes(text(5, 11))
    log.ledger.observe()
    log.ledger.removing(str(backup), rotation=True)
    os.rename(log.path, backup)
    log.path.write_bytes(text(11, 13) + NOTICE + text(45, 48))
    log.ledger.observe()
    file = log.ledger.at(str(backup))
    assert file is not None
    os.truncate(backup, 2)
    log.ledger.cut(file, 2)
    totals = log.ledger.finish()
    assert (totals.written, totals.removed, totals.cut, totals.lost) == (48, 5, 4, 32)
    assert (totals.kept, totals.missing) == (7, 0)


@pytest.mark.parametrize("left", [0, 1, 20])
def test_a_notice_that_was_begun_and_cut(left: int, log: Log) -> None:
    """It is not finished by the next one, which stands for it too."""
    begun = NOTICE.replace(b"32", b"16").removesuffix(b"\n")
    log.path.write_bytes(text(0, 16) + begun)
    log.ledger.observe()
    file = log.ledger.at(str(log.path))
    assert file is not None
    os.truncate(log.path, 16 + left)
    log.ledger.cut(file, 16 + left)
    with log.path.open("ab") as opened:
        opened.write((b"\n" if left > 1 else b"") + NOTICE)
    log.ledger.observe()
    totals = log.ledger.finish()
    assert (totals.kept, totals.lost, totals.missing) == (16, 32, 0)


@pytest.mark.parametrize("how", ["gone", "changed", "shorter"])
def test_what_was_seen_stays(how: str, log: Log) -> None:
    """A file that nobody removed or cut is still there at the end, as it was."""
    log.path.write_bytes(text(0, 48))
    log.ledger.observe()
    if how == "gone":
        log.path.unlink()
    else:
        log.path.write_bytes(text(0, 47) + (b"?" if how == "changed" else b""))
    with pytest.raises(Mistake):
        log.account()
