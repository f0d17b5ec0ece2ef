"""A guest floods its log while clients ask: neither waits for the other, and no byte is lost."""

from __future__ import annotations

import fcntl
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon.conftest import StartDaemon, by_default

pytestmark = pytest.mark.lengthy

_TEXT = b"".join(b"%07d\n" % number for number in range(1 << 20))
_PIECE = 64 * 1024
_SIZE = 8 << 20
_ROUNDS = 200


class _Flood:
    """Writes a text over and over, as fast as it is taken.

    :ivar written: how many bytes.
    """

    def __init__(self) -> None:
        self.written = 0
        self._ended = threading.Event()

    @contextmanager
    def into(self, pipe: int) -> Iterator[None]:
        """Write into a pipe, and close it at the end."""
        thread = threading.Thread(target=self._write, args=(pipe,))
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _write(self, pipe: int) -> None:
        text = memoryview(_TEXT)
        while not self._ended.is_set():
            begin = self.written % len(text)
            self.written += os.write(pipe, text[begin : begin + _PIECE])
        os.close(pipe)


def _has_patient_thread(pid: int) -> bool:
    """Return whether a thread of a process stands back for the others."""
    nice = [
        int(Path(f"/proc/{pid}/task/{task}/stat").read_text().rpartition(")")[2].split()[16])
        for task in os.listdir(f"/proc/{pid}/task")
    ]
    return max(nice) > min(nice)


@by_default
def test_a_flood_while_clients_ask(start_daemon: StartDaemon, tmp_path: Path) -> None:
    """The flood has a thread meanwhile; each position covers what was written, over a hand-over."""
    daemon = start_daemon(f"max_size = {_SIZE}", "max_backups = 3")
    flooded, quiet = tmp_path / "flooded.log", tmp_path / "quiet.log"
    flood, written, was_lent = _Flood(), 0, 0
    with daemon.client() as client:
        pipes = [client.open(str(path)).write_end for path in (flooded, quiet)]
        with flood.into(pipes[0]):
            # (the system gives small pipes to a user who has many; they make no flood)
            is_small = fcntl.fcntl(pipes[0], fcntl.F_GETPIPE_SZ) < 4 * _PIECE
            for number in itertools.count():
                if number >= _ROUNDS and (was_lent or is_small):
                    break
                os.write(pipes[1], b"a line\n")
                written += 7
                assert client.position(str(quiet)).offset == written
                if not number % 20:
                    before = flood.written
                    client.position(str(flooded))
                    assert client.ledger(str(flooded)).written.guest >= before
                    was_lent += _has_patient_thread(daemon.process.pid)
                if number == _ROUNDS // 2:
                    assert client.reexec()
        os.close(pipes[1])
        while (ledger := client.ledger()).intake.pending:
            pass
    assert ledger.written.guest == flood.written + written
    names = [flooded.with_name(f"flooded.log.{number}") for number in (2, 1, 0)]
    text = b"".join(name.read_bytes() for name in [*names, flooded] if name.exists())
    begin = (flood.written - len(text)) % len(_TEXT)
    assert len(text) > 2 * _SIZE
    assert text == (_TEXT[begin:] + 5 * _TEXT)[: len(text)]
