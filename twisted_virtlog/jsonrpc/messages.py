"""JSON-RPC 2.0 messages: decode requests, batches and notifications, encode answers."""

from __future__ import annotations

import codecs
import re
from array import array
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from twisted_virtlog.jsonrpc.framing import SLICED_BATCH_BYTES, NotJSON
from twisted_virtlog.jsonrpc.long_result import LongResult, SlicedResult, gathered
from twisted_virtlog.jsonrpc.scanner import Broken, Scanner

NULL = Raw(b"null")
ABSENT = Raw(b"")

_UTF8_PIECE_BYTES = 65536
# What is checked of a batch at once: so many entries, or those that begin in so many bytes.
_CHECKED_ENTRIES = 32
_CHECKED_BYTES = 8192
_WHITE_SPACE = re.compile(rb"[ \t\r\n]*")
_BETWEEN_ENTRIES = re.compile(rb"[ \t\r\n,]*")
_ID_STARTS = b'"-0123456789n'
_PARAMS_STARTS = b"{["
# (some messages of the decoder quote what it found)
_MAX_REASON_CHARACTERS = 200
_SHAPE = (
    'a request is an object with "jsonrpc": "2.0", "method": a string, and, optionally,'
    ' "params": an object or an array, and "id": a string, a number or null'
)
_ARRAY_START, _ARRAY_END = b"[]"
_COMMA = ord(",")


class Request(Struct, frozen=True, gc=False):
    """A request, or a notification if its id is ABSENT.

    :ivar params: the JSON of the parameters, or ABSENT.
    :ivar id: the JSON of the id, which is returned byte for byte, as numbers have many spellings.
    """

    jsonrpc: Literal["2.0"]
    method: str
    params: Raw = ABSENT
    id: Raw = ABSENT


class InvalidRequest(Struct, frozen=True):
    """JSON that is not a request.

    :ivar reason: what is wrong with it.
    :ivar id: the JSON of its id; ``null`` if it has none, or an invalid one.
    """

    reason: str
    id: Raw = NULL


class Batch:
    """A batch, whose entries are taken out one at a time.

    Decoded all at once, the entries of a long text could fill hundreds of megabytes, and take
    milliseconds. A long one is checked a part at a time too, by :meth:`check_part`; nothing may be
    taken out before all of it is checked.

    :ivar is_checked: whether it is a JSON array.
    """

    def __init__(self, text: bytes, is_checked: bool = True) -> None:
        """:param text: an array that is not empty, or what begins like one and is to be checked."""
        self.is_checked = is_checked
        self._text = text
        self._position = text.index(_ARRAY_START) + 1
        self._scanner: Scanner | None = None
        # Where the next entry to be checked begins, and where those end that were checked.
        self._check_at = self._position
        self._ends = array("I")
        self._taken = 0

    @property
    def held_bytes(self) -> int:
        """The memory in use, in bytes."""
        return len(self._text) + len(self._ends) * self._ends.itemsize

    def check_part(self) -> None:
        """Check some more entries, and set ``is_checked`` after the last.

        :raises NotJSON: it is no JSON array.
        """
        text, at = self._text, self._check_at
        stop = min(at + _CHECKED_BYTES, len(text))
        for _ in range(_CHECKED_ENTRIES):
            start = _after_white_space(text, at)
            end = self._end_of_entry(start)
            if end is None:
                break
            entry = text[start:end]
            try:
                _decode_raw(entry)
            except (msgspec.DecodeError, RecursionError) as error:
                raise NotJSON(f"Parse error: in the entry at byte {start}: {error}") from None
            if not entry.isascii():
                _check_utf8(entry, start)
            self._ends.append(end)
            after = _after_white_space(text, end)
            if text[after : after + 1] == b"]":
                if _after_white_space(text, after + 1) < len(text):
                    raise NotJSON(f"Parse error: more follows the batch, at byte {after + 1}")
                self.is_checked = True
                return
            if after == len(text):
                raise NotJSON("Parse error: the batch does not end")
            if text[after] != _COMMA:
                raise NotJSON(f"Parse error: neither a comma nor the batch's end at byte {after}")
            self._check_at = at = after + 1
            if at >= stop:
                break

    def _end_of_entry(self, start: int) -> int | None:
        """Return where an entry ends; None if the search goes on in the next call.

        :raises NotJSON: it does not end.
        """
        text = self._text
        scanner = self._scanner = self._scanner or Scanner(start)
        try:
            end = scanner.find_end(text, len(text), ended=True) if start < len(text) else None
        except Broken as error:
            raise NotJSON(f"Parse error: {error}") from None
        if end is None and not scanner.paused:
            raise NotJSON("Parse error: the batch does not end")
        if end is not None:
            self._scanner = None
        return end

    def check_rest(self) -> None:
        """Check all that is not checked.

        :raises NotJSON: it is no JSON array.
        """
        while not self.is_checked:
            self.check_part()

    def rest(self) -> bytes:
        """Return the batch without the entries that were taken out."""
        return b"[" + self._text[self._position :]

    @property
    def is_at_end(self) -> bool:
        """Whether all entries were taken out."""
        return self._text[self._next_start()] == _ARRAY_END

    def _next_start(self) -> int:
        separators = _BETWEEN_ENTRIES.match(self._text, self._position)
        return separators.end() if separators else self._position

    def next_entry(self) -> Request | InvalidRequest | Literal["paused"] | None:
        """Take out the next entry.

        :returns: None after the last; "paused" to let others have the reactor first.
        """
        text = self._text
        start = self._next_start()
        if text[start] == _ARRAY_END:
            return None
        if self._ends:
            end: int | None = self._ends[self._taken]
            self._taken += 1
        else:
            end = self._end_of_entry(start)
        if end is None:
            return "paused"
        self._position = end
        return _parse_one(text[start:end])


Message: TypeAlias = "Request | InvalidRequest | Batch"


class ErrorObject(Struct, frozen=True):
    """The error member of an answer."""

    code: int
    message: str
    data: dict[str, Any] | UnsetType = UNSET


class _Identified(Struct):
    """What may still be readable in an invalid request."""

    id: Raw = NULL


_decode_request = msgspec.json.Decoder(Request).decode
_decode_identified = msgspec.json.Decoder(_Identified).decode
_decode_raw = msgspec.json.Decoder(Raw).decode
_encode = msgspec.json.Encoder().encode


def parse(text: bytes) -> Message:
    """Decode one JSON text.

    :raises NotJSON: it is not JSON.
    """
    if len(text) >= SLICED_BATCH_BYTES and _is_long_batch(text):
        return Batch(text, is_checked=False)
    # The decoder does not check the bytes of strings that it only skips.
    if not text.isascii():
        _check_utf8(text)
    try:
        return _checked(_decode_request(text))
    except msgspec.ValidationError:
        pass  # what is wrong is reported below, once the rest of the text is known to be JSON
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotJSON(f"Parse error: {error}") from None
    try:
        is_array = memoryview(_decode_raw(text))[0] == _ARRAY_START
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotJSON(f"Parse error: {error}") from None
    if not is_array:
        return _parse_one(text)
    batch = Batch(text)
    return InvalidRequest("Invalid request: an empty batch") if batch.is_at_end else batch


def _is_long_batch(text: bytes) -> bool:
    """Return whether a text begins as an array that is not empty."""
    start = _after_white_space(text, 0)
    if text[start : start + 1] != b"[":
        return False
    first = _after_white_space(text, start + 1)
    return text[first : first + 1] != b"]"


def _after_white_space(text: bytes, start: int) -> int:
    found = _WHITE_SPACE.match(text, start)
    return found.end() if found else start


def _check_utf8(text: bytes, offset: int = 0) -> None:
    """Check in pieces, as a decoded copy could take four times the memory of the text.

    :param offset: where the text begins in what the client sent.
    """
    view = memoryview(text)
    start = 0
    while start < len(text):
        stop = start + _UTF8_PIECE_BYTES
        try:
            _, taken = codecs.utf_8_decode(view[start:stop], "strict", stop >= len(text))
        except UnicodeDecodeError as error:
            at = offset + start + error.start
            raise NotJSON(f"Parse error: byte {at} is not UTF-8: {error.reason}") from None
        start += taken


def _checked(request: Request) -> Request | InvalidRequest:
    """Refuse an id or params of a type that JSON-RPC does not allow."""
    if request.id is not ABSENT and memoryview(request.id)[0] not in _ID_STARTS:
        return InvalidRequest("Invalid request: the id must be a string, a number or null")
    if request.params is not ABSENT and memoryview(request.params)[0] not in _PARAMS_STARTS:
        reason = "Invalid request: params must be an object or an array"
        return InvalidRequest(reason, NULL if request.id is ABSENT else request.id)
    return request


def _parse_one(text: bytes) -> Request | InvalidRequest:
    """Decode one request from JSON that was checked."""
    try:
        return _checked(_decode_request(text))
    except (msgspec.DecodeError, RecursionError) as error:
        reason = f"Invalid request: {str(error)[:_MAX_REASON_CHARACTERS]}; {_SHAPE}"
    try:
        found = _decode_identified(text).id
    except (msgspec.DecodeError, RecursionError):
        found = NULL
    if memoryview(found)[0] not in _ID_STARTS:
        found = NULL
    return InvalidRequest(reason, found)


def encode_result(request_id: Raw, result: object) -> bytes:
    """Return the answer to a request, without a newline.

    :raises UnicodeEncodeError: a string in the result has surrogates.
    """
    return b"".join((b'{"jsonrpc":"2.0","id":', request_id, b',"result":', _encode(result), b"}"))


def long_result_size(request_id: Raw, result: LongResult) -> int:
    """Return how many bytes :func:`encode_long_result` yields."""
    frame = b'{"jsonrpc":"2.0","id":,"result":}'
    return len(frame) + len(bytes(request_id)) + result.size


def encode_long_result(request_id: Raw, result: LongResult) -> Iterator[bytes]:
    """Yield the answer in pieces, at least one."""
    pieces = result.pieces()
    yield b"".join((b'{"jsonrpc":"2.0","id":', request_id, b',"result":', next(pieces)))
    yield from pieces
    yield b"}"


def encode_sliced_result(
    request_id: Raw, result: SlicedResult
) -> Generator[None, None, Sequence[bytes]]:
    """Make the answer in slices; return its pieces, at least one."""
    before = b"".join((b'{"jsonrpc":"2.0","id":', request_id, b',"result":'))
    return gathered(before, result.slices, b"}")


def encode_notification(method: str, params: object) -> bytes:
    """Return the text of a notification."""
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params})


def encode_error(request_id: Raw, error: ErrorObject) -> bytes:
    """Return the answer that reports an error, without a newline."""
    return b"".join((b'{"jsonrpc":"2.0","id":', request_id, b',"error":', _encode(error), b"}"))
