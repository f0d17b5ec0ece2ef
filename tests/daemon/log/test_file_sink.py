"""Files and standard error: what arrives there, and what happens when not."""

from __future__ import annotations

import os
import re
import resource
import select
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.python.failure import Failure

from tests.daemon.log.conftest import PATIENCE, MakeEvent, write_all
from twisted_virtlog.daemon.log import file_sink, output_thread
from twisted_virtlog.daemon.log.file_sink import FileSink
from twisted_virtlog.daemon.log.output_thread import thread_of
from twisted_virtlog.errors import OutputError
from twisted_virtlog.escaping import visible

_LINE = re.compile(r"2023-11-14 22:13:20\.500\+0000: (\d+): warning : [\w.]+ : (.*)\n", re.DOTALL)


class Fifo:
    """A FIFO that is read, or not: its writer waits then as for a disk that hangs."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self._reader, True)

    def read(self) -> bytes:
        """Give what is there, or comes next; nothing after the last writer has gone."""
        return os.read(self._reader, 1 << 20)

    def is_empty(self) -> bool:
        """Return whether nothing is there."""
        return not select.select([self._reader], [], [], 0)[0]

    def read_until(self, end: bytes) -> bytes:
        """Give all until something comes."""
        text = b""
        while end not in text:
            more = self.read()
            assert more, text[-1000:]
            text += more
        return text

    def close(self) -> None:
        """Read no more; who waits to write gets an error."""
        os.close(self._reader)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    """A FIFO, with a reader."""
    one = Fifo(tmp_path / "fifo")
    yield one
    one.close()


OpenSink = Callable[[object], FileSink]


@pytest.fixture
def open_sink(fifo: Fifo) -> Iterator[OpenSink]:
    """Open files; they are closed in the end."""
    sinks = []

    def one(path: object) -> FileSink:
        sink = FileSink(str(path))
        sinks.append(sink)
        sink.check(PATIENCE)
        return sink

    yield one
    for sink in sinks:
        sink.close()


def hang(sink: FileSink, fifo: Fifo, event: MakeEvent) -> None:
    """Let the thread wait until the FIFO is read: it takes 64 KiB."""
    sink.write(event(f"first {'x' * 100_000}"))
    while fifo.is_empty():
        os.sched_yield()


def fill(sink: FileSink, event: MakeEvent) -> int:
    """Write more than the queue takes; give how many messages, which are numbered."""
    messages = 3000
    for number in range(messages):
        sink.write(event(f"{number} {'x' * 1000}"))
    return messages


def _failure() -> Failure:
    try:
        raise ValueError("the reason")
    except ValueError:
        return Failure()


def _numbers(text: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb" : (\d+) x", text)]


# What arrives.


@pytest.mark.parametrize(
    "text",
    ["plain", "two\nlines\n", "ünïcode", "lone \udcff surrogate", "nul \0 byte", ""],
)
def test_a_line_arrives_soon(event: MakeEvent, open_sink: OpenSink, fifo: Fifo, text: str) -> None:
    """Nothing is kept back in a buffer; any text can be written."""
    sink = open_sink(fifo.path)
    sink.write(event(text))
    match = _LINE.fullmatch(fifo.read().decode())
    assert match
    assert int(match[1]) == threading.get_native_id()
    assert match[2] == visible(text)
    sink.close()
    assert fifo.read() == b""


def test_a_line_has_the_thread_that_logged(
    event: MakeEvent, open_sink: OpenSink, fifo: Fifo
) -> None:
    """Not the one that writes."""
    sink = open_sink(fifo.path)
    ids = []

    def log() -> None:
        ids.append(threading.get_native_id())
        sink.write(event("from a thread"))

    thread = threading.Thread(target=log)
    thread.start()
    thread.join()
    match = _LINE.fullmatch(fifo.read().decode())
    assert match
    assert [int(match[1])] == ids


def test_threads_may_log_at_the_same_time(
    event: MakeEvent, open_sink: OpenSink, tmp_path: Path
) -> None:
    """No line is lost or torn, and each thread's are in order."""
    path = tmp_path / "log"
    sink = open_sink(path)

    def log(thread: int) -> None:
        for number in range(300):
            sink.write(event(f"{thread}-{number}"))

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    write_all()
    lines = [line.rpartition(" : ")[2] for line in path.read_text().splitlines()]
    for number in range(4):
        own = [line for line in lines if line.startswith(f"{number}-")]
        assert own == [f"{number}-{count}" for count in range(300)]
    assert len(lines) == 1200


def test_a_traceback_arrives_whole(event: MakeEvent, open_sink: OpenSink, fifo: Fifo) -> None:
    """The reason stands on the lines below the message."""
    open_sink(fifo.path).write(event(log_failure=_failure()))
    text = fifo.read_until(b"the reason\n").decode()
    assert " : hello\n    Traceback" in text
    assert text.endswith("ValueError: the reason\n")


def test_standard_error_is_written_and_stays_open(
    event: MakeEvent, capfd: pytest.CaptureFixture[str]
) -> None:
    """It belongs to the process, not to the log."""
    sink = FileSink()
    sink.check(0)
    sink.write(event("one"))
    sink.let_go()
    sink.write(event("two"))
    sink.close()
    write_all()
    os.write(2, b"still there\n")
    captured = capfd.readouterr()
    assert captured.out == ""
    assert [line.split()[-1] for line in captured.err.splitlines()] == ["one", "two", "there"]
    assert sink.file() is None


def test_a_file_is_made_for_its_owner_alone(
    event: MakeEvent, open_sink: OpenSink, tmp_path: Path
) -> None:
    """Whatever the umask allows; what it held before stays."""
    path = tmp_path / "virtlogd.log"
    old = os.umask(0)
    try:
        for text in ("one", "two"):
            sink = open_sink(path)
            sink.write(event(text))
            sink.close()
        write_all()
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert [line[-3:] for line in path.read_text().splitlines()] == ["one", "two"]


def test_two_writers_of_a_file_do_not_overwrite_each_other(
    event: MakeEvent, open_sink: OpenSink, tmp_path: Path
) -> None:
    """A file that another process writes too is appended to."""
    path = tmp_path / "virtlogd.log"
    sink = open_sink(path)
    sink.write(event("one"))
    write_all()
    with path.open("a") as other:
        other.write("other\n")
    sink.write(event("two"))
    write_all()
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["one", "other", "two"]


def test_a_file_is_not_passed_on_to_children(open_sink: OpenSink, tmp_path: Path) -> None:
    """Close-on-exec."""
    sink = open_sink(tmp_path / "virtlogd.log")
    assert sink._descriptor is not None
    assert not os.get_inheritable(sink._descriptor)


def test_a_file_is_known_without_symbolic_links(open_sink: OpenSink, tmp_path: Path) -> None:
    """So that it can be told from logs that are to be removed."""
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    sink = open_sink(tmp_path / "link" / "log")
    assert sink.file() == str(tmp_path.resolve() / "there" / "log")


# What cannot be opened.


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """In libvirt's words."""
    path = tmp_path / "missing" / "virtlogd.log"
    sink = FileSink(str(path))
    with pytest.raises(OutputError) as caught:
        sink.check(PATIENCE)
    assert str(caught.value) == f"failed to open {path}: No such file or directory"
    sink.close()


def test_its_directory_is_made_where_it_is_to_be(tmp_path: Path) -> None:
    """As for the default file; what is in the way is told."""
    path = tmp_path / "missing" / "too" / "virtlogd.log"
    sink = FileSink(str(path), make_directory=True)
    sink.check(PATIENCE)
    sink.close()
    assert path.exists()
    sink = FileSink(str(path / "log"), make_directory=True)
    with pytest.raises(OutputError, match=f"^cannot make {path}: File exists$"):
        sink.check(PATIENCE)
    sink.close()


def test_a_fifo_that_nobody_reads_is_told(tmp_path: Path) -> None:
    """Opening it would wait for a reader."""
    os.mkfifo(tmp_path / "nobody")
    sink = FileSink(str(tmp_path / "nobody"))
    with pytest.raises(OutputError, match="No such device or address"):
        sink.check(PATIENCE)
    sink.close()


# What cannot be written.


def test_a_message_that_fails_is_counted_and_the_file_is_opened_again(
    event: MakeEvent, open_sink: OpenSink, tmp_path: Path
) -> None:
    """By its path, as what is open may be dead; the number stands behind the next message."""
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    sink = open_sink(path)
    for text in ("one", "two"):
        sink.write(event(text))
    write_all()
    path.unlink()
    for text in ("three", "four"):
        sink.write(event(text))
    write_all()
    three, four = path.read_text().splitlines()
    assert three.endswith(": three (2 messages before this one could not be written)")
    assert four.endswith(": four")


def test_a_line_that_was_torn_does_not_swallow_the_next(
    event: MakeEvent, open_sink: OpenSink, tmp_path: Path
) -> None:
    """Of a line, a disk may take what it has room for."""
    path = tmp_path / "log"
    sink = open_sink(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        sink.write(event("torn"))
        write_all()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    sink.write(event("whole"))
    write_all()
    torn, whole = path.read_text().splitlines()
    assert len(torn) == 20
    assert _LINE.fullmatch(f"{whole}\n")
    assert whole.endswith("whole (1 messages before this one could not be written)")


def test_a_gone_reader_does_not_hurt_the_daemon(event: MakeEvent, tmp_path: Path) -> None:
    """EPIPE is an error like others."""
    fifo = Fifo(tmp_path / "gone")
    sink = FileSink(fifo.path)
    sink.check(PATIENCE)
    fifo.close()
    sink.write(event())
    sink.close()
    write_all()


# What hangs.


def test_what_hangs_is_not_waited_for(event: MakeEvent, open_sink: OpenSink, fifo: Fifo) -> None:
    """Messages wait in order, as many as fit; others are counted, and the number is told."""
    sink = open_sink(fifo.path)
    hang(sink, fifo, event)
    messages = fill(sink, event)
    texts: list[bytes] = []
    reader = threading.Thread(target=lambda: texts.extend(iter(fifo.read, b"")))
    reader.start()
    write_all()
    sink.write(event("again"))
    sink.write(event("at last"))
    sink.close()
    reader.join(PATIENCE)
    text = b"".join(texts)
    taken = _numbers(text)
    assert taken == list(range(len(taken)))
    assert output_thread.MOST_BYTES // 2 < len(taken) * 1000 < output_thread.MOST_BYTES
    missed = messages - len(taken)
    again, last = text.decode().splitlines()[1 + len(taken) :]
    assert again.endswith(f": again ({missed} messages before this one could not be written)")
    assert last.endswith(": at last")


def test_a_file_that_hangs_has_one_thread_however_often_it_is_opened(
    event: MakeEvent, open_sink: OpenSink, fifo: Fifo
) -> None:
    """And one descriptor; no message is lost by that."""
    # (between two openings the FIFO is not to end)
    stays = os.open(fifo.path, os.O_WRONLY)
    before = _threads(), _descriptors()
    sink = open_sink(fifo.path)
    hang(sink, fifo, event)
    for number in range(100):
        sink.close()
        sink = FileSink(fifo.path)
        sink.check(0)
        sink.write(event(f"{number} x"))
        assert _threads() <= before[0] + 1
        assert _descriptors() <= before[1] + 1
    sink.write(event("the last"))
    assert _numbers(fifo.read_until(b"the last\n")) == list(range(100))
    sink.close()
    write_all()
    while _threads() > before[0]:
        os.sched_yield()
    assert _descriptors() == before[1]
    os.close(stays)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class SlowDisk:
    """Files that are not opened until it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self._answers = threading.Event()
        self._open = os.open
        self._directory = str(directory)
        self.opened: list[str] = []
        monkeypatch.setattr(os, "open", self._wait)

    def answer(self) -> None:
        """Open what is to be opened."""
        self._answers.set()

    def _wait(self, path: str, *more: int, **options: int) -> int:
        if str(path).startswith(self._directory):
            assert self._answers.wait(PATIENCE)
            self.opened.append(path)
        return self._open(path, *more, **options)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SlowDisk]:
    """A disk that hangs."""
    one = SlowDisk(monkeypatch, tmp_path)
    yield one
    one.answer()
    write_all()


def test_a_file_that_takes_long_to_open_counts_as_open(
    event: MakeEvent, disk: SlowDisk, tmp_path: Path
) -> None:
    """What is logged waits for it, also after it was closed."""
    path = tmp_path / "log"
    sink = FileSink(str(path))
    sink.check(0)
    sink.write(event("one"))
    sink.close()
    sink.write(event("too late"))
    disk.answer()
    write_all()
    (line,) = path.read_text().splitlines()
    assert line.endswith(": one")


def test_what_was_closed_before_it_could_be_opened_is_not_opened(
    event: MakeEvent, disk: SlowDisk, tmp_path: Path
) -> None:
    """Only the last one is."""
    path = tmp_path / "log"
    for _ in range(10):
        sink = FileSink(str(path))
        sink.check(0)
        sink.close()
    sink = FileSink(str(path))
    disk.answer()
    sink.write(event("one"))
    sink.close()
    write_all()
    # (the first had begun)
    assert len(disk.opened) <= 2
    assert path.read_text().count("\n") == 1


def test_a_file_that_cannot_be_opened_in_the_end_is_tried_with_each_message(
    event: MakeEvent, disk: SlowDisk, tmp_path: Path
) -> None:
    """Those that it did not take are counted."""
    path = tmp_path / "missing" / "log"
    sink = FileSink(str(path))
    sink.check(0)
    for text in ("one", "two"):
        sink.write(event(text))
    disk.answer()
    write_all()
    path.parent.mkdir()
    sink.write(event("three"))
    sink.close()
    write_all()
    told = ": three (2 messages before this one could not be written)\n"
    assert path.read_text().endswith(told)


def test_after_it_has_failed_to_answer_nobody_waits_for_it(
    event: MakeEvent, disk: SlowDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second change of outputs is not held up as the first one was."""
    path = tmp_path / "log"
    first = FileSink(str(path))
    first.check(0)
    monkeypatch.setattr(file_sink, "_SILENT_SECONDS", 0.0)
    while not thread_of(str(path)).is_silent(0.0):
        os.sched_yield()
    second = FileSink(str(path))
    monkeypatch.setattr(second._opened, "wait", lambda _: pytest.fail("it waits"))
    second.check(PATIENCE)
    for sink in (first, second):
        sink.close()


# Forks.


def test_a_child_does_not_write_what_its_parent_logged(
    event: MakeEvent, open_sink: OpenSink, tmp_path: Path
) -> None:
    """And has a thread of its own: a daemon that goes to the background logs before and after."""
    path = tmp_path / "log"
    sink = open_sink(path)
    # (it is late, so that a fork that does not wait is seen)
    thread_of(str(path)).do(lambda: threading.Event().wait(0.2))
    sink.write(event("before"))
    child = os.fork()
    if not child:
        sink.write(event("child"))
        os._exit(len(output_thread.flush(PATIENCE)))
    assert os.waitpid(child, 0)[1] == 0
    sink.write(event("parent"))
    write_all()
    lines = path.read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["before", "child", "parent"]


def test_a_child_logs_even_if_its_parent_s_thread_hangs(
    event: MakeEvent,
    open_sink: OpenSink,
    fifo: Fifo,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A fork waits for that a second at most, and then leaves the thread and its lines behind."""
    monkeypatch.setattr(output_thread, "_END_SECONDS", 0.0)
    sink = open_sink(fifo.path)
    hang(sink, fifo, event)
    messages = fill(sink, event)
    child = os.fork()
    if not child:
        signal.alarm(int(PATIENCE))
        sink.write(event("child"))
        text = fifo.read_until(b": child\n")
        # (what is in the FIFO, and what the parent's thread goes on to write: it may be all)
        (tmp_path / "read").write_bytes(text)
        os._exit(b"messages before" in text)
    assert os.waitpid(child, 0)[1] == 0
    sink.write(event("parent"))
    told = (tmp_path / "read").read_bytes()
    if b"be written)\n" not in told:
        told += fifo.read_until(b"be written)\n")
    assert _numbers(told)[-1] < messages
