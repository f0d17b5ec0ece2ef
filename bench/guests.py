"""A guest that writes into its log's pipe by itself, whatever becomes of the daemon."""

from __future__ import annotations

import os
import random
import threading
import time
from abc import ABC, abstractmethod

from bench.ledger import Mistake
from twisted_virtlog.client import BlockingClient

#: A guest writes so much at once at most, and so often.
LARGEST_WRITE = 2000
_PAUSE_SECONDS = 0.004
#: And no more between two pauses, so that rotation removes nothing that nobody has seen, however
#: slow the machine is.
_MOST_WRITTEN = 1_000_000


class Guest(ABC):
    """Writes into a log's pipe, but for pauses."""

    def __init__(self, path: str, chance: random.Random) -> None:
        self.path = path
        self._chance = random.Random(chance.random())
        self._pipe = -1
        self._left = 0
        self._writing = threading.Event()
        self._lock = threading.Lock()
        self._ended = False
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    @abstractmethod
    def next(self, count: int) -> bytes:
        """Return what is written next, and take note of it."""

    def begin(self, client: BlockingClient, truncate: bool = False) -> None:
        """Open the log."""
        self._pipe = client.open(self.path, "stress", truncate=truncate).write_end

    def end(self) -> None:
        """Close the pipe."""
        os.close(self._pipe)
        self._pipe = -1

    def resume(self) -> None:
        """Write on, for a while."""
        self._left = _MOST_WRITTEN
        self._writing.set()

    def pause(self) -> None:
        """Write no more; returns when the last write is done.

        :raises Mistake: a write failed.
        """
        self._writing.clear()
        with self._lock:
            if self._failure is not None:
                raise Mistake(f"{self.path}: its guest saw {self._failure}")

    def stop(self) -> None:
        """Write never again, and close the pipe, whatever waits."""
        self._ended = True
        self._writing.set()
        self._thread.join()
        if self._pipe >= 0:
            self.end()

    def _write(self) -> None:
        try:
            while self._writing.wait() and not self._ended:
                with self._lock:
                    if self._writing.is_set() and self._left > 0:
                        data = self.next(self._chance.randint(1, LARGEST_WRITE))
                        self._left -= len(data)
                        os.write(self._pipe, data)
                time.sleep(_PAUSE_SECONDS)
        except OSError as error:
            self._failure = error
