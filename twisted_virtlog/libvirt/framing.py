"""Split a stream of bytes into frames: a length word that includes itself, then the rest."""

from __future__ import annotations

import struct

from twisted_virtlog.libvirt.xdr import XDRError

LENGTH_BYTES = 4
#: The length word and the six words of the header.
HEADER_BYTES = 28
#: libvirt 9.0.0 allows 32 MiB, not counting the length word.
MAX_FRAME_BYTES = 32 * 1024 * 1024 + LENGTH_BYTES

#: From this size on, a frame is not copied.
_LONG_BYTES = 256 * 1024

_unpack_length = struct.Struct(">I").unpack_from


class FrameTooShort(XDRError):
    """A length word that leaves no room for a header."""


class FrameTooLong(XDRError):
    """A length word over the limit."""


class FrameStream:
    """Collects bytes and returns the frames in them.

    It holds at most one frame and the bytes that it was fed together with the end of that frame.
    Its work is linear in the number of bytes, however they are split.
    """

    def __init__(self) -> None:
        # The bytes object that was received, or a bytearray if a frame arrived in several.
        self._data: bytes | bytearray = b""
        self._at = 0

    @property
    def held_bytes(self) -> int:
        """The memory in use, in bytes."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        held = self._data
        if not held:
            self._data = data
            return
        if isinstance(held, bytearray):
            self._forget_former(held)
        else:
            held = self._data = bytearray(memoryview(held)[self._at :])
            self._at = 0
        held += data

    def next_frame(self) -> bytes | memoryview | None:
        """Take out the next frame, with its length word.

        :returns: None while it is incomplete. A long one is a view, as a copy of 32 MiB takes as
            long as a thousand calls.
        :raises FrameTooLong: its length is above the limit; raised as soon as the length is known.
        :raises FrameTooShort: its length is below 28; raised once the frame is complete, as in
            libvirt 9.0.0. The stream cannot continue after these errors.
        """
        data, at = self._data, self._at
        left = len(data) - at
        if left < LENGTH_BYTES:
            self._forget_former(data)
            return None
        (length,) = _unpack_length(data, at)
        if HEADER_BYTES <= length <= left <= MAX_FRAME_BYTES and type(data) is bytes:
            # The usual way; of exactly one frame that was received this makes no copy.
            end = at + length
            if length == left:
                self._data, self._at = b"", 0
            else:
                self._at = end
            return data[at:end]
        if length > MAX_FRAME_BYTES:
            raise FrameTooLong(f"a frame of {length} bytes; at most {MAX_FRAME_BYTES} are allowed")
        if left < length:
            self._forget_former(data)
            return None
        if length < HEADER_BYTES:
            raise FrameTooShort(f"a frame of {length} bytes; the shortest has {HEADER_BYTES}")
        end = at + length
        frame = memoryview(data)
        if length >= _LONG_BYTES:
            # The frame keeps the buffer; what follows it is copied, one chunk at most.
            self._data, self._at = bytes(frame[end:]), 0
            return frame[at:end]
        self._drop(end)
        return bytes(frame[at:end])

    def take(self, count: int) -> bool:
        """Drop bytes that follow the last frame and belong to no frame.

        :returns: False, with nothing dropped, if not all of them have arrived.
        """
        if len(self._data) - self._at < count:
            return False
        self._drop(self._at + count)
        return True

    def rest(self) -> bytes:
        """Return what was fed and not taken out."""
        return bytes(memoryview(self._data)[self._at :])

    def _forget_former(self, data: bytes | bytearray) -> None:
        """Free the memory of frames that were taken out, which may be long."""
        if self._at and isinstance(data, bytearray):
            # This is cheap: CPython moves the beginning of the bytearray, not its bytes.
            del data[: self._at]
            self._at = 0

    def _drop(self, end: int) -> None:
        if end == len(self._data):
            self._data, self._at = b"", 0
        else:
            self._at = end
