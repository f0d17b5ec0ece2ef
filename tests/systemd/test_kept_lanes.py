"""What the service manager keeps of lanes: bytes on the way to a file outlive any crash."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.service_manager import ServiceManager
from tests.locked_pipe import locked
from tests.systemd.processes import (
    Ledger,
    Process,
    handed_over,
    inode_of,
    name_of,
    named,
    settled,
)
from tests.systemd.values import log
from twisted_virtlog.errors import ListenError
from twisted_virtlog.handover.ownership import Ownership
from twisted_virtlog.handover.state import OpenLogState
from twisted_virtlog.logs.pipes.staging import StagedSource
from twisted_virtlog.syscalls import bytes_waiting
from twisted_virtlog.systemd import journal
from twisted_virtlog.systemd.inherited import stored, take
from twisted_virtlog.systemd.names import (
    JOURNALS,
    is_lane,
    lane_name,
    staging_inode,
    staging_name,
)

MOUNT = "/mnt/slow"


def refuse(process: Process, one: OpenLogState, data: bytes) -> None:
    """Let a guest write, and its file refuse that: /dev/full does, after all were copied."""
    os.write(process.write_ends[one.path], data)
    file = os.open("/dev/full", os.O_WRONLY)
    process.lane.pipe = one.pipe
    with pytest.raises(OSError, match="No space left"):
        process.lane.move(file, 0, len(data))
    os.close(file)
    assert process.lane.staged(one.pipe) == len(data)


def accept(process: Process, one: OpenLogState) -> bytes:
    """Write what is staged, and what waits; give what was written."""
    file = os.memfd_create("log")
    process.lane.pipe = one.pipe
    size = 0
    with suppress(BlockingIOError):
        while moved := process.lane.move(file, size, 65536):
            size += moved
    data = os.pread(file, size, 0)
    os.close(file)
    return data


def resume(process: Process, logs: Sequence[OpenLogState]) -> None:
    """Go on with what is staged, as the lane does once the former process is gone."""
    for one in logs:
        if one.staged is not None:
            process.lane.adopt(one.pipe, one.staged)


def of_lanes(names: Sequence[str]) -> list[str]:
    return [name for name in names if is_lane(name) or staging_inode(name) is not None]


def version_of(manager: ServiceManager) -> int:
    """Give that of the journal in the store."""
    (content,) = [
        os.pread(one.descriptor, 1 << 20, 0) for one in manager.store if one.name in JOURNALS
    ]
    read = journal.read(content)
    assert read is not None
    return read.version


def test_what_is_staged_outlives_one_kill_after_the_other(
    manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the log and its lane, until it is written; then nothing is left of it."""
    process = Process(manager.address).begin()
    one = process.open("/a", lane=MOUNT)
    other = process.open("/b", lane=MOUNT)
    refuse(process, other, b"other")
    refuse(process, one, b"staged")
    settled(manager)
    assert len(of_lanes(manager.names)) == 4
    write_end = os.dup(process.write_ends["/a"])
    process.die()
    for _ in range(3):
        found = stored(handed_over(manager))
        first, second = found.logs
        assert first.details is not None
        assert (first.path, first.details.lane) == ("/a", MOUNT)
        assert first.staged is not None
        assert second.staged is not None
        assert [bytes_waiting(first.staged), bytes_waiting(second.staged)] == [6, 5]
        process = Process(manager.address, former=found).begin(found.logs)
        resume(process, found.logs)
        settled(manager)
        # Its own staging pipes are made when they are needed; the journal says what the former
        # record said.
        assert sorted(of_lanes(manager.names)) == sorted(
            staging_name(inode_of(staged)) for staged in (first.staged, second.staged)
        )
        process.die()
    found = stored(handed_over(manager))
    process = Process(manager.address, former=found).begin(found.logs)
    resume(process, found.logs)
    os.write(write_end, b", later")
    assert accept(process, found.logs[0]) == b"staged, later"
    assert accept(process, found.logs[1]) == b"other"
    process.lane.close()
    # Nor does the journal speak of lanes any more, once the logs are inline again.
    monkeypatch.setattr(journal, "_SMALL_BYTES", 1)
    for one in found.logs * 5:
        process.store.outage(log(one.path, one.pipe))
    assert settled(manager) == process.names()
    assert version_of(manager) == 1
    process.lane = StagedSource()
    process.die()
    os.close(write_end)


def test_no_byte_enters_before_the_manager_has_the_pipe(manager: ServiceManager) -> None:
    """The lane's thread waits as long as the manager does nothing."""
    process = Process(manager.address).begin()
    one = process.open("/a", lane=MOUNT)
    os.write(process.write_ends["/a"], b"12345")
    manager.settle()
    written: list[bytes] = []
    with manager._changed:
        thread = threading.Thread(target=lambda: written.append(accept(process, one)))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        assert bytes_waiting(one.pipe) == 5
        assert not of_lanes(manager.names)
    thread.join()
    assert written == [b"12345"]
    settled(manager)
    assert len(of_lanes(manager.names)) == 3
    process.die()


_ACTS = st.tuples(st.sampled_from(["refuse", "accept", "close", "inline"]), st.integers(0, 2))


@pytest.mark.parametrize("small", [1, 10**6])
@given(st.lists(_ACTS, max_size=12))
def test_every_staged_byte_has_its_log(small: int, acts: Sequence[tuple[str, int]]) -> None:
    """However far behind the manager is, if it has heard all until a lane waited for it."""
    ledger = Ledger()
    with pytest.MonkeyPatch.context() as patch:
        # One journal after another, or one for all.
        patch.setattr(journal, "_SMALL_BYTES", small)
        process = Process(ledger).begin()
        for act, number in acts:
            path = f"/{number}"
            one = process.opened.get(path)
            if act == "refuse":
                one = one or process.open(path, lane=MOUNT)
                if not process.lane.staged(one.pipe):
                    refuse(process, one, b"x" * (number + 1))
            elif one is not None and act == "accept":
                accept(process, one)
            elif one is not None and act == "close":
                process.lane.release(one.pipe)
                process.close(path)
            elif one is not None and not process.lane.staged(one.pipe):
                process.store.outage(log(path, one.pipe))
    numbers = {inode_of(one.pipe): path for path, one in process.opened.items()}
    staged = {path: process.lane.staged(one.pipe) for path, one in process.opened.items()}
    barriers = [0, *(at for at, one in enumerate(ledger.messages, 1) if one[0][0] == "BARRIER=1")]
    # (a lane waits for the one of the pipe that it fills; its spare's comes after)
    for count in range(barriers[-2 if len(barriers) > 2 else -1], len(ledger.messages) + 1):
        found = stored(ledger.handed_over_now(count))
        for one in found.logs:
            path = numbers.get(inode_of(one.pipe))
            if path is not None:
                waiting = 0 if one.staged is None else bytes_waiting(one.staged)
                assert (one.path, waiting) == (path, staged[path])
            os.close(one.pipe)
            if one.staged is not None:
                os.close(one.staged)
    process.die()


def handed_over_of(process: Process, one: OpenLogState) -> tuple[OpenLogState, int]:
    """Return what the next image gets of a log, and the read end with what is staged of it."""
    staged = process.lane.handed_over(one.pipe)
    assert one.details is not None
    assert staged is not None
    details = msgspec.structs.replace(one.details, staged=staged)
    return msgspec.structs.replace(one, details=details), staged


def test_a_hand_over_keeps_what_is_staged(manager: ServiceManager) -> None:
    """The next image goes on with it; what else the former one's lanes had is taken out."""
    process = Process(manager.address).begin()
    one = process.open("/a", lane=MOUNT)
    refuse(process, one, b"staged")
    handed, staged = handed_over_of(process, one)
    kept = process.store.suspended()
    settled(manager)
    assert sorted(kept.lanes) == sorted(of_lanes(manager.names))
    assert len(kept.lanes) == 3
    following = Process(process.notifier, former=kept, taken_over=[handed]).begin([handed])
    settled(manager)
    assert of_lanes(manager.names) == [staging_name(inode_of(staged))]
    # As it is now, a kill loses nothing.
    (found,) = stored(handed_over(manager)).logs
    assert found.staged is not None
    assert bytes_waiting(found.staged) == 6
    os.close(found.staged)
    os.close(found.pipe)
    following.lane.adopt(one.pipe, os.dup(staged))
    assert accept(following, one) == b"staged"
    following.lane.close()
    assert settled(manager) == [name_of(one)]
    process.die()
    following.store.close()


def test_what_the_manager_has_not_heard_of_is_stored_by_the_next_image(
    manager: ServiceManager,
) -> None:
    """As the former one sent it in vain."""
    process = Process(manager.address).begin()
    one = process.open("/a", lane=MOUNT)
    refuse(process, one, b"staged")
    handed, staged = handed_over_of(process, one)
    name = staging_name(inode_of(staged))
    kept = process.store.suspended()
    kept = msgspec.structs.replace(kept, unstored=(name,))
    settled(manager)
    manager.remove(name)
    following = Process(process.notifier, former=kept, taken_over=[handed]).begin([handed])
    settled(manager)
    assert of_lanes(manager.names) == [name]
    following.lane.close()
    following.store.close()
    process.die()


@pytest.mark.parametrize("end", ["not taken over", "closed"])
def test_what_is_staged_of_a_log_that_ends_is_taken_out(end: str, manager: ServiceManager) -> None:
    """Also where nobody asked for that, as the lane never began with it."""
    process = Process(manager.address).begin()
    refuse(process, process.open("/a", lane=MOUNT), b"staged")
    settled(manager)
    process.die()
    found = stored(handed_over(manager))
    process = Process(manager.address, former=found)
    if end == "closed":
        process.begin(found.logs)
        process.close("/a")
    else:
        process.begin()
        os.close(found.logs[0].pipe)
    assert settled(manager) == []
    assert found.logs[0].staged is not None
    os.close(found.logs[0].staged)
    process.die()


def test_bytes_without_a_log_are_told_of(warnings: Sequence[str]) -> None:
    """They are lost; of an empty staging pipe there is nothing to tell."""
    read_end, write_end = os.pipe()
    empty, other = os.pipe()
    os.write(write_end, b"12345")
    name = staging_name(inode_of(read_end))
    found = stored(named({read_end: name, empty: staging_name(inode_of(empty))}))
    assert set(found.useless) == {name, staging_name(inode_of(other))}
    assert len(warnings) == 1
    assert f"{name} of the service manager's store is closed with bytes in it" in warnings[0]
    for end in (write_end, other):
        with pytest.raises(BrokenPipeError):
            os.write(end, b"x")
        os.close(end)


def test_the_staging_pipe_with_bytes_counts() -> None:
    """One that was emptied may still be there, or be named by the journal alone."""
    guest, guest_end = os.pipe()
    ends = [os.pipe() for _ in range(3)]
    os.write(ends[1][1], b"bytes")
    record = Ownership()
    for read_end, _ in ends[1:]:
        record.name(record.place(), inode_of(read_end), inode_of(guest))
    content = journal.header(1, with_lanes=True)
    content += journal.open_record(inode_of(guest), log("/a", lane=MOUNT), inode_of(ends[0][0]))
    written = os.memfd_create("journal")
    os.write(written, content)
    names = {os.dup(read_end): staging_name(inode_of(read_end)) for read_end, _ in ends}
    lane = lane_name(record.number)
    found = stored(
        named(
            {
                **names,
                os.dup(guest): name_of(log("/a", guest)),
                os.dup(record.file): lane,
                written: "journal-a",
            }
        )
    )
    (one,) = found.logs
    assert one.staged is not None
    assert inode_of(one.staged) == inode_of(ends[1][0])
    assert set(found.useless) == {
        lane,
        *(staging_name(inode_of(read_end)) for read_end, _ in (ends[0], ends[2])),
    }
    record.close()
    for descriptor in (one.pipe, one.staged, guest, guest_end, *ends[0], *ends[1], *ends[2]):
        os.close(descriptor)


def test_a_lanes_record_is_newer_than_the_journal() -> None:
    """What a process had staged of one log was written, and the pipe served another."""
    guests, staging = [os.pipe() for _ in range(2)], os.pipe()
    os.write(staging[1], b"bytes")
    record = Ownership()
    record.name(record.place(), inode_of(staging[0]), inode_of(guests[1][0]))
    content = journal.header(1, with_lanes=True)
    for path, guest in zip(("/a", "/b"), guests, strict=True):
        one = log(path, lane=MOUNT)
        before = inode_of(staging[0]) if path == "/a" else None
        content += journal.open_record(inode_of(guest[0]), one, before)
    written = os.memfd_create("journal")
    os.write(written, content)
    names = {os.dup(guest): name_of(log("/", guest)) for guest, _ in guests}
    names |= {os.dup(staging[0]): staging_name(inode_of(staging[0]))}
    names |= {os.dup(record.file): lane_name(record.number), written: "journal-a"}
    found = stored(named(names))
    assert [(one.path, one.staged is not None) for one in found.logs] == [
        ("/a", False),
        ("/b", True),
    ]
    record.close()
    for one in found.logs:
        for descriptor in (one.pipe, one.staged):
            if descriptor is not None:
                os.close(descriptor)
    for descriptor in (*guests[0], *guests[1], *staging):
        os.close(descriptor)


@pytest.mark.parametrize("waiting", [0, 5])
def test_a_log_that_has_left_its_lane_has_nothing_staged(waiting: int) -> None:
    """Whatever the lane's record says of it still, unless there are bytes after all."""
    guest, guest_end = os.pipe()
    staging, staging_end = os.pipe()
    os.write(staging_end, b"x" * waiting)
    record = Ownership()
    record.name(record.place(), inode_of(staging), inode_of(guest))
    written = os.memfd_create("journal")
    os.write(written, journal.header(1) + journal.open_record(inode_of(guest), log("/a")))
    names = {staging: staging_name(inode_of(staging)), guest: name_of(log("/a", guest))}
    found = stored(
        named({**names, os.dup(record.file): lane_name(record.number), written: "journal-a"})
    )
    (one,) = found.logs
    assert one.staged == (staging if waiting else None)
    if one.staged is not None:
        os.close(one.staged)
    record.close()
    for descriptor in (one.pipe, guest_end, staging_end):
        os.close(descriptor)


@pytest.mark.parametrize("waiting", [0, 5])
def test_nobody_waits_for_a_former_process_that_is_not_gone(
    waiting: int, warnings: Sequence[str]
) -> None:
    """Its thread may have the staging pipe locked, and may yet move into it what it had begun."""
    guest, guest_end = os.pipe()
    staging, staging_end = os.pipe()
    os.write(staging_end, b"x" * waiting)
    record = Ownership()
    record.name(record.place(), inode_of(staging), inode_of(guest))
    written = os.memfd_create("journal")
    content = journal.header(1, with_lanes=True)
    os.write(written, content + journal.open_record(inode_of(guest), log("/a", lane=MOUNT)))
    with locked(staging_end):
        found = stored(
            named(
                {
                    os.dup(staging): staging_name(inode_of(staging)),
                    os.dup(guest): name_of(log("/a", guest)),
                    os.dup(record.file): lane_name(record.number),
                    written: "journal-a",
                }
            )
        )
        (one,) = found.logs
        assert one.staged is not None
        assert inode_of(one.staged) == inode_of(staging)
    # One without an owner neither.
    with locked(staging_end):
        stored(named({os.dup(staging): staging_name(inode_of(staging))}))
    assert len(warnings) == bool(waiting)
    record.close()
    for descriptor in (one.pipe, one.staged, guest, guest_end, staging, staging_end):
        os.close(descriptor)


def test_a_record_that_is_not_understood_says_nothing() -> None:
    """That of a newer release, or anything else with its name."""
    read_end, write_end = os.pipe()
    odd = os.memfd_create("odd")
    os.write(odd, b"virtlog lanes 2\n" + b"x" * 16)
    names = {lane_name(1), lane_name(2)}
    found = stored(named({read_end: lane_name(1), odd: lane_name(2)}))
    assert set(found.useless) == names
    os.close(write_end)


def test_what_a_newer_releases_record_may_mean_stays_with_it() -> None:
    """Also a staging pipe that is empty now."""
    read_end, write_end = os.pipe()
    name = staging_name(inode_of(read_end))
    newer = os.memfd_create("journal")
    os.write(newer, b'{"journal":99,"generation":5}\n')
    odd = os.memfd_create("odd")
    os.write(odd, b"virtlog lanes 2\n")
    found = stored(named({read_end: name, odd: lane_name(2), newer: "journal-a"}))
    assert (found.left, found.useless) == ((name, lane_name(2)), ())
    os.close(write_end)


def test_a_journal_has_lanes_only_while_a_log_has_one(
    manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that does not know of lanes can go on with all others."""
    process = Process(manager.address).begin()
    process.open("/a")
    settled(manager)
    assert version_of(manager) == 1
    (before,) = [os.dup(one.descriptor) for one in manager.store if one.name in JOURNALS]
    one = process.open("/b", lane=MOUNT)
    settled(manager)
    assert version_of(manager) == 2
    # Whoever is killed before the manager has the new one finds it in the former one.
    read = journal.read(os.pread(before, 1 << 20, 0))
    assert read is not None
    assert read.logs[inode_of(one.pipe)].details == one.details
    os.close(before)
    # Inline again; another goes to a lane, and ends.
    process.store.outage(log("/b", one.pipe))
    process.store.outage(log("/a", process.opened["/a"].pipe, lane=MOUNT))
    assert version_of(manager) == 2
    process.close("/a")
    monkeypatch.setattr(journal, "_SMALL_BYTES", 1)
    for _ in range(5):
        process.store.outage(log("/b", one.pipe))
    settled(manager)
    assert version_of(manager) == 1
    process.die()


def test_what_a_newer_release_has_of_lanes_stays_for_it(
    manager: ServiceManager, warnings: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its pipes, and not counted as such; our own lanes' records are taken out."""

    def version(number: int) -> None:
        monkeypatch.setattr(journal, "VERSION", number)
        monkeypatch.setattr("twisted_virtlog.systemd.inherited.VERSION", number)

    version(3)
    newer = Process(manager.address).begin()
    guest = newer.open("/theirs", lane=MOUNT)
    refuse(newer, guest, b"staged")
    settled(manager)
    staged = newer.lane.handed_over(guest.pipe)
    assert staged is not None
    (lane,) = filter(is_lane, manager.names)
    theirs = sorted([name_of(guest), staging_name(inode_of(staged)), lane])
    newer.die()

    version(2)
    found = stored(handed_over(manager))
    assert sorted(found.left) == theirs
    assert "1 pipes are left" in warnings[0]
    process = Process(manager.address, former=found).begin()
    assert process.store.left == 1
    refuse(process, process.open("/ours", lane=MOUNT), b"other")
    settled(manager)
    process.die()
    for _ in range(2):
        found = stored(handed_over(manager))
        assert sorted(found.left) == theirs
        (ours,) = found.logs
        assert ours.staged is not None
        process = Process(manager.address, former=found).begin(found.logs)
        expected = sorted([*theirs, name_of(ours), staging_name(inode_of(ours.staged))])
        assert settled(manager) == expected
        os.close(ours.staged)
        process.die()

    version(3)
    found = stored(handed_over(manager))
    assert [(one.path, one.staged is not None) for one in found.logs] == [
        ("/theirs", True),
        ("/ours", True),
    ]
    process = Process(manager.address, former=found).begin(found.logs)
    resume(process, found.logs)
    assert [accept(process, one) for one in found.logs] == [b"staged", b"other"]
    process.die()


def test_a_lane_without_room_is_told_of_once(
    manager: ServiceManager, warnings: Sequence[str]
) -> None:
    """Its logs are served, and nobody waits for the manager."""
    process = Process(manager.address, most=5).begin()
    process.open("/a")
    one = process.open("/b", lane=MOUNT)
    warnings.clear()  # type: ignore[attr-defined]
    os.write(process.write_ends["/b"], b"12345")
    assert accept(process, one) == b"12345"
    assert settled(manager) == [name_of(process.opened["/a"])]
    assert len(warnings) == 1
    assert "what is on the way to files in lanes would not outlive the daemon" in warnings[0]
    process.die()


def test_lanes_that_come_and_go_use_up_no_room(manager: ServiceManager) -> None:
    """What is let go of has room for the next."""
    process = Process(manager.address, most=20).begin()
    for _ in range(20):
        one = process.open("/a", lane=MOUNT)
        refuse(process, one, b"12345")
        settled(manager)
        assert len(of_lanes(manager.names)) == 3
        assert process.lane.release(one.pipe) == 5
        process.close("/a")
        process.lane.close()
        assert settled(manager) == []
        process.lane = StagedSource(process.store)
    process.die()


def test_where_nothing_is_kept_nothing_is_said(
    manager: ServiceManager, warnings: Sequence[str]
) -> None:
    """The manager keeps no descriptors at all."""
    process = Process(manager.address, most=0).begin()
    one = process.open("/a", lane=MOUNT)
    os.write(process.write_ends["/a"], b"12345")
    assert accept(process, one) == b"12345"
    manager.settle()
    assert manager.names == []
    assert warnings == []
    process.die()


def test_what_lanes_stored_is_kept_from_programs_and_is_no_socket() -> None:
    """As the guests' pipes."""
    read_end, write_end = os.pipe()
    record = os.memfd_create("lane")
    for descriptor in (read_end, record):
        os.set_inheritable(descriptor, True)
    take(named({read_end: staging_name(5), record: lane_name(6)}), strictly=True)
    assert not os.get_inheritable(read_end)
    assert not os.get_inheritable(record)
    with socket.socket(socket.AF_UNIX) as sock:
        for name in (staging_name(5), lane_name(6)):
            with pytest.raises(ListenError, match=f"{name}.*nobody listens on it"):
                take(named({sock.fileno(): name}), strictly=True)
    for descriptor in (read_end, write_end, record):
        os.close(descriptor)
