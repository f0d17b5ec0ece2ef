"""What the release before made is read, and what it can read is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests import old_release
from tests.handover.test_state import BUSY
from tests.systemd.values import NOON, log, logs
from twisted_virtlog.handover.state import (
    MOST_FORMER,
    DaemonState,
    Kept,
    OpenLogState,
    OutageState,
    encode,
    former_path,
    needed_version,
)
from twisted_virtlog.logs.former import FormerPipe
from twisted_virtlog.systemd import journal

VECTORS = Path(__file__).parents[1] / "vectors"


def _read_as_before(text: bytes) -> old_release.Document:
    raw = json.loads(text.decode("utf-8", "surrogateescape"))
    assert raw["twisted_virtlog"]["version"] == 1
    return msgspec.convert(raw, old_release.Document)


def _same(old: Any, new: msgspec.Struct) -> None:
    """Compare all that a value of the release before has."""
    for name in old.__struct_fields__:
        mine, theirs = getattr(new, name), getattr(old, name)
        if isinstance(theirs, msgspec.Struct):
            _same(theirs, mine)
        else:
            assert theirs == mine, name


def test_it_reads_a_document() -> None:
    """All that it had itself is in it."""
    document = _read_as_before(encode(BUSY))
    assert document.details is not None
    assert {*document.daemon.servers, *document.details.servers} == set(BUSY.servers)
    for old, new in zip(document.handler.files, BUSY.logs, strict=True):
        _same(old, new)
    assert BUSY.details is not None
    assert document.details.totals.opened_logs == BUSY.details.totals.opened_logs


def test_it_is_not_given_what_it_would_misread() -> None:
    """The version of the document says so: it refuses it, and the newer daemon goes on."""
    assert BUSY.details is not None
    kept = Kept("journal-b", left=("x",), left_journal="journal-a", left_generation=5)
    details = msgspec.structs.replace(BUSY.details, kept=kept)
    for state in (
        msgspec.structs.replace(BUSY, details=details),
        DaemonState(1, {}, (_former(3), log("/a", 4, order=1)), BUSY.details),
    ):
        assert needed_version(state) == 2
        assert (
            json.loads(encode(state).decode("utf-8", "replace"))["twisted_virtlog"]["version"] == 2
        )


def _former(pipe: int, order: int = 0) -> OpenLogState:
    former = FormerPipe(pipe, pipe, order, 7, "qemu", None, NOON)
    return former.suspended("/a", "/a", "/a")


def _journal_as_before(content: bytes) -> dict[int, old_release.OpenLogState]:
    """Read a journal as it did."""
    first, *lines = [json.loads(line) for line in content.splitlines()]
    assert isinstance(first["generation"], int)
    assert "journal" in first
    found: dict[int, old_release.OpenLogState] = {}
    for line in lines:
        if "closed" in line:
            found.pop(line["closed"], None)
        else:
            one = msgspec.convert(line["open"], old_release.OpenLogState)
            found[one.pipe] = one
    return found


@given(st.lists(logs, max_size=4))
def test_it_reads_a_journal(open_logs: list[OpenLogState]) -> None:
    """The same logs are open."""
    content = journal.header(7)
    for number, one in enumerate(open_logs):
        content += journal.open_record(number, one)
    found = _journal_as_before(content + journal.open_record(99, log("/z")) + b'{"closed":99}\n')
    assert list(found) == list(range(len(open_logs)))
    for number, one in enumerate(open_logs):
        _same(found[number], msgspec.structs.replace(one, pipe=number))


def test_it_serves_all_pipes_of_a_log() -> None:
    """It kept the later one of a path, so that no two have the same; all have the same file."""
    content = journal.header(7)
    for order in range(MOST_FORMER):
        content += journal.open_record(order, _former(order, order + 30))
    content += journal.open_record(99, log("/a", order=99))
    found = _journal_as_before(content).values()
    paths = [one.path for one in found]
    assert len(set(paths)) == MOST_FORMER + 1
    assert {path.replace("/", "") for path in paths} == {"a"}
    assert {one.details.file for one in found if one.details} == {"/a"}
    assert former_path("/var/log/a.log", 0) == "/var/log//a.log"


def test_its_journal_is_read() -> None:
    """As it wrote it."""
    read = journal.read((VECTORS / "journal_1.jsonl").read_bytes())
    assert read is not None
    assert (read.generation, read.unreadable, read.version) == (123456789, 0, 1)
    assert list(read.logs) == [11, 13]
    first, second = read.logs.values()
    assert (first.path, first.log, first.order) == ("/var/log/a.log", "/var/log/a.log", 0)
    assert first.details is not None
    action = "Unable to write to file /var/log/a.log"
    assert first.details.outage == OutageState(first.details.opened_at, 9, action, 28)
    assert (first.details.steps_left, first.details.gone) == (2, (5, 6))
    assert (second.path, second.domain) == ("/var/log/\udcff.log", None)
