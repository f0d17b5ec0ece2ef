"""Compiles the C programs, runs the load beside the daemon, and reads what it measured."""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SOURCES = Path(__file__).parent
_COMPILE_SECONDS = 60.0
#: How much longer than planned a load may take.
_PATIENCE_SECONDS = 120.0
#: This bucket of load.c's histogram, and those after it, are of 1024 microseconds and more.
_MILLISECOND_BUCKET = 11

#: A line in a record of load.c, and the digits of the number that each record begins with.
LINE_BYTES = 100
_DIGITS = 16


class LoadFailed(Exception):
    """The load could not be compiled or did not come to its end."""


@dataclass(frozen=True)
class Written:
    """What writers saw.

    :ivar began: when the first write began, in seconds of the monotonic clock.
    :ivar ended: when the last writer had ended.
    :ivar cpu: seconds of all writers together.
    :ivar longest: seconds that the longest write(2) took.
    :ivar over_millisecond: writes that took longer than a millisecond.
    :ivar records: written to each pipe.
    """

    began: float
    ended: float
    cpu: float
    longest: float
    over_millisecond: int
    records: tuple[int, ...]

    @property
    def busy(self) -> float:
        """Share of the time in which writers had the processor: near 1, they are the limit."""
        return self.cpu / max(self.ended - self.began, 1e-9)


@dataclass(frozen=True)
class Called:
    """What a client saw.

    :ivar seconds: from the first request to the last answer.
    :ivar cpu: seconds of the client.
    :ivar received: bytes of answers.
    :ivar p50: seconds of a call; likewise ``p99`` and ``longest``.
    :ivar used_p99: processor seconds that the daemon used from a request to its answer, whatever
        for; likewise ``used_longest``. 0 if they were not asked for, or the kernel does not tell.
    """

    seconds: float
    cpu: float
    calls: int
    received: int
    p50: float
    p99: float
    longest: float
    used_p99: float
    used_longest: float


class Load:
    """The compiled load generator."""

    def __init__(self, build: Path) -> None:
        """Compile it.

        :param build: a directory for the programs.
        :raises LoadFailed: there is no C compiler, or it fails.
        """
        self._program = compiled("load", build)
        self.floor = compiled("floor", build)
        self.abuse = compiled("abuse", build)
        self._frames = build / "frames"
        self._count = 0

    def write(
        self,
        pipes: Sequence[int],
        size: int,
        seconds: float,
        rate: float = 0.0,
        most_bytes: int = 0,
        since: float = 0.0,
    ) -> Written:
        """Write to pipes, each from a process of its own, until a time is over; wait for that.

        :param size: bytes of a write.
        :param rate: writes a second to all pipes together, from one process; 0 is full speed.
        :param most_bytes: end when so many bytes were written to each pipe; 0 is no limit.
        :param since: the time that writes take is counted from this many seconds on.
        """
        arguments = ["write", f"size={size}", f"seconds={seconds}", f"rate={rate}"]
        arguments += [f"bytes={most_bytes}", f"since={since}"]
        with self._running(arguments, pipes) as process:
            return _written(result_of(process, seconds))

    def flooding(self, pipe: int, size: int) -> AbstractContextManager[list[Written]]:
        """Write to a pipe at full speed inside the context; what was seen is in the list then."""
        return self._writing([f"size={size}"], [pipe])

    def printing(
        self, pipes: Sequence[int], size: int, rate: float
    ) -> AbstractContextManager[list[Written]]:
        """Write a number of records a second to pipes inside the context."""
        return self._writing([f"size={size}", f"rate={rate}"], pipes)

    @contextlib.contextmanager
    def _writing(self, arguments: Sequence[str], pipes: Sequence[int]) -> Iterator[list[Written]]:
        seen: list[Written] = []
        with self._running(["write", *arguments], pipes) as process:
            yield seen
            process.terminate()
            seen.append(_written(result_of(process, 0.0)))

    def call(
        self,
        socket: str,
        requests: Iterable[bytes],
        seconds: float = 3600.0,
        count: int = 1 << 40,
        connections: int = 1,
        window: int = 1,
        lines: bool = False,
        burst: tuple[int, int] | None = None,
        every: float = 0.0,
        daemon: int = 0,
    ) -> Called:
        """Send requests, over and over, until a time is over or so many were sent.

        :param connections: so many clients.
        :param window: requests that a client sends at once, before it waits for all answers.
        :param lines: each reply ends with a newline; otherwise it begins with its length.
        :param burst: a pipe, and so many bytes that are written to it before each request.
        :param every: seconds from one request to the next, at least; for one that waits for each.
        :param daemon: the process whose processor time is measured; for one request at a time.
        """
        arguments = [
            *self._calling(socket, requests),
            f"seconds={seconds}",
            f"count={count}",
            f"connections={connections}",
            f"window={window}",
            f"lines={int(lines)}",
            f"every={round(every * 1e6)}",
            f"daemon={daemon or ''}",
        ]
        pipes = []
        if burst:
            pipes = [burst[0]]
            arguments += [f"pipe={burst[0]}", f"burst={burst[1]}"]
        with self._running(arguments, pipes) as process:
            return _called(result_of(process, seconds))

    @contextlib.contextmanager
    def calling(
        self, socket: str, requests: Iterable[bytes], window: int, lines: bool
    ) -> Iterator[list[Called]]:
        """Send requests without end inside the context; what was seen is in the list then.

        For the parameters see :meth:`call`.
        """
        seen: list[Called] = []
        arguments = [*self._calling(socket, requests), f"window={window}", f"lines={int(lines)}"]
        with self._running(arguments, []) as process:
            yield seen
            process.terminate()
            seen.append(_called(result_of(process, 0.0)))

    @contextlib.contextmanager
    def holding(
        self, socket: str, requests: Sequence[bytes]
    ) -> Iterator[tuple[Called, Callable[[], None]]]:
        """Send each request once, and hold the descriptors that come inside the context.

        :returns: what was seen, and a function that lets go of the descriptors before the end.
        """
        arguments = [*self._calling(socket, requests), f"count={len(requests)}", "hold=1"]
        with self._running(arguments, []) as process:
            yield _called(result_of(process, 0.0)), process.kill

    def _calling(self, socket: str, requests: Iterable[bytes]) -> list[str]:
        self._count += 1
        frames = self._frames.with_name(f"frames{self._count}")
        frames.write_bytes(b"".join(requests))
        return ["call", f"socket={socket}", f"frames={frames}"]

    def _running(
        self, arguments: Sequence[str], pipes: Sequence[int]
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        fds = [f"fds={','.join(map(str, pipes))}"] if arguments[0] == "write" else []
        return running(self._program, [*arguments, *fds], pipes)


@contextlib.contextmanager
def running(
    program: Path, arguments: Sequence[str], pipes: Sequence[int] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a compiled program inside the context.

    :param pipes: descriptors that it inherits.
    """
    with subprocess.Popen(
        [str(program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pipes,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            # It ends at once when it has ended its work; what it holds is closed with it.
            process.kill()


def compiled(name: str, build: Path) -> Path:
    """Compile a C program of this directory.

    :raises LoadFailed: there is no C compiler, or it fails.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise LoadFailed("the benchmark needs a C compiler: no cc and no gcc is in the PATH")
    program = build / name
    done = subprocess.run(
        [compiler, "-O2", "-Wall", "-o", str(program), str(_SOURCES / f"{name}.c")],
        capture_output=True,
        text=True,
        timeout=_COMPILE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise LoadFailed(f"{name}.c does not compile:\n{done.stderr}")
    return program


def record(number: int, size: int) -> bytes:
    """Give a record as load.c writes it; one that is shorter than its number has none."""
    text = bytearray(b"x" * size)
    if size > _DIGITS:
        text[:_DIGITS] = b"%0*d" % (_DIGITS, number)
    text[LINE_BYTES - 1 :: LINE_BYTES] = b"\n" * len(text[LINE_BYTES - 1 :: LINE_BYTES])
    text[-1:] = b"\n"
    return bytes(text)


def tail(records: int, size: int, length: int) -> bytes:
    """Give the last bytes of so many records."""
    first = max(0, records - length // size - 1)
    return b"".join(record(number, size) for number in range(first, records))[-length:]


def result_of(process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """Wait for the line with the result of a program that is running.

    :param seconds: that the work should take; it may take longer, but not for ever.
    :raises LoadFailed: there is none.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    line = ""
    if select.select([process.stdout], [], [], seconds + _PATIENCE_SECONDS)[0]:
        line = process.stdout.readline()
    if not line:
        process.kill()
        raise LoadFailed(f"{process.args!r} gave no result: {process.stderr.read()}")
    result: dict[str, Any] = json.loads(line)
    return result


def _written(result: dict[str, Any]) -> Written:
    histogram: list[int] = result["histogram"]
    return Written(
        began=result["began"],
        ended=result["ended"],
        cpu=result["cpu_s"],
        longest=result["longest_us"] / 1e6,
        over_millisecond=sum(histogram[_MILLISECOND_BUCKET:]),
        records=tuple(result["records"]),
    )


def _called(result: dict[str, Any]) -> Called:
    if result["failed"]:
        raise LoadFailed(f"{result['failed']} of {result['calls']} calls were answered by errors")
    return Called(
        seconds=result["ended"] - result["began"],
        cpu=result["cpu_s"],
        calls=result["calls"],
        received=result["bytes"],
        p50=result["p50_us"] / 1e6,
        p99=result["p99_us"] / 1e6,
        longest=result["longest_us"] / 1e6,
        used_p99=result["used_p99_us"] / 1e6,
        used_longest=result["used_longest_us"] / 1e6,
    )
