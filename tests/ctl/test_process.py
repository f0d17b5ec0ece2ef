"""virtlogctl as a process: exec, signals, closed outputs, and what it loads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client.fake_daemon import FakeDaemon, Params

VIRTLOGCTL = (sys.executable, "-m", "twisted_virtlog.ctl")

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(daemon: FakeDaemon) -> Start:
    """Return a function that starts virtlogctl."""

    def start(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        # Output is buffered, as it is for users.
        environment = {key: os.environ[key] for key in os.environ if key != "PYTHONUNBUFFERED"}
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [*VIRTLOGCTL, "--socket", str(daemon.path), *arguments], env=environment, **pipes
        )

    return start


def finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Wait for a process; tell its status and what it wrote."""
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def test_exec_writes_output_into_the_log_and_errors_elsewhere(
    daemon: FakeDaemon, start: Start
) -> None:
    """Standard output is in the log, standard error on the terminal, the status the command's."""
    process = start("exec", "/a", "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert finish(process) == (42, b"", b"err\n")
    assert daemon.written() == b"out\n"


def test_exec_can_append_errors_too(daemon: FakeDaemon, start: Start) -> None:
    """With --append-stderr both are in the log, in the order written."""
    process = start("exec", "/a", "--append-stderr", "--", "sh", "-c", "echo 1; echo 2 >&2; echo 3")
    assert finish(process) == (0, b"", b"")
    assert daemon.written() == b"1\n2\n3\n"


def test_exec_passes_its_options_on(daemon: FakeDaemon, start: Start) -> None:
    """The daemon learns who writes, and the command gets its own options untouched."""
    uuid = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
    origin = ["--driver=qemu", "--domain-name=web", f"--domain-uuid={uuid}", "--truncate"]
    process = start("exec", *origin, "a.log", "--", "printf", "%s,", "--json", "--", "x", cwd=".")
    assert finish(process)[0] == 0
    assert daemon.written() == b"--json,--,x,"
    assert daemon.requests[-1]["params"] == {
        "path": str(Path.cwd() / "a.log"),
        "driver": "qemu",
        "domain": {"uuid": uuid, "name": "web"},
        "truncate": True,
    }


def test_exec_becomes_the_command(daemon: FakeDaemon, start: Start) -> None:
    """The process id is the command's, so a signal meets the command, and its death is seen."""
    process = start("exec", "/a", "--", "sh", "-c", "echo $$; kill -TERM $$")
    assert finish(process)[0] == -signal.SIGTERM
    assert daemon.written() == b"%d\n" % process.pid


def test_exec_leaves_no_descriptor_to_the_command(daemon: FakeDaemon, start: Start) -> None:
    """The command has the three standard ones: no socket, and no second write end."""
    # (sh opens the folder itself)
    process = start(
        "exec",
        "/a",
        "--",
        "sh",
        "-c",
        "for fd in 3 4 5 6 7 8 9; do"
        " [ -e /proc/$$/fd/$fd ] && readlink /proc/$$/fd/$fd; done; echo end",
    )
    finish(process)
    assert daemon.written() == b"end\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_exec_works_without_standard_descriptors(daemon: FakeDaemon, closed: str) -> None:
    """Whatever its own starter has closed, the output is in the log."""
    script = f'exec "$@" {closed}'
    command = [*VIRTLOGCTL, "--socket", str(daemon.path), "exec", "/a", "--", "echo", "out"]
    assert subprocess.run(["sh", "-c", script, "sh", *command], check=False).returncode == 0
    assert daemon.written() == b"out\n"


def test_exec_restores_signals_that_python_ignores(daemon: FakeDaemon, start: Start) -> None:
    """A command whose reader is gone dies of SIGPIPE as anywhere else."""
    process = start("exec", "/a", "--", "sh", "-c", "grep SigIgn /proc/self/status")
    finish(process)
    ignored = int(daemon.written().split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


def make_file(path: Path, content: str, mode: int) -> str:
    """Make a file; returns its path."""
    path.write_text(content)
    path.chmod(mode)
    return str(path)


def test_a_command_that_is_not_there_is_status_127(daemon: FakeDaemon, start: Start) -> None:
    """A mistyped command neither opens nor truncates the log."""
    status, _stdout, stderr = finish(start("exec", "/a", "--truncate", "no-such-command"))
    assert (status, stderr) == (
        127,
        b"virtlogctl: cannot run no-such-command: no such file in PATH\n",
    )
    status, _stdout, stderr = finish(start("exec", "/a", "/no/such"))
    assert (status, stderr) == (127, b"virtlogctl: cannot run /no/such: no such file\n")
    assert daemon.requests == []


def test_a_file_that_is_no_command_is_status_126(
    daemon: FakeDaemon, start: Start, tmp_path: Path
) -> None:
    """A file that may not be executed is told apart."""
    file = make_file(tmp_path / "text", "hello\n", 0o644)
    status, _stdout, stderr = finish(start("exec", "/a", file))
    assert (status, stderr) == (
        126,
        f"virtlogctl: cannot run {file}: it is not executable\n".encode(),
    )
    assert daemon.requests == []


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        ("no interpreter\n", (126, b"Exec format error")),
        ("#!/no/such/interpreter\n", (127, b"No such file or directory")),
    ],
)
def test_what_the_system_refuses_to_run_leaves_the_log_closed(
    daemon: FakeDaemon, start: Start, tmp_path: Path, content: str, ending: tuple[int, bytes]
) -> None:
    """The message goes to standard error, not into the log, which is closed and empty."""
    file = make_file(tmp_path / "broken", content, 0o755)
    process = start("exec", "/a", "--append-stderr", file)
    status, reason = ending
    message = b"virtlogctl: cannot run %s: %s\n" % (file.encode(), reason)
    assert finish(process) == (status, b"", message)
    assert daemon.written() == b""


def test_a_reader_that_has_seen_enough_is_no_error(daemon: FakeDaemon, start: Start) -> None:
    """As with cat, `virtlogctl read | head -1` prints nothing about the closed pipe."""
    daemon.logs["/a"] = b"line\n" * 1_000_000
    process = start("read", "/a")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert finish(process)[::2] == (141, b"")
    # What fits into the buffer fails at the end only.
    daemon.logs["/a"] = b"line\n"
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start("read", "/a", stdout=write_end)
    os.close(write_end)
    assert finish(process)[::2] == (141, b"")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT end programs that are started, also where the tests run with it ignored."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_it_quietly(daemon: FakeDaemon, start: Start) -> None:
    """Ctrl-C while the daemon does not answer shows no traceback."""
    process: subprocess.Popen[bytes]
    started = threading.Event()

    def interrupt(_params: Params) -> object:
        started.wait()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        return {}

    daemon.answers["daemon.info"] = interrupt
    process = start("info")
    started.set()
    assert finish(process) == (130, b"", b"")


def test_version() -> None:
    """--version names the program and its version."""
    result = subprocess.run([*VIRTLOGCTL, "--version"], check=True, capture_output=True, text=True)
    name, version = result.stdout.split()
    assert (name, version.count(".")) == ("virtlogctl", 2)
