"""Runs abuse.c, which takes what is not meant for one client or one guest alone."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.load import Load, result_of, running

#: To find a moment at which the pipe can be locked.
_LOCKING_SECONDS = 10.0


@dataclass(frozen=True)
class Stream:
    """What an abusive client sends over and over, reading all that it is answered.

    :ivar socket: where it connects.
    :ivar data: is sent without end, from its beginning after each end.
    :ivar connections: of the same process, each of which does so.
    :ivar chunk: the most bytes of a send(2); 0 is as many as go.
    """

    socket: str
    data: bytes
    connections: int = 1
    chunk: int = 0


@dataclass(frozen=True)
class Talked:
    """What such a client did.

    :ivar seconds: that it took.
    :ivar sent: bytes of requests, likewise ``received`` of answers.
    :ivar reconnected: how often the daemon closed a connection, after which it made another.
    """

    seconds: float
    sent: int
    received: int
    reconnected: int


@contextlib.contextmanager
def talking(generator: Load, stream: Stream) -> Iterator[list[Talked]]:
    """Talk without end inside the context; what came of it is in the list then."""
    talked: list[Talked] = []
    with tempfile.NamedTemporaryFile() as file:
        file.write(stream.data)
        file.flush()
        arguments = ["talk", f"socket={stream.socket}", f"bytes={file.name}"]
        arguments += [f"connections={stream.connections}", f"chunk={stream.chunk}"]
        with running(generator.abuse, arguments) as process:
            yield talked
            process.terminate()
            talked.append(Talked(**result_of(process, 0.0)))


@contextlib.contextmanager
def burning(generator: Load) -> Iterator[None]:
    """Use the processor of an abuser inside the context, and nothing else."""
    with running(generator.abuse, ["burn"]):
        yield


@contextlib.contextmanager
def locking(generator: Load, pipe: int, seconds: float, filled: bool) -> Iterator[None]:
    """Lock a pipe from its write end, for a number of seconds or until the context ends.

    :param filled: with bytes in it, otherwise with none.
    :raises LoadFailed: the daemon was faster each time.
    """
    arguments = ["lock", f"fd={pipe}", f"seconds={seconds}", f"filled={int(filled)}"]
    pipes: Sequence[int] = [pipe]
    with running(generator.abuse, arguments, pipes) as process:
        result_of(process, _LOCKING_SECONDS)
        yield
        process.terminate()
        result_of(process, _LOCKING_SECONDS)
