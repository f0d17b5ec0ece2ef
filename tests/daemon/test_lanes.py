"""A daemon with logs on file systems that do not answer for a while: nobody else waits for them.

Where a test needs that a call goes on waiting, the daemon waits for an hour before it says that a
file system does not answer; elsewhere for a second.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from harness.daemon import Daemon
from harness.frozen_mount import frozen_mount
from harness.fuse import Operation
from harness.pass_mount import PassMount, pass_mount
from tests.daemon.conftest import StartDaemon, by_default, wait_for_message
from tests.daemon.test_reload import Configured
from tests.stack.rpc_client import (
    OPEN,
    POSITION,
    READ,
    Connection,
    Failure,
    open_arguments,
    position_arguments,
    read_arguments,
)
from twisted_virtlog.client import BlockingClient, Opened, Position, RemoteError

pytestmark = pytest.mark.fuse

T = TypeVar("T")

_BUSY, _SYSTEM, _NOT_WRITTEN, _HAND_OVER_FAILED = 1001, 1003, 1006, 1007

_PATIENT, _SOON = "file_timeout = 3600", "file_timeout = 1"
_BLOCK, _DROP = 'on_write_error = "block"', 'on_write_error = "drop"'
_NO_LIMIT = "max_size = 0"

#: What stands where bytes are lost, and how many.
_NOTICE = re.compile(rb"^\[virtlogd: (\d+) bytes lost from [^\n]*\]\n", re.MULTILINE)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[PassMount]:
    directory, point = tmp_path / "shown", tmp_path / "mount"
    directory.mkdir()
    point.mkdir()
    with pass_mount(directory, point) as mount:
        yield mount


@contextmanager
def logged(client: BlockingClient, log: Path) -> Iterator[Opened]:
    """Have a log open inside the context, with a line in it."""
    opened = until_answered(lambda: client.open(str(log)))
    try:
        os.write(opened.write_end, b"before\n")
        assert client.position(str(log)).offset == len(b"before\n")
        yield opened
    finally:
        os.close(opened.write_end)


@contextmanager
def stopped_in_a_write(mount: PassMount, pipe: int, line: bytes) -> Iterator[None]:
    """Stop a mount inside the context while a guest's line is being written."""
    mount.hold(Operation.WRITE)
    os.write(pipe, line)
    assert mount.held() is Operation.WRITE
    with mount.stopped():
        try:
            yield
        finally:
            mount.release()


@contextmanager
def threads() -> Iterator[Callable[..., Future[T]]]:
    """Make calls in threads; the context ends when these have ended."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


def refused(call: Callable[..., object], *arguments: object, code: int, mount: Path) -> RemoteError:
    """Make a call that is refused, as a mount does not answer."""
    with pytest.raises(RemoteError) as caught:
        call(*arguments)
    error = caught.value
    assert error.code == code, error
    assert error.data["errno"] == "ETIMEDOUT"
    assert error.data["mount"] == str(mount)
    return error


def until_answered(call: Callable[[], T]) -> T:
    """Make a call again and again, until the mount answers."""
    while True:
        try:
            return call()
        except RemoteError as error:
            if error.data["errno"] != "ETIMEDOUT":
                raise


def until_closed(client: BlockingClient, log: Path) -> None:
    """Wait until a log is not open."""
    while any(one.path == str(log) for one in client.list()):
        """Each answer takes a turn of the daemon's reactor."""


def own_log(daemon: Daemon) -> str:
    return (Path(daemon.socket).parent / "daemon.log").read_text()


@pytest.mark.lengthy
@by_default
def test_others_are_served_while_calls_wait(
    start_daemon: StartDaemon, mounted: PassMount, tmp_path: Path
) -> None:
    """By both protocols, whatever they ask; then those who waited are."""
    daemon = start_daemon(_PATIENT, _NO_LIMIT)
    log, other = mounted.point / "guest.log", tmp_path / "other.log"
    with ExitStack() as stack:
        client, caller, reader, opener = (
            stack.enter_context(daemon.client(3600.0)) for _ in range(4)
        )
        libvirt, libvirt_caller = (
            stack.enter_context(Connection(daemon.libvirt_socket)) for _ in range(2)
        )
        hung = stack.enter_context(logged(client, log))
        quiet = stack.enter_context(logged(client, other))
        submit = stack.enter_context(threads())
        with mounted.stopped():
            os.write(hung.write_end, b"during\n")
            waiting = [
                submit(caller.position, str(log)),
                submit(reader.read, str(log)),
                submit(opener.open, str(mounted.point / "new.log")),
            ]
            libvirt_answer = submit(
                libvirt_caller.call, POSITION, position_arguments(bytes(log)), 1
            )
            for number in range(8, 58):
                os.write(quiet.write_end, b"x")
                assert client.position(str(other)).offset == number
            end = client.position(str(other))
            place = libvirt.call(POSITION, position_arguments(bytes(other))).result
            assert place == (end.inode, end.offset)
            assert client.read(str(other)).data == b"before\n" + b"x" * 50
            assert client.append(str(other), "said\n").offset == 62
            with logged(client, tmp_path / "new.log"):
                statuses = {one.path: one for one in client.list()}
            assert {str(log), str(other), str(tmp_path / "new.log")} <= set(statuses)
            assert statuses[str(log)].thread == str(mounted.point)
            assert statuses[str(other)].thread is None
            counts = client.info().counts
            assert counts["lanes"] == 1
            assert counts["lane_oldest_s"] > 0
            assert not any(future.done() for future in [*waiting, libvirt_answer])
        position, chunk, opened = (future.result() for future in waiting)
        assert isinstance(position, Position)
        assert position.offset == len(b"before\nduring\n")
        assert libvirt_answer.result().result == (position.inode, position.offset)
        assert chunk.data == b"before\nduring\n"
        os.close(opened.write_end)
    assert log.read_bytes() == b"before\nduring\n"


@pytest.mark.lengthy
def test_a_mount_that_does_not_answer_is_named(
    start_daemon: StartDaemon, mounted: PassMount, tmp_path: Path
) -> None:
    """Each call for it is refused soon, by both protocols, until it answers again."""
    daemon = start_daemon(_SOON, _BLOCK)
    log, point = mounted.point / "guest.log", mounted.point
    with (
        daemon.client() as client,
        Connection(daemon.libvirt_socket) as libvirt,
        logged(client, log) as hung,
        logged(client, tmp_path / "other.log"),
    ):
        with mounted.stopped():
            os.write(hung.write_end, b"during\n")
            for _ in range(3):
                error = refused(client.position, str(log), code=_NOT_WRITTEN, mount=point)
                assert error.data["pending_bytes"] == len(b"during\n")
            error = refused(client.append, str(log), "said\n", code=_NOT_WRITTEN, mount=point)
            # (it did not begin)
            assert "maybe_written" not in error.data
            refused(client.read, str(log), code=_SYSTEM, mount=point)
            refused(client.open, f"{point}/new.log", code=_SYSTEM, mount=point)
            for procedure, arguments in (
                (POSITION, position_arguments(bytes(log))),
                (READ, read_arguments(bytes(log), 0, 0, 100)),
                (OPEN, open_arguments(bytes(point / "new.log"))),
            ):
                failure = libvirt.call(procedure, arguments).result
                assert isinstance(failure, Failure)
                assert b"%b does not answer" % bytes(point) in (failure.message or b"")
            status, other = client.list()
            assert (status.path, status.state, status.thread) == (str(log), "failing", str(point))
            assert f"{point} does not answer" in (status.error or "")
            assert status.pending == len(b"during\n")
            assert other.state == "open"
            assert client.info().counts["failing_logs"] == 1
        end = until_answered(lambda: client.position(str(log)))
        assert end.offset == len(b"before\nduring\n")
        assert [one.state for one in client.list()] == ["open", "open"]
        wait_for_message(daemon, f"{point}: the file system answers again")
    assert log.read_bytes() == b"before\nduring\n"
    assert not (point / "new.log").exists()


@pytest.mark.lengthy
def test_a_guest_writes_on_and_loses_nothing(start_daemon: StartDaemon, mounted: PassMount) -> None:
    """While its pipe has room, though a line of it is on its way to the file."""
    daemon = start_daemon(_SOON, _BLOCK, _NO_LIMIT)
    log = mounted.point / "guest.log"
    written = b"before\n"
    with daemon.client() as client, logged(client, log) as opened:
        lines = [b"line %d of the guest\n" % number for number in range(500)]
        with stopped_in_a_write(mounted, opened.write_end, lines[0]):
            for line in lines[1:300]:
                os.write(opened.write_end, line)
            refused(client.position, str(log), code=_NOT_WRITTEN, mount=mounted.point)
            for line in lines[300:]:
                os.write(opened.write_end, line)
        end = until_answered(lambda: client.position(str(log)))
        written += b"".join(lines)
        assert end.offset == len(written)
        (status,) = client.list()
        assert status.pending == 0
        assert client.info().counts["bytes_lost"] == 0
    assert log.read_bytes() == written


@pytest.mark.lengthy
def test_a_full_pipe_is_emptied_and_every_byte_accounted_for(
    start_daemon: StartDaemon, mounted: PassMount
) -> None:
    """Under drop, when the mount is known not to answer; the notice stands where bytes are lost."""
    daemon = start_daemon(_SOON, _DROP, _NO_LIMIT, "pipe_size = 65536")
    log = mounted.point / "guest.log"
    with daemon.client() as client, logged(client, log) as opened:
        lines = [b"%09d" % number + b"x" * 1990 + b"\n" for number in range(1000)]
        with stopped_in_a_write(mounted, opened.write_end, lines[0]):
            # Many times what the pipe holds: this ends only if bytes are dropped.
            for line in lines[1:]:
                os.write(opened.write_end, line)
        os.write(opened.write_end, b"after\n")
        until_answered(lambda: client.position(str(log)))
        (status,) = client.list()
        counts = client.info().counts
    written = b"before\n" + b"".join(lines) + b"after\n"
    assert counts["bytes_lost"] == accounted(log, written) > 0
    assert status.state == "open"
    text = log.read_bytes()
    assert text.startswith(b"before\n" + lines[0])
    assert text.endswith(b"after\n")
    (notice,) = _NOTICE.finditer(text)
    assert b"Connection timed out" in notice[0]


@pytest.mark.lengthy
def test_an_open_that_was_given_up_is_undone(start_daemon: StartDaemon, mounted: PassMount) -> None:
    """Though it had begun; the own log says what was removed for it. The path is free again."""
    daemon = start_daemon(_SOON)
    log = mounted.point / "guest.log"
    (mounted.directory / log.name).write_bytes(b"of an earlier guest\n")
    with daemon.client() as client:
        with mounted.stopped():
            with pytest.raises(RemoteError) as caught:
                client.open(str(log), truncate=True)
            assert (caught.value.code, caught.value.data["errno"]) == (_SYSTEM, "ETIMEDOUT")
        wait_for_message(daemon, f"{log}: opened when nobody waited for it any more")
        until_closed(client, log)
        with logged(client, log):
            pass
    assert log.read_bytes() == b"before\n"
    assert "what was in its files is removed" in own_log(daemon)


@pytest.mark.lengthy
def test_what_had_not_begun_does_not_happen_later(
    start_daemon: StartDaemon, mounted: PassMount
) -> None:
    """Neither an open nor a message."""
    daemon = start_daemon(_SOON)
    log, new = mounted.point / "guest.log", mounted.point / "new.log"
    with daemon.client() as client, logged(client, log) as opened:
        with stopped_in_a_write(mounted, opened.write_end, b"held\n"):
            refused(client.append, str(log), "said\n", code=_NOT_WRITTEN, mount=mounted.point)
            refused(client.open, str(new), code=_SYSTEM, mount=mounted.point)
        end = until_answered(lambda: client.position(str(log)))
        assert end.offset == len(b"before\nheld\n")
        assert [one.path for one in client.list()] == [str(log)]
    assert not new.exists()


@pytest.mark.lengthy
def test_a_message_under_way_may_be_written(start_daemon: StartDaemon, mounted: PassMount) -> None:
    """The answer says so, and it is, once."""
    daemon = start_daemon(_SOON)
    log = mounted.point / "guest.log"
    with daemon.client() as client:
        assert client.append(str(log), "before\n").offset == len(b"before\n")
        mounted.hold(Operation.WRITE, done=True)
        error = refused(client.append, str(log), "said\n", code=_NOT_WRITTEN, mount=mounted.point)
        assert error.data["maybe_written"] is True
        mounted.release()
        end = until_answered(lambda: client.append(str(log), "after\n"))
        assert end.offset == len(b"before\nsaid\nafter\n")
    assert log.read_bytes() == b"before\nsaid\nafter\n"


@pytest.mark.lengthy
def test_a_guest_that_ends_meanwhile_loses_nothing(
    start_daemon: StartDaemon, mounted: PassMount
) -> None:
    """Its log is closed when all is written; then the path is the next guest's."""
    daemon = start_daemon(_SOON, _DROP)
    log = mounted.point / "guest.log"
    with daemon.client() as client:
        opened = client.open(str(log))
        with stopped_in_a_write(mounted, opened.write_end, b"held\n"):
            os.write(opened.write_end, b"the last words\n")
            os.close(opened.write_end)
            with pytest.raises(RemoteError) as caught:
                client.open(str(log))
            assert caught.value.code in {_BUSY, _SYSTEM}
            assert [one.path for one in client.list()] == [str(log)]
        until_closed(client, log)
        opened = until_answered(lambda: client.open(str(log)))
        os.write(opened.write_end, b"the next guest\n")
        client.position(str(log))
        os.close(opened.write_end)
    assert log.read_bytes() == b"held\nthe last words\nthe next guest\n"


@pytest.mark.slow
def test_every_byte_of_many_guests_is_accounted_for(
    start_daemon: StartDaemon, mounted: PassMount
) -> None:
    """Some flood, some print a little: of these nothing is lost."""
    daemon = start_daemon(_SOON, _DROP, _NO_LIMIT, "pipe_size = 65536")
    flooding = [mounted.point / f"flood{number}.log" for number in range(4)]
    printing = [mounted.point / f"little{number}.log" for number in range(12)]
    written = dict.fromkeys(flooding + printing, b"before\n")
    with ExitStack() as stack:
        client = stack.enter_context(daemon.client())
        guests = {log: stack.enter_context(logged(client, log)).write_end for log in written}

        def write(log: Path, line: bytes) -> None:
            os.write(guests[log], line)
            written[log] += line

        for hang in range(2):
            with stopped_in_a_write(mounted, guests[flooding[hang]], b"held\n"):
                written[flooding[hang]] += b"held\n"
                for number in range(300):
                    for log in flooding:
                        write(log, b"%d " % number + b"x" * 1000 + b"\n")
                    if number % 10 == 0:
                        for log in printing:
                            write(log, b"a line with the number %d\n" % number)
            for log in written:
                until_answered(lambda log=log: client.position(str(log)))
        lost = client.info().counts["bytes_lost"]
    assert sum(accounted(log, written[log]) for log in flooding) == lost
    assert lost > 0
    for log in printing:
        assert log.read_bytes() == written[log]


def accounted(log: Path, written: bytes) -> int:
    """Compare a log with what was written; return how much it says is lost, where that was."""
    kept = _NOTICE.split(log.read_bytes())
    place = lost = 0
    for index, part in enumerate(kept):
        if index % 2:
            place += int(part)
            lost += int(part)
            continue
        # (before a notice there may be a newline that nobody wrote)
        found = part if written.startswith(part, place) else part[:-1]
        assert written.startswith(found, place), (log, index, place)
        place += len(found)
    assert place == len(written), (log, place)
    return lost


@pytest.mark.slow
def test_logs_change_sides_while_guests_print(
    start_daemon: StartDaemon, mounted: PassMount, tmp_path: Path
) -> None:
    """Whether their file systems have threads is changed again and again, and nothing is lost."""
    daemon = start_daemon(_PATIENT, _BLOCK, _NO_LIMIT)
    logs = [mounted.point / "slow.log", tmp_path / "fast.log"]
    mounted.delay(0.002)
    ends = threading.Event()
    written = [b"", b""]
    with ExitStack() as stack:
        client, asking = (stack.enter_context(daemon.client()) for _ in range(2))
        configured = Configured(daemon, client)
        guests = [client.open(str(log)) for log in logs]
        submit = stack.enter_context(threads())

        def print_on(place: int) -> None:
            number = 0
            while not ends.is_set():
                line = b"%d of the guest\n" % number
                os.write(guests[place].write_end, line)
                written[place] += line
                if number % 50 == 0:
                    end = asking.position(str(logs[place])) if place else None
                    assert end is None or end.offset == len(written[place])
                number += 1

        printing = [submit(print_on, place) for place in range(2)]
        try:
            for _ in range(4):
                for file_threads in ("never", "always"):
                    configured.read(f'file_threads = "{file_threads}"', _BLOCK, _NO_LIMIT)
                    while {one.thread is None for one in client.list()} != {
                        file_threads == "never"
                    }:
                        assert not any(future.done() for future in printing)
        finally:
            ends.set()
        for future in printing:
            future.result()
        for guest in guests:
            os.close(guest.write_end)
        for log in logs:
            until_closed(client, log)
    assert [log.read_bytes() for log in logs] == written


def test_a_path_is_opened_once(start_daemon: StartDaemon, mounted: PassMount) -> None:
    """Those who want to open what is being opened wait for that, or are told that it is."""
    daemon = start_daemon(_PATIENT)
    log = mounted.point / "guest.log"
    with ExitStack() as stack:
        clients = [stack.enter_context(daemon.client(3600.0)) for _ in range(4)]
        submit = stack.enter_context(threads())
        with mounted.stopped():
            opening = [submit(client.open, str(log)) for client in clients]
            assert clients_are_served(daemon)
        errors = [future.exception() for future in opening]
        (opened,) = [future.result() for future in opening if future.exception() is None]
        for error in errors:
            assert error is None or (isinstance(error, RemoteError) and error.code == _BUSY)
        os.write(opened.write_end, b"one\n")
        assert clients[0].position(str(log)).offset == 4
        os.close(opened.write_end)


def clients_are_served(daemon: Daemon) -> bool:
    with daemon.client() as client:
        return client.info().pid == daemon.process.pid


@pytest.mark.lengthy
def test_each_mount_is_waited_for_by_itself(
    start_daemon: StartDaemon, mounted: PassMount, tmp_path: Path
) -> None:
    """Logs on another mount of the same type go on."""
    daemon = start_daemon(_SOON, _BLOCK)
    point = tmp_path / "second"
    point.mkdir()
    log, other = mounted.point / "guest.log", point / "other.log"
    with (
        pass_mount(tmp_path, point),
        daemon.client() as client,
        logged(client, log) as hung,
        logged(client, other) as answering,
    ):
        with mounted.stopped():
            os.write(hung.write_end, b"during\n")
            refused(client.position, str(log), code=_NOT_WRITTEN, mount=mounted.point)
            os.write(answering.write_end, b"during\n")
            assert client.position(str(other)).offset == len(b"before\nduring\n")
            assert {one.thread for one in client.list()} == {str(mounted.point), str(point)}
            # (a lane each, and one that is silent)
            assert client.info().counts["failing_logs"] == 1
        until_answered(lambda: client.position(str(log)))
    assert (mounted.directory / log.name).read_bytes() == b"before\nduring\n"


@pytest.mark.lengthy
@by_default
def test_a_log_stays_with_its_open_file(start_daemon: StartDaemon, mounted: PassMount) -> None:
    """Its mount is taken away while it hangs: what was on the way there arrives there."""
    daemon = start_daemon(_SOON, _BLOCK)
    log, below = mounted.point / "guest.log", mounted.point / "below.log"
    with daemon.client() as client:
        with logged(client, log) as opened:
            with stopped_in_a_write(mounted, opened.write_end, b"held\n"):
                mounted.unmount_lazily()
                with pytest.raises(RemoteError) as caught:
                    client.open(str(log))
                assert caught.value.code in {_BUSY, _SYSTEM}
                refused(client.position, str(log), code=_NOT_WRITTEN, mount=mounted.point)
                with logged(client, below):
                    statuses = {one.path: one.thread for one in client.list()}
                assert statuses == {str(log): str(mounted.point), str(below): None}
            # (from then on it may go on where its path leads)
            until_answered(lambda: client.position(str(log)))
        until_closed(client, log)
        # The mount is gone: another file, on the disk below.
        with logged(client, log):
            pass
    assert (mounted.directory / log.name).read_bytes() == b"before\nheld\n"
    assert log.read_bytes() == b"before\n"
    assert not (mounted.directory / below.name).exists()


@pytest.mark.lengthy
def test_a_mount_that_is_gone_for_good_is_replaced(
    start_daemon: StartDaemon, mounted: PassMount
) -> None:
    """An operator ends it and mounts it anew; what was in the pipe is written there."""
    daemon = start_daemon(_SOON, _BLOCK)
    log = mounted.point / "guest.log"
    with daemon.client() as client, logged(client, log) as opened:
        mounted.stop()
        os.write(opened.write_end, b"during\n")
        refused(client.position, str(log), code=_NOT_WRITTEN, mount=mounted.point)
        mounted.abort()
        # (in between, the path leads to the disk below)
        daemon.process.send_signal(signal.SIGSTOP)
        mounted.unmount_lazily()
        mounted.mount_anew()
        daemon.process.send_signal(signal.SIGCONT)
        while client.list()[0].state == "failing":
            """Tried again once a second."""
        assert client.position(str(log)).offset == len(b"before\nduring\n")
    assert log.read_bytes() == b"before\nduring\n"


@pytest.mark.lengthy
def test_links_and_closed_logs_lead_to_the_mount(
    start_daemon: StartDaemon, mounted: PassMount, tmp_path: Path
) -> None:
    """A path is followed without touching the mount; what it leads to is the mount's matter."""
    daemon = start_daemon(_SOON, _BLOCK)
    point = mounted.point
    link, over, elsewhere = tmp_path / "link", tmp_path / "over.log", tmp_path / "elsewhere.log"
    link.symlink_to(point)
    over.symlink_to(link / "guest.log")
    closed = point / "closed.log"
    (point / "out").symlink_to(tmp_path)
    with daemon.client() as client:
        with logged(client, closed):
            pass
        until_closed(client, closed)
        with logged(client, link / "guest.log") as opened, logged(client, elsewhere) as other:
            assert client.position(str(over)).offset == len(b"before\n")
            with mounted.stopped():
                os.write(opened.write_end, b"during\n")
                for path in (link / "guest.log", over, point / "guest.log"):
                    refused(client.position, str(path), code=_NOT_WRITTEN, mount=point)
                refused(client.read, str(link / "closed.log"), code=_SYSTEM, mount=point)
                refused(client.append, str(closed), "said\n", code=_NOT_WRITTEN, mount=point)
                # (a link that is on the mount hangs with it, wherever it leads)
                refused(
                    client.read, str(point / "out" / "elsewhere.log"), code=_SYSTEM, mount=point
                )
                os.write(other.write_end, b"during\n")
                for path in (elsewhere, tmp_path / "link" / ".." / "elsewhere.log"):
                    with suppress(RemoteError):
                        client.read(str(path))
                assert client.position(str(elsewhere)).offset == len(b"before\nduring\n")
            until_answered(lambda: client.position(str(over)))
            chunk = until_answered(lambda: client.read(str(point / "out" / "elsewhere.log")))
            assert chunk.data == b"before\nduring\n"
            assert client.append(str(closed), "said\n").offset == len(b"before\nsaid\n")
    assert (point / "guest.log").read_bytes() == b"before\nduring\n"


@pytest.mark.slow
def test_many_calls_leave_nothing_behind(start_daemon: StartDaemon, mounted: PassMount) -> None:
    """Not one thread or descriptor more, whatever was asked for."""
    daemon = start_daemon(_SOON, _BLOCK)
    log = mounted.point / "guest.log"
    process = Path(f"/proc/{daemon.process.pid}")

    def count() -> tuple[int, int]:
        return len(os.listdir(process / "task")), len(os.listdir(process / "fd"))

    with daemon.client() as client, logged(client, log) as opened:
        with mounted.stopped():
            os.write(opened.write_end, b"during\n")
            refused(client.position, str(log), code=_NOT_WRITTEN, mount=mounted.point)
            before = count()
            for _ in range(250):
                for call, arguments, code in (
                    (client.position, (str(log),), _NOT_WRITTEN),
                    (client.append, (str(log), "said\n"), _NOT_WRITTEN),
                    (client.read, (str(log),), _SYSTEM),
                    (client.open, (f"{mounted.point}/new.log",), _SYSTEM),
                ):
                    refused(call, *arguments, code=code, mount=mounted.point)
            assert count() == before
        until_answered(lambda: client.position(str(log)))
        assert count() == before
    assert log.read_bytes() == b"before\nduring\n"


@pytest.mark.lengthy
def test_a_hand_over_waits_for_no_mount(start_daemon: StartDaemon, mounted: PassMount) -> None:
    """It is refused with the mount named, and nothing changes; later it is possible."""
    daemon = start_daemon(_SOON, _BLOCK)
    log = mounted.point / "guest.log"
    with daemon.client() as client, logged(client, log) as opened:
        with stopped_in_a_write(mounted, opened.write_end, b"held\n"):
            with pytest.raises(RemoteError, match=re.escape(str(mounted.point))) as caught:
                client.reexec()
            assert caught.value.code == _HAND_OVER_FAILED
            os.write(opened.write_end, b"during\n")
            refused(client.position, str(log), code=_NOT_WRITTEN, mount=mounted.point)
        until_answered(lambda: client.position(str(log)))
        assert client.reexec()
        os.write(opened.write_end, b"after\n")
        end = client.position(str(log))
        assert end.offset == len(b"before\nheld\nduring\nafter\n")
    assert log.read_bytes() == b"before\nheld\nduring\nafter\n"


@pytest.mark.lengthy
@pytest.mark.root
@pytest.mark.parametrize("policy", [_BLOCK, _DROP])
def test_a_disk_that_hangs(start_daemon: StartDaemon, tmp_path: Path, policy: str) -> None:
    """A frozen file system that has a thread because all have."""
    daemon = start_daemon(_SOON, policy, 'file_threads = "always"')
    point = tmp_path / "disk"
    point.mkdir()
    log, other = point / "guest.log", tmp_path / "other.log"
    with (
        frozen_mount(point, tmp_path / "image") as disk,
        daemon.client() as client,
        logged(client, log) as hung,
        logged(client, other) as quiet,
    ):
        with disk.frozen():
            os.write(hung.write_end, b"during\n")
            refused(client.position, str(log), code=_NOT_WRITTEN, mount=point)
            os.write(hung.write_end, b"later\n")
            os.write(quiet.write_end, b"during\n")
            assert client.position(str(other)).offset == len(b"before\nduring\n")
        end = until_answered(lambda: client.position(str(log)))
        assert end.offset == len(b"before\nduring\nlater\n")
        assert log.read_bytes() == b"before\nduring\nlater\n"


@pytest.mark.lengthy
@by_default
@pytest.mark.root
def test_a_disk_that_hung_once_has_a_thread(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """By itself: the first time all wait, the second time nobody does."""
    daemon = start_daemon(_PATIENT)
    point = tmp_path / "disk"
    point.mkdir()
    log, other = point / "guest.log", tmp_path / "other.log"
    with (
        frozen_mount(point, tmp_path / "image") as disk,
        daemon.client(3600.0) as client,
        daemon.client(3600.0) as caller,
        logged(client, log) as hung,
        logged(client, other),
        threads() as submit,
    ):
        with disk.frozen():
            os.write(hung.write_end, b"one\n")
            # It says so after longer than what counts as slow.
            until_said(daemon, "the reactor has stood still")
        while not any(one.thread == str(point) for one in client.list()):
            """It is moved soon."""
        with disk.frozen():
            os.write(hung.write_end, b"two\n")
            waiting = submit(caller.position, str(log))
            for _ in range(50):
                assert client.position(str(other)).offset == len(b"before\n")
            assert not waiting.done()
        assert waiting.result().offset == len(b"before\none\ntwo\n")


def until_said(daemon: Daemon, text: str) -> None:
    """Wait for a text in the own log of a daemon that does not answer."""
    while text not in own_log(daemon):
        os.sched_yield()
