"""What is in the service manager's store at each moment, and what a new process finds there."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from harness.service_manager import ServiceManager
from tests.fakes.reactor import FakeReactor
from tests.systemd.processes import (
    Full,
    Ledger,
    Process,
    handed_over,
    inode_of,
    name_of,
    settled,
)
from tests.systemd.values import log
from twisted_virtlog.errors import ListenError
from twisted_virtlog.handover.state import Kept, by_log, former_path
from twisted_virtlog.systemd import journal
from twisted_virtlog.systemd.activation import Activation
from twisted_virtlog.systemd.inherited import started_environment, stored, take
from twisted_virtlog.systemd.names import JOURNALS, pipe_inode, pipe_name


def test_open_logs_are_stored_and_closed_ones_are_not(manager: ServiceManager) -> None:
    """Each pipe under its own inode, so that it cannot be taken for another's."""
    process = Process(manager.address).begin()
    for path in ("/a", "/b", "/c"):
        process.open(path)
    assert settled(manager) == process.names()
    process.close("/b")
    assert settled(manager) == process.names()
    assert len(process.store) == 2
    assert process.changes == 4
    assert all(not one.polled for one in manager.store)
    process.die()


def test_a_new_process_goes_on_with_what_was_open(manager: ServiceManager) -> None:
    """With path, driver, guest and times as they were."""
    process = Process(manager.address).begin()
    process.open("/a")
    process.open("/b\udcff")
    process.close("/a")
    lossy = log("/b\udcff", process.opened["/b\udcff"].pipe, lost=77)
    process.store.outage(lossy)
    settled(manager)
    process.die()

    found = stored(handed_over(manager))
    (resumed,) = found.logs
    assert msgspec.structs.replace(resumed, pipe=lossy.pipe) == lossy
    assert os.fstat(resumed.pipe).st_ino == pipe_inode(manager.pipes()[0])
    process = Process(manager.address, former=found)
    assert process.store.restored() == found.logs
    assert process.store.keeps(os.fstat(resumed.pipe).st_ino)
    process.begin(found.logs)
    assert settled(manager) == process.names()
    assert len([name for name in manager.names if name in JOURNALS]) == 1
    assert not [one for one in manager.messages if one.get("FDNAME") == name_of(resumed)][1:]
    process.die()


@pytest.mark.parametrize("small", [1, 10**6])
@given(st.lists(st.integers(0, 3), max_size=10), st.booleans())
def test_a_process_may_be_killed_between_any_two_steps(
    small: int, acts: Sequence[int], late: bool
) -> None:
    """Each pipe that is stored has its record, whatever came after it, or did not come."""
    ledger = Ledger()
    with pytest.MonkeyPatch.context() as patch:
        # One journal after another, or one for all.
        patch.setattr(journal, "_SMALL_BYTES", small)
        process = Process(ledger).begin()
        paths: dict[str, str] = {}
        for act in acts:
            path = f"/{act}"
            if path in process.opened:
                process.close(path)
            else:
                paths[name_of(process.open(path))] = path
    for count in range(len(ledger.messages) + 1):
        given = ledger.handed_over(count, late)
        expected = {paths[pipe_name(inode)] for inode in given.pipes.values()}
        found = stored(given)
        assert {one.path for one in found.logs} == expected
        assert set(found.useless) <= set(JOURNALS)
        assert [paths[name_of(one)] for one in found.logs] == [one.path for one in found.logs]
        for one in found.logs:
            os.close(one.pipe)
    process.die()


def test_a_journal_that_grew_is_replaced(manager: ServiceManager) -> None:
    """It stays in proportion to what is open, however many logs come and go."""
    process = Process(manager.address).begin()
    process.open("/stays")
    for number in range(2000):
        process.open(f"/{number}")
        process.close(f"/{number}")
        while process.notifier.unsent:
            process.reactor.turn()
    assert settled(manager) == process.names()
    (kept,) = (one.descriptor for one in manager.store if one.name in JOURNALS)
    assert os.fstat(kept).st_size < 300 * 1024
    (resumed,) = stored(handed_over(manager)).logs
    assert resumed.path == "/stays"
    os.close(resumed.pipe)
    process.die()


def test_a_pipe_without_a_record_is_closed_and_told_of(
    manager: ServiceManager, warnings: Sequence[str]
) -> None:
    """It cannot be known whose it is; the guest sees that nobody reads, rather than hang."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"12345")
    found = stored(Activation(pipes={read_end: inode_of(read_end)}))
    assert found.logs == ()
    assert found.useless == (pipe_name(inode_of(write_end)),)
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    assert f"pipe {inode_of(write_end)} " in warnings[0]
    assert "5 bytes" in warnings[0]
    os.close(write_end)


def test_a_dead_pipe_without_a_record_is_closed_silently(warnings: Sequence[str]) -> None:
    """Its log was closed, and the process was killed before the manager heard of it."""
    read_end, write_end = os.pipe()
    os.close(write_end)
    stored(Activation(pipes={read_end: inode_of(read_end)}))
    assert warnings == []


def test_what_has_a_pipes_name_and_is_another_is_closed() -> None:
    """Inode numbers come again after the system was started anew, but not here."""
    read_end, write_end = os.pipe()
    found = stored(Activation(pipes={read_end: 5}))
    assert found.useless == ("5",)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read_end)
    os.close(write_end)


def test_a_useless_pipe_is_taken_out_of_the_store(manager: ServiceManager) -> None:
    """By the process that found it."""
    process = Process(manager.address).begin()
    process.open("/a")
    settled(manager)
    process.die()
    found = stored(handed_over(manager))
    process = Process(manager.address, former=found)
    # Its log could not be taken over.
    os.close(found.logs[0].pipe)
    process.begin()
    assert settled(manager) == []
    process.die()


def test_all_pipes_of_one_log_are_kept_and_come_back_in_order(manager: ServiceManager) -> None:
    """A guest that follows another while the file fails, and is followed itself."""
    process = Process(manager.address).begin()
    pipes = [process.open("/a").pipe]
    for order in (1, 2):
        former = process.opened.pop("/a")
        process.opened[f"former {order}"] = former
        pipes.append(process.open("/a", order=order).pipe)
        assert former.details is not None
        details = msgspec.structs.replace(former.details, order=order - 1, left=7, log="/a")
        path = former_path("/a", order - 1)
        process.store.outage(msgspec.structs.replace(former, path=path, details=details))
    assert settled(manager) == process.names()
    assert len(process.store) == 1
    numbers = [os.fstat(pipe).st_ino for pipe in pipes]
    process.die()

    found = stored(handed_over(manager))
    ((first, second, third),) = by_log(found.logs)
    assert [os.fstat(one.pipe).st_ino for one in (first, second, third)] == numbers
    assert (third.path, third.order, third.log) == ("/a", 2, "/a")
    for one in (first, second):
        assert one.details is not None
        assert one.details.left == 7
    process = Process(manager.address, former=found).begin(found.logs)
    assert settled(manager) == process.names()
    process.store.closed(numbers[0])
    del process.opened[first.path]
    os.close(first.pipe)
    assert settled(manager) == process.names()
    process.die()


def test_what_a_newer_release_has_stored_stays_for_it(
    manager: ServiceManager, warnings: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pipes and its journal; the daemon serves other logs meanwhile, and stores those too."""

    def version(number: int) -> None:
        monkeypatch.setattr(journal, "VERSION", number)
        monkeypatch.setattr("twisted_virtlog.systemd.inherited.VERSION", number)
        monkeypatch.setattr(journal, "_WITHOUT_LANES", 3 if number == 3 else 1)

    version(3)
    newer = Process(manager.address).begin()
    guest = newer.open("/theirs")
    name = name_of(guest)
    settled(manager)
    newer.die()

    version(2)
    found = stored(handed_over(manager))
    assert (found.logs, found.left) == ((), (name,))
    assert len(warnings) == 1
    assert (
        "1 pipes are left in the service manager's store: their journal is of version 3"
        in (warnings[0])
    )
    process = Process(manager.address, former=found).begin()
    process.open("/ours")
    assert process.store.left == 1
    assert settled(manager) == sorted([name, *process.names()])
    # Killed, started again, and handed over to the next image.
    process.die()
    found = stored(handed_over(manager))
    assert ([one.path for one in found.logs], found.left) == (["/ours"], (name,))
    process = Process(manager.address, former=found).begin(found.logs)
    kept = process.store.suspended()
    assert (kept.left, kept.left_journal) == ((name,), JOURNALS[1])
    again = Process(process.notifier, former=kept).begin(found.logs)
    assert settled(manager) == sorted([name, *process.names()])
    again.store.close()
    process.die()

    version(3)
    found = stored(handed_over(manager))
    assert [one.path for one in found.logs] == ["/theirs", "/ours"]
    process = Process(manager.address, former=found).begin(found.logs)
    assert settled(manager) == process.names()
    assert len([name for name in manager.names if name in JOURNALS]) == 1
    process.die()


def test_a_full_store_is_told_of_once_and_filled_again(
    manager: ServiceManager, warnings: Sequence[str]
) -> None:
    """Logs for which there is no room are served; the first that can takes the room of another."""
    process = Process(manager.address, most=6).begin()
    for path in ("/a", "/b", "/c", "/d"):
        process.open(path)
    assert len(settled(manager)) == 2
    assert [process.keeps(path) for path in process.opened] == [True, True, False, False]
    assert len(warnings) == 1
    assert "store is full with 2 logs" in warnings[0]
    process.close("/c")
    assert len(settled(manager)) == 2
    process.close("/a")
    assert settled(manager) == process.names()
    process.die()


def test_the_next_image_stores_what_was_not_sent(manager: ServiceManager) -> None:
    """After a hand-over the store is as if there had been none."""
    process = Process(manager.address).begin()
    process.open("/a")
    former = process.store.suspended()
    process.open("/b")
    logs = list(process.opened.values())
    settled(manager)
    name = name_of(process.opened["/b"])
    manager.remove(name)
    kept = Kept(former.journal, (name,), ("zz",))
    process.store.close()
    following = Process(manager.address, former=kept).begin(logs)
    assert following.store.restored() == ()
    assert settled(manager) == following.names()
    assert len(manager.names) == 3
    removed = [one["FDNAME"] for one in manager.messages if "FDSTOREREMOVE" in one]
    assert "zz" in removed
    stores = [one["FDNAME"] for one in manager.messages if "FDSTORE" in one]
    assert stores.count(name_of(logs[0])) == 1
    process.opened.clear()
    following.die()
    process.die()


def test_messages_that_wait_are_told_to_the_next_image(manager: ServiceManager) -> None:
    """And logs for which the store had no room."""
    ledger = Ledger()
    process = Process(ledger, most=5).begin()
    one, other = process.open("/a"), process.open("/b")
    assert process.store.suspended() == Kept(JOURNALS[1], (name_of(other),), ())
    stuck = [f"FDSTORE=1\nFDNAME={name_of(one)}\nFDPOLL=0", "FDSTOREREMOVE=1\nFDNAME=zz", "READY=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "unsent", stuck)
        kept = process.store.suspended()
    assert kept == Kept(JOURNALS[1], (name_of(other), name_of(one)), ("zz",))
    process.die()


def test_logs_that_come_faster_than_they_are_stored_wait(manager: ServiceManager) -> None:
    """They take no further descriptors; one that is closed meanwhile is never stored."""
    notifier = Full(FakeReactor(), Clock(), manager.address)
    process = Process(notifier).begin()
    # What the manager is still to take has descriptors, too.
    settled(manager)
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/a", "/b", "/c"):
        process.open(path)
    assert len(os.listdir("/proc/self/fd")) == before + 2 * 3
    process.close("/b")
    assert settled(manager) == []
    assert sorted(process.store.suspended().unstored) == process.names()
    notifier.full = False
    notifier.drained()
    assert settled(manager) == process.names()
    assert process.store.suspended().unstored == ()
    names = [one.get("FDNAME") for one in manager.messages if "FDSTOREREMOVE" in one]
    assert set(names) <= set(JOURNALS)
    process.die()


def test_when_the_daemon_stops_all_are_stored(manager: ServiceManager) -> None:
    """Before their pipes are closed."""
    notifier = Full(FakeReactor(), Clock(), manager.address)
    process = Process(notifier).begin()
    process.open("/a")
    process.store.stopping()
    assert settled(manager) == process.names()
    process.die()


def test_after_virtlogd_all_is_stored_again(manager: ServiceManager) -> None:
    """Nobody knows what it opened and closed."""
    read_end, write_end = os.pipe()
    process = Process(manager.address).begin([log("/a", read_end)])
    assert settled(manager) == process.names()
    os.close(write_end)
    process.die()


def test_without_memory_for_the_journal_logs_are_served(
    manager: ServiceManager, warnings: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would not outlive the daemon, which is told of."""

    def refuse(name: str, flags: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "memfd_create", refuse)
    process = Process(manager.address).begin()
    process.open("/a")
    assert not process.keeps("/a")
    process.close("/a")
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]
    process.die()


def test_descriptors_are_kept_from_programs_that_the_daemon_runs() -> None:
    """The service manager hands them over inheritable."""
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    take(Activation(pipes={read_end: inode_of(read_end)}), strictly=True)
    assert not os.get_inheritable(read_end)
    os.close(read_end)
    os.close(write_end)


def test_a_socket_that_is_for_nobody_is_refused() -> None:
    """As by virtlogd: somebody connects to it and would wait for ever."""
    with socket.socket(socket.AF_UNIX) as sock:
        for given in ({"unclaimed": {sock.fileno(): "other"}}, {"pipes": {sock.fileno(): 5}}):
            with pytest.raises(ListenError, match="nobody listens on it"):
                take(Activation(**given), strictly=True)  # type: ignore[arg-type]
            take(Activation(**given), strictly=False)  # type: ignore[arg-type]
        assert sock.fileno() >= 0
        os.fstat(sock.fileno())


def test_what_nobody_knows_is_closed(warnings: Sequence[str]) -> None:
    """A newer release may store more than this one."""
    read_end, write_end = os.pipe()
    take(Activation(unclaimed={read_end: "newer-thing"}), strictly=True)
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)
    assert "newer-thing" in warnings[0]


def test_a_descriptor_that_is_missing_is_named() -> None:
    """LISTEN_FDS promised more than there is."""
    with pytest.raises(ListenError, match="descriptor 987654 should have been handed over"):
        take(Activation(pipes={987654: 1}), strictly=True)


def test_variables_that_say_nothing_are_told_of(warnings: Sequence[str]) -> None:
    """The daemon then binds sockets of its own."""
    take(Activation(mistake="odd"), strictly=True)
    assert warnings == ["odd; the daemon binds sockets itself"]


def test_the_environment_is_that_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twisted takes variables out of the present one."""
    monkeypatch.setenv("TWISTED_VIRTLOG_TEST", "1")
    found = started_environment()
    assert "TWISTED_VIRTLOG_TEST" not in found
    assert found["PATH"]


def test_it_is_known_when_the_manager_has_let_go_of_a_pipe(manager: ServiceManager) -> None:
    """A thread that waits for that waits as long as the manager does nothing."""
    process = Process(manager.address).begin()
    opened = process.open("/a")
    manager.settle()
    with manager._changed:
        process.store.closed(os.fstat(opened.pipe).st_ino)
        waiting = threading.Thread(target=process.store.settled())
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        assert manager.store[-1].name == name_of(opened)
    waiting.join()
    assert name_of(opened) not in manager.names
    process.die()


def test_a_manager_that_is_gone_has_let_go(manager: ServiceManager) -> None:
    """Nobody waits for it."""
    process = Process(manager.address).begin()
    process.notifier.close()
    process.store.settled()()
    process.die()
