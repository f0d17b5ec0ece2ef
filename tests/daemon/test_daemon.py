"""The daemon as users run it: started by twistd, used over its socket, stopped by signals."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.daemon import CHECKOUT, Daemon, file_threads, running
from tests.daemon.conftest import StartDaemon
from twisted_virtlog.client import MAX_READ_BYTES, RemoteError
from twisted_virtlog.daemon.descriptor_limit import MOST_ROOM

_NO_OTHERS = ("--libvirt", "none", "--admin", "none")


def _twistd(*options: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    return subprocess.Popen(
        [*command, "--pidfile=", "-n", "virtlogd", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def _refused(*options: str, environment: dict[str, str] | None = None) -> str:
    """Start a daemon that must not start; give what it says."""
    process = _twistd(*options, environment=environment)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "Traceback" not in output
    return output


def _files(log: Path) -> bytes:
    """Give what a log's files hold, oldest first."""
    names = [log.with_name(f"{log.name}.{number}") for number in range(9, -1, -1)]
    return b"".join(name.read_bytes() for name in [*names, log] if name.exists())


@pytest.mark.in_common
def test_the_kernel_s_table_of_descriptors_need_not_grow(daemon: Daemon) -> None:
    """To make it larger takes ten milliseconds where there are threads, as in every daemon."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    (size,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("FDSize")]
    soft, _ = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    assert size >= min(soft, MOST_ROOM)


@pytest.mark.in_common
def test_a_program_s_output_lands_in_the_log(daemon: Daemon, tmp_path: Path) -> None:
    """What a program writes into the pipe is read back, and the position covers it."""
    log = tmp_path / "guest.log"
    with daemon.client() as client:
        opened = client.open(str(log))
        subprocess.run(["echo", "hello"], stdout=opened.write_end, check=True)
        assert client.position(str(log)).offset == 6
        assert client.read(str(log)).data == b"hello\n"
        os.close(opened.write_end)
    assert log.read_bytes() == b"hello\n"
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.in_common
def test_the_log_closes_when_the_last_writer_is_gone(daemon: Daemon, tmp_path: Path) -> None:
    """After end of file all is written and the path is free for another open."""
    log = tmp_path / "guest.log"
    with daemon.client() as client:
        first = client.open(str(log))
        os.write(first.write_end, b"x" * 300_000)
        with pytest.raises(RemoteError, match="is open already") as refused:
            client.open(str(log))
        assert refused.value.code == 1001
        os.close(first.write_end)
        while client.list():
            """Each answer takes a turn of the daemon's reactor; the end of file comes in one."""
        again = client.open(str(log))
        os.close(again.write_end)
    assert _files(log) == b"x" * 300_000 or len(_files(log)) <= 4 * 65536


def test_sigterm_writes_what_is_in_the_pipes(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Everything written before the daemon was told to stop is in the files; exit status 0."""
    daemon = start_daemon("max_size = 0")
    log = tmp_path / "guest.log"
    with daemon.client() as client:
        opened = client.open(str(log))
        for _ in range(100):
            os.write(opened.write_end, b"line of the guest\n" * 100)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(60) == 0
    assert log.read_bytes() == b"line of the guest\n" * 10_000
    assert not Path(daemon.socket).exists()
    os.close(opened.write_end)


#: Each of these bytes makes a file, which takes a daemon a second or more.
FLOOD = b"x" * 7990 + b"0123456789"


@pytest.mark.lengthy
def test_a_guest_that_forces_thousands_of_rollovers_holds_up_nobody(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Positions in another log are answered before its one write is in files."""
    daemon = start_daemon("max_size = 1", "max_backups = 1")
    paths = [str(tmp_path / "flood.log"), str(tmp_path / "quiet.log")]
    answered = 0
    with daemon.client() as flooded, daemon.client() as client:
        guests = [client.open(path) for path in paths]
        os.write(guests[0].write_end, FLOOD)
        os.write(guests[1].write_end, b"1")
        position = threading.Thread(target=lambda: flooded.position(paths[0]))
        position.start()
        while position.is_alive():
            assert client.position(paths[1]).offset == 1
            bytes_written = {log.path: log.bytes for log in client.list()}
            answered += 0 < bytes_written[paths[0]] < len(FLOOD)
        position.join()
        assert answered
        assert {log.path: log.bytes for log in client.list()}[paths[0]] == len(FLOOD)
        for guest in guests:
            os.close(guest.write_end)


@pytest.mark.lengthy
def test_sigterm_is_obeyed_in_the_middle_of_thousands_of_rollovers(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """The sockets are closed while it writes, and it ends when the last byte is in a file."""
    daemon = start_daemon("max_size = 1", "max_backups = 9")
    log = tmp_path / "guest.log"
    # (a thread of a file system has half a minute to end, on however busy a machine)
    flood = FLOOD[-len(FLOOD) // 8 :] if file_threads() else FLOOD
    with daemon.client() as client:
        opened = client.open(str(log))
        os.write(opened.write_end, flood)
        daemon.process.send_signal(signal.SIGTERM)
        while Path(daemon.socket).exists():
            pass
        assert _files(log) != FLOOD[-10:]
        assert daemon.process.wait(60) == 0
    assert _files(log) == FLOOD[-10:]
    os.close(opened.write_end)


@pytest.mark.lengthy
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_requests_in_progress_are_answered_at_the_end(
    start_daemon: StartDaemon, tmp_path: Path, number: int
) -> None:
    """A client that asked before the signal gets its answers and then the end of the stream."""
    daemon = start_daemon()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.socket)
        client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"daemon.info"}\n')
        assert json.loads(client.recv(65536))["id"] == 1
        daemon.process.send_signal(number)
        assert client.recv(65536) == b""
    assert daemon.process.wait(60) == 0


@pytest.mark.in_common
@pytest.mark.socat
def test_a_client_that_half_closes_gets_its_answers(daemon: Daemon) -> None:
    """socat shuts its writing side at the end of its input, and still prints every answer."""
    texts = "".join(
        f'{{"jsonrpc":"2.0","id":{number},"method":"daemon.info"}}' for number in range(500)
    )
    run = subprocess.run(
        ["socat", "-t", "20", "-", f"UNIX-CONNECT:{daemon.socket}"],
        input=texts,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(line)["id"] for line in run.stdout.splitlines()] == list(range(500))


@pytest.mark.lengthy
def test_a_second_daemon_says_who_has_the_socket(daemon: Daemon) -> None:
    """A live daemon's socket is not taken over."""
    output = _refused("--jsonrpc", f"unix:{daemon.socket}", *_NO_OTHERS)
    assert f"process {daemon.process.pid}" in output
    with daemon.client() as client:
        assert client.info().pid == daemon.process.pid


@pytest.mark.lengthy
def test_a_dead_daemon_s_socket_is_replaced(tmp_path: Path) -> None:
    """After a crash the daemon starts at the same path."""
    with running(tmp_path) as first:
        path = Path(first.socket)
        first.process.kill()
        first.process.wait()
        assert path.exists()
        with running(tmp_path) as second:
            assert second.socket == first.socket
            assert path.stat().st_mode & 0o777 == 0o600
    assert second.process.returncode == 0


@pytest.mark.lengthy
def test_mistakes_in_the_configuration_are_told(tmp_path: Path) -> None:
    """File, line, key and what would be right; the daemon does not start."""
    config = tmp_path / "virtlogd.conf"
    config.write_text('# sizes\nmax_size = "big"\n')
    output = _refused("--config", str(config), "--jsonrpc", "none", *_NO_OTHERS)
    assert f"{config}:2" in output
    assert "max_size" in output
    assert "max_size = 2097152" in output
    missing = tmp_path / "missing.conf"
    options = ("--config", str(missing), "--jsonrpc", "none", *_NO_OTHERS)
    assert str(missing) in _refused(*options)


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("option", "endpoint"),
    [
        ("--jsonrpc", "tcp:1234"),
        ("--jsonrpc", "nonsense"),
        ("--admin", "tcp:1234"),
    ],
)
def test_mistakes_in_the_options_are_told(tmp_path: Path, option: str, endpoint: str) -> None:
    """An endpoint that cannot be served is named."""
    output = _refused(option, endpoint, environment=_private_environment(tmp_path))
    assert endpoint in output or option in output


def _private_environment(directory: Path) -> dict[str, str]:
    """Give an environment whose default paths are below a directory, for any user but root."""
    return {
        **os.environ,
        "XDG_RUNTIME_DIR": str(directory / "run"),
        "XDG_CONFIG_HOME": str(directory / "config"),
    }


@pytest.mark.in_common
def test_a_reader_across_rotations_misses_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """Reading on from each end gives the whole output, whatever was renamed meanwhile."""
    log = tmp_path / "guest.log"
    written = b"".join(b"%06d a line of the guest\n" % number for number in range(5000))
    got = b""
    with daemon.client() as client:
        opened = client.open(str(log))
        position = opened.position
        for start in range(0, len(written), 40_000):
            os.write(opened.write_end, written[start : start + 40_000])
            chunk = client.read(str(log), position, MAX_READ_BYTES)
            assert not chunk.gap
            got += chunk.data
            position = chunk.end
        os.close(opened.write_end)
    assert got == written


def test_the_embedding_example_runs(tmp_path: Path) -> None:
    """The documented application runs the daemon inside itself."""
    example = CHECKOUT / "doc" / "examples" / "embedded.py"
    run = subprocess.run(
        [sys.executable, str(example), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    assert "reaches to 19" in run.stdout
    assert (tmp_path / "greeting.log").read_bytes() == b"hello from a guest\n"
    assert not (tmp_path / "virtlogd-jsonrpc-sock").exists()


@pytest.mark.lengthy
def test_a_position_outlives_the_daemon(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """Its birth is the same after a restart and a rename, and another's after a truncating open."""
    log = tmp_path / "guest.log"
    first = start_daemon()
    with first.client() as client:
        here = client.append(str(log), "before\n")
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
    assert here.birth
    with start_daemon().client() as client:
        client.append(str(log), "after\n")
        chunk = client.read(str(log), here)
        assert (chunk.data, chunk.gap, chunk.end.birth) == (b"after\n", False, here.birth)
        opened = client.open(str(log), truncate=True)
        os.write(opened.write_end, b"something else\n")
        os.close(opened.write_end)
        chunk = client.read(str(log), here)
        assert (chunk.data, chunk.gap) == (b"something else\n", True)
        assert chunk.start.birth not in ("", here.birth)
