"""The daemon executes itself anew, and no guest and no client can tell."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon, running, state_dir, wait_until_it_answers
from tests.daemon.conftest import StartDaemon, by_default
from tests.stack.numbered_lines import NumberedLines, missing
from tests.stack.rpc_client import (
    ADMIN_PROGRAM,
    POSITION,
    Connection,
    Place,
    frame,
    position_arguments,
    string,
    uint,
)
from twisted_virtlog.client import BlockingClient, RemoteError

_SECONDS = 60.0
_HAND_OVER_FAILED = 1007


def image_of(pid: int) -> bytes:
    """Tell two images of one process apart: where the kernel put the program is random."""
    return Path(f"/proc/{pid}/auxv").read_bytes()


def until(condition: Callable[[], object]) -> None:
    """Look until a condition of another process holds."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def another_image(pid: int) -> Iterator[None]:
    """Wait in the end until a process has executed itself."""
    before = image_of(pid)
    yield
    until(lambda: image_of(pid) != before)


def kept(log: Path) -> list[bytes]:
    """Give what a log's files hold, oldest first."""
    names = [log.with_name(f"{log.name}.{number}") for number in range(9, -1, -1)]
    return [name.read_bytes() for name in [*names, log] if name.exists()]


@by_default
def test_logs_counters_and_clients_go_over(daemon: Daemon, tmp_path: Path) -> None:
    """The process, its start, its logs and their counts are the same for those who ask."""
    log = str(tmp_path / "guest.log")
    with daemon.client() as client, daemon.client() as other:
        opened = client.open(log, driver="qemu")
        os.write(opened.write_end, b"x" * 100_000)
        end = other.position(log)
        before = (client.info(), client.list(), end, client.ledger(log), client.ledger())
        assert other.reexec()
        after = (
            client.info(),
            client.list(),
            other.position(log),
            client.ledger(log),
            client.ledger(),
        )
        for info in (before[0], after[0]):
            assert info.pid == daemon.process.pid
        assert after[0].started_at == before[0].started_at
        assert after[0].counts == before[0].counts
        assert after[1:] == before[1:]
        os.write(opened.write_end, b"y")
        assert other.position(log).offset == before[2].offset + 1
        os.close(opened.write_end)
        until(lambda: not client.list())
    assert b"".join(kept(Path(log))) == b"x" * 100_000 + b"y"


@pytest.mark.lengthy
def test_half_requests_go_over(daemon: Daemon, tmp_path: Path) -> None:
    """A client that was in the middle of a word gets its answer from the next image."""
    log = str(tmp_path / "guest.log")
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "log.list"}).encode()
    call = frame(POSITION, position_arguments(log.encode()), serial=3)
    with daemon.client() as client, socket.socket(socket.AF_UNIX) as json_rpc:
        opened = client.open(log)
        json_rpc.connect(daemon.socket)
        json_rpc.settimeout(_SECONDS)
        with Connection(daemon.libvirt_socket) as libvirt:
            json_rpc.sendall(request[:20])
            libvirt.send(call[:40])
            assert client.reexec()
            json_rpc.sendall(request[20:])
            libvirt.send(call[40:])
            assert json.loads(json_rpc.makefile().readline())["id"] == 1
            answer = libvirt.receive()
            assert answer.header.serial == 3
            assert answer.result == Place(*_as_tuple(client, log))
        os.close(opened.write_end)


def _as_tuple(client: BlockingClient, log: str) -> tuple[int, int]:
    position = client.position(log)
    return position.inode, position.offset


@pytest.mark.lengthy
def test_answers_that_nobody_read_yet_go_over(daemon: Daemon, tmp_path: Path) -> None:
    """The rest of a batch's answer comes from the next image."""
    log = tmp_path / "guest.log"
    log.write_bytes(b"z" * 60_000)
    read = {"method": "log.read", "params": [str(log)], "jsonrpc": "2.0"}
    batch = json.dumps([{**read, "id": number} for number in range(100)]).encode()
    with daemon.client() as client, socket.socket(socket.AF_UNIX) as slow:
        slow.settimeout(_SECONDS)
        slow.connect(daemon.socket)
        slow.sendall(batch)
        # The daemon waits until this client reads.
        assert slow.recv(1, socket.MSG_PEEK)
        assert client.reexec()
        with slow.makefile() as lines:
            answers = json.loads(lines.readline())
    assert [answer["id"] for answer in answers] == list(range(100))
    assert {answer["result"]["data"] for answer in answers} == {"z" * 60_000}


@pytest.mark.lengthy
@by_default
@pytest.mark.parametrize("framing", ["plain", "headers", "http"])
def test_long_answers_that_are_half_sent_go_over(
    framing: str, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Clients that do not read cannot refuse it, and get the same bytes as without."""
    # (the list says which thread writes a log, and a slow disk may get one between)
    daemon = start_daemon('file_threads = "never"')
    log = tmp_path / "long.log"
    log.write_bytes(os.urandom(1 << 20) * 4)
    # (few logs with long paths, as an ordinary user has 1,024 descriptors)
    directory = tmp_path.joinpath(*["x" * 240] * 4)
    directory.mkdir(parents=True)
    with daemon.client() as client, ExitStack() as stack:
        for number in range(250):
            stack.callback(os.close, client.open(str(directory / f"{number:03}.log")).write_end)
        reads = [("log.read", [str(log), None, 1 << 22, coding]) for coding in ("base64", "utf-8")]
        requests = [
            _framed(framing, json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": how}))
            for name, how in [*reads, ("log.list", [])]
        ]
        without = [_asked(daemon, request, lambda _: None) for request in requests]

        def reexec(_: socket.socket) -> None:
            assert client.reexec()

        assert [_asked(daemon, request, reexec) for request in requests] == without


def _framed(framing: str, text: str) -> bytes:
    if framing == "plain":
        return text.encode()
    length = f"Content-Length: {len(text)}\r\n"
    if framing == "headers":
        return f"{length}\r\n{text}".encode()
    head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return f"{head}{length}\r\n{text}".encode()


def _asked(daemon: Daemon, request: bytes, then: Callable[[socket.socket], None]) -> bytes:
    """Ask, read ten bytes, do something, and read the rest; return all of it."""
    with socket.socket(socket.AF_UNIX) as slow:
        slow.settimeout(_SECONDS)
        slow.connect(daemon.socket)
        slow.sendall(request)
        answer = slow.recv(10, socket.MSG_WAITALL)
        then(slow)
        slow.shutdown(socket.SHUT_WR)
        with slow.makefile("rb") as rest:
            return answer + rest.read()


@pytest.mark.lengthy
def test_a_failing_log_goes_over(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """It fails on, its bytes wait, and it recovers in the next image."""
    daemon = start_daemon()
    directory = tmp_path / "logs"
    directory.mkdir()
    log = directory / "guest.log"
    with daemon.client() as client:
        opened = client.open(str(log))
        log.unlink()
        directory.rmdir()
        os.write(opened.write_end, b"kept\n")
        until(lambda: client.list()[0].state == "failing")
        assert client.reexec()
        assert client.list()[0].state == "failing"
        directory.mkdir()
        until(lambda: client.list()[0].state == "open")
        assert client.read(str(log)).data == b"kept\n"
        os.close(opened.write_end)


@pytest.mark.lengthy
def test_a_log_whose_directory_is_gone_fails_until_it_is_back(
    daemon: Daemon, tmp_path: Path
) -> None:
    """Though nothing waits to be written; a position is refused with the reason."""
    logs = [tmp_path / name / "guest.log" for name in ("missed", "restored")]
    for log in logs:
        log.parent.mkdir()
    missed, restored = logs
    with daemon.client() as client:
        pipes = [client.open(str(log)).write_end for log in logs]
        for log in logs:
            log.unlink()
            log.parent.rmdir()
        assert client.reexec()
        restored.parent.mkdir()
        # Both are tried at about the same time.
        until(lambda: {log.state for log in client.list()} == {"failing", "open"})
        assert client.position(str(restored)).offset == 0
        assert [log.error for log in client.list()] == [
            f"Unable to open file: {missed}: No such file or directory",
            None,
        ]
        with pytest.raises(RemoteError) as refused:
            client.position(str(missed))
        assert refused.value.code == 1006
        assert refused.value.data["errno"] == "ENOENT"
        missed.parent.mkdir()
        until(lambda: {log.state for log in client.list()} == {"open"})
        assert client.position(str(missed)).inode == missed.stat().st_ino
        for pipe in pipes:
            os.close(pipe)


@pytest.mark.slow
def test_what_was_administered_goes_over(tmp_path: Path) -> None:
    """Limits, threads, the own log, the timeout, and who is connected since when."""
    server = string(b"virtlogd")
    maximum = uint(1) + string(b"maxWorkers") + uint(2) + uint(17) + uint(0)
    with running(tmp_path) as daemon, Connection(daemon.libvirt_socket) as silent:
        with daemon.client() as client, Connection(daemon.admin_socket) as admin:
            assert client.set_limits("virtlogd", 7).max_clients == 7
            log = client.set_logging("info", ["1:logs"], [f"2:file:{tmp_path}/other.log"])
            admin.send(frame(7, server + maximum, program=ADMIN_PROGRAM))
            admin.send(frame(6, server + uint(0), program=ADMIN_PROGRAM))
            admin.receive()
            threads = admin.receive().result
            before = client.clients()
            assert client.reexec()
            assert client.clients() == before
            assert client.logging() == log
            admin.send(frame(6, server + uint(0), program=ADMIN_PROGRAM))
            assert admin.receive().result == threads
            assert string(b"maxWorkers") + uint(2) + uint(17) in threads
            admin.send(frame(19, uint(1) + uint(0), program=ADMIN_PROGRAM))
            admin.receive()
            assert client.reexec()
            assert client.clients() == before
        silent.close()
        assert daemon.process.wait(_SECONDS) == 0


@pytest.mark.lengthy
def test_an_image_that_cannot_start_changes_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """The reason is told, and the daemon goes on as it is."""
    before = image_of(daemon.process.pid)
    config = Path(daemon.socket).with_name("virtlogd.conf")
    config.write_text("max_size = much\n")
    log = str(tmp_path / "guest.log")
    with daemon.client() as client:
        opened = client.open(log)
        os.write(opened.write_end, b"x")
        with pytest.raises(RemoteError, match=r"virtlogd\.conf:1.*max_size") as caught:
            client.reexec()
        assert caught.value.code == _HAND_OVER_FAILED
        with pytest.raises(RemoteError, match="is not libvirt's virtlogd"):
            client.reexec("/bin/true")
        with pytest.raises(RemoteError, match="/nowhere is not a program"):
            client.reexec("/nowhere")
        os.write(opened.write_end, b"y")
        assert client.position(log).offset == 2
        os.close(opened.write_end)
    assert image_of(daemon.process.pid) == before


@pytest.mark.lengthy
def test_sockets_are_served_and_removed_by_the_next_image(tmp_path: Path) -> None:
    """New clients find them, and they go when it ends."""
    with running(tmp_path) as daemon:
        with daemon.client() as client:
            client.reexec()
        with daemon.client() as client, Connection(daemon.libvirt_socket):
            assert client.info().counts["clients"] == 2
    assert daemon.process.returncode == 0
    assert not Path(daemon.socket).exists()
    assert not Path(daemon.libvirt_socket).exists()


@pytest.mark.lengthy
def test_signals_while_it_hands_over_are_obeyed_afterwards(tmp_path: Path) -> None:
    """More hand-overs do no harm; a SIGTERM ends the daemon in order, whichever image gets it."""
    log = tmp_path / "guest.log"
    with running(tmp_path / "daemon") as daemon:
        with daemon.client() as client:
            opened = client.open(str(log))
        with another_image(daemon.process.pid):
            for _ in range(5):
                daemon.process.send_signal(signal.SIGUSR1)
                daemon.process.send_signal(signal.SIGHUP)
        os.write(opened.write_end, b"all")
        daemon.process.send_signal(signal.SIGUSR1)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(_SECONDS) == 0
        os.close(opened.write_end)
    assert log.read_bytes() == b"all"


@pytest.mark.lengthy
@pytest.mark.parametrize("moment", ["_stand_still", "_execute"])
def test_a_signal_in_the_last_moment_is_not_forgotten(moment: str, tmp_path: Path) -> None:
    """Who tells the daemon to end is obeyed, by the one image or by the next."""
    patch = (
        "import os, signal; from twisted_virtlog.handover.giving import HandOver;"
        f"then = HandOver.{moment}; HandOver.{moment} = lambda *arguments:"
        " (os.kill(os.getpid(), signal.SIGTERM), then(*arguments))[1]"
    )
    with running(tmp_path, patch=patch) as daemon:
        daemon.process.send_signal(signal.SIGUSR1)
        assert daemon.process.wait(_SECONDS) == 0
    assert not Path(daemon.socket).exists()


@pytest.mark.lengthy
@pytest.mark.parametrize("runner", ["twistd", "twistd in the background", "twist"])
def test_whoever_runs_it(runner: str, tmp_path: Path) -> None:
    """The process keeps its number, and twistd its pid file."""
    pid_file = tmp_path / "twistd.pid"
    sock = tmp_path / "sock"
    options = ["--jsonrpc", f"unix:{sock}:mode=600", "--libvirt", "none", "--admin", "none"]
    config = tmp_path / "virtlogd.conf"
    own = [f'log_outputs = "2:file:{tmp_path}/own.log"', "log_level = 2"]
    config.write_text("\n".join([*own, *state_dir(tmp_path)]))
    options += ["--config", config.name]
    twistd = ["--pidfile", str(pid_file), "virtlogd"]
    arguments = {
        "twistd": ["twistd", "--nodaemon", *twistd],
        "twistd in the background": ["twistd", *twistd],
        "twist": ["twist", "virtlogd"],
    }[runner]
    module = "twisted.application.twist._twist" if runner == "twist" else "twisted.scripts.twistd"
    code = "Twist.main()" if runner == "twist" else "run()"
    name = "Twist" if runner == "twist" else "run"
    script = tmp_path / arguments[0]
    script.write_text(f"from {module} import {name}\n{code}\n")
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments[1:], *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    try:
        if runner == "twistd in the background":
            assert process.wait(_SECONDS) == 0
            until(sock.exists)
        else:
            wait_until_it_answers(process, sock, tmp_path / "own.log")
        with BlockingClient(str(sock), _SECONDS) as client:
            pid = client.info().pid
            opened = client.open(str(tmp_path / "guest.log"))
            for _ in range(2):
                with another_image(pid):
                    os.kill(pid, signal.SIGUSR1)
                assert client.info().pid == pid
            # The command grows no longer from image to image.
            assert Path(f"/proc/{pid}/cmdline").read_bytes().count(b"--nodaemon") <= 1
            if runner != "twist":
                assert int(pid_file.read_text()) == pid
            os.write(opened.write_end, b"x")
            assert client.position(str(tmp_path / "guest.log")).offset == 1
            os.close(opened.write_end)
            ended = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)
        with os.fdopen(ended), open(f"/proc/{pid}/stat"):
            until(lambda: not sock.exists())
        until(lambda: not pid_file.exists())
    finally:
        process.kill()
        process.wait()


class Caller(threading.Thread):
    """A client that asks all the time, and wants an answer to everything.

    :ivar calls: how many were answered.
    :ivar failure: what went wrong, if something did.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        super().__init__()
        self._ask = ask
        self._stopping = False
        self.calls = 0
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        """See Thread."""
        try:
            while not self._stopping:
                self._ask()
                self.calls += 1
        except BaseException as error:  # noqa: BLE001 (the test looks at it)
            self.failure = error

    def stop(self) -> None:
        """Ask no more."""
        self._stopping = True
        self.join()


@pytest.mark.lengthy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("hand_overs", [1, pytest.param(200, marks=pytest.mark.slow)])
def test_under_load_nothing_is_lost(tmp_path: Path, hand_overs: int) -> None:
    """Programs write and clients ask all the time; every line is there once, no call is lost."""
    settings = ["max_size = 4194304", "max_backups = 9"]
    with running(tmp_path / "daemon", settings) as daemon:
        pid = daemon.process.pid
        logs = [tmp_path / f"guest{number}.log" for number in range(3)]
        lines = [NumberedLines(daemon.libvirt_socket, str(log)) for log in logs]
        notes = str(tmp_path / "notes.log")
        with daemon.client() as json_rpc, Connection(daemon.libvirt_socket) as libvirt:
            callers = [
                Caller(lambda: json_rpc.position(str(logs[0]))),
                Caller(lambda: libvirt.call(POSITION, position_arguments(str(logs[1]).encode()))),
            ]
            with daemon.client() as appending, daemon.client() as asking:
                callers.append(Caller(lambda: appending.append(notes, "a note\n")))
                for number in range(hand_overs):
                    if number % 2:
                        assert asking.reexec()
                    else:
                        with another_image(pid):
                            daemon.process.send_signal(signal.SIGUSR1)
                    asking.info()
                for caller in callers:
                    caller.stop()
        assert [caller.failure for caller in callers] == [None] * 3
        assert all(caller.calls for caller in callers)
        written = [one.stop() for one in lines]
        with daemon.client() as client:
            until(lambda: not client.list())
    for log, count in zip(logs, written, strict=True):
        assert missing(kept(log), count) == ""
    assert Path(notes).read_text() == "a note\n" * callers[2].calls
    assert daemon.process.returncode == 0
