"""Decodes one client's texts, and notices when that took long: it cannot be interrupted."""

from __future__ import annotations

import time

from twisted_virtlog.jsonrpc.messages import Batch, Message, parse

#: Shorter texts cannot take long, so the time is not asked.
_LONG_TEXT_BYTES = 128 * 1024

#: Decoding that took more time of the processor than this has held up others.
LONG_SECONDS = 0.001


class Decoder:
    """Decodes the texts of one connection.

    The time is that of the processor, so that nobody is blamed for a busy machine.

    :ivar took_long: a text took more than :data:`LONG_SECONDS`; reset by whoever acts on it.
    """

    def __init__(self) -> None:
        self.took_long = False

    def parse(self, text: bytes) -> Message:
        """Decode one JSON text.

        :raises NotJSON: it is not JSON.
        """
        if len(text) < _LONG_TEXT_BYTES:
            return parse(text)
        began = time.thread_time()
        try:
            return parse(text)
        finally:
            self._note(began)

    def check_part(self, batch: Batch) -> None:
        """Check some more entries of a batch.

        :raises NotJSON: it is no JSON array.
        """
        began = time.thread_time()
        try:
            batch.check_part()
        finally:
            self._note(began)

    def _note(self, began: float) -> None:
        if time.thread_time() - began > LONG_SECONDS:
            self.took_long = True
