"""A program that writes numbered lines into a log as fast as it can, and knows what it wrote."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from tests.stack.rpc_client import OPEN, POSITION, Connection, Place, open_arguments
from tests.stack.rpc_client import position_arguments as named

_LINE_BYTES = 10
_LINES_AT_ONCE = 100


class NumberedLines:
    """Opens a log as a driver does, and writes until it is told to stop.

    :ivar client: the connection that opened the log, which stays.
    """

    def __init__(self, socket: str, path: str) -> None:
        self.client = Connection(socket)
        self._path = path.encode()
        (self._pipe,) = self.client.call(OPEN, open_arguments(self._path)).descriptors
        self._stopping = False
        self._written = 0
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def position(self) -> Place:
        """Ask for the position on the connection that opened the log."""
        place = self.client.call(POSITION, named(self._path)).result
        assert isinstance(place, Place), place
        return place

    def stop(self) -> int:
        """Write no more.

        :returns: the number of lines.
        :raises OSError: a write failed, as nobody had the other end.
        """
        self._stopping = True
        self._thread.join()
        os.close(self._pipe)
        self.client.close()
        if self._failure is not None:
            raise self._failure
        return self._written

    def _write(self) -> None:
        try:
            while not self._stopping:
                numbers = range(self._written, self._written + _LINES_AT_ONCE)
                # (a pipe takes so little whole or not at all)
                os.write(self._pipe, b"".join(b"%09d\n" % number for number in numbers))
                self._written += _LINES_AT_ONCE
        except OSError as error:
            self._failure = error


def missing(kept: Sequence[bytes], written: int) -> str:
    """Return what is wrong with a log's files; empty if they end with the last line, without a gap.

    :param kept: the files' contents, the oldest first.
    :param written: the number of lines that were written.
    """
    text = b"".join(kept)
    # The oldest file that is kept may begin in the middle of a line.
    text = text[len(text) % _LINE_BYTES :]
    first = written - len(text) // _LINE_BYTES
    for number, at in enumerate(range(0, len(text), _LINE_BYTES), first):
        if text[at : at + _LINE_BYTES] != b"%09d\n" % number:
            return f"at {at} of {len(text)}: {text[at : at + 50]!r} in place of line {number}"
    return "" if text else "nothing is there"
