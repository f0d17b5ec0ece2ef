"""What is left out of a flood for one who reads slower than it comes, and is told so."""

from __future__ import annotations

from twisted_virtlog.client import Position
from twisted_virtlog.client.deferred import Client
from twisted_virtlog.web.event_stream import Skipped
from twisted_virtlog.web.files import Files
from twisted_virtlog.web.windows import extent_of, window_from

#: What is behind is looked for after so many bytes were sent.
_LOOK_BYTES = 1024 * 1024


class Skipping:
    """Says what to leave out of a log that is followed.

    :param most: this many bytes may be yet to be sent; 0 for any number. If there are more, all but
        the last half of that is left out.
    """

    def __init__(self, client: Client, files: Files, path: str, most: int) -> None:
        self._client = client
        self._files = files
        self._path = path
        self._most = most
        self._look_bytes = min(most, _LOOK_BYTES)
        self._sent = 0

    async def after(self, sent: Position, count: int) -> Skipped | None:
        """Note that some bytes were sent; return what to leave out after them, if anything.

        :param sent: their end.
        """
        self._sent += count
        if not self._most or self._sent < self._look_bytes:
            return None
        self._sent = 0
        extent = await extent_of(self._client, self._files, self._path)
        distance = extent.distance(sent)
        if distance is None or extent.size - distance <= self._most:
            return None
        wanted = extent.position(extent.size - self._most // 2)
        line = await window_from(self._client, self._files, self._path, wanted, 1)
        end = None if line.gap else line.start
        reached = None if end is None else extent.distance(end)
        # (a very long line may have begun before)
        if end is None or reached is None or reached <= distance:
            return None
        return Skipped(sent, end, reached - distance)
