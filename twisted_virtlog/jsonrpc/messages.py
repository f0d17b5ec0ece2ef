"""JSON-RPC 2.0 messages: decode requests, batches and notifications, encode answers."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from twisted_virtlog.jsonrpc.framing import NotJSON
from twisted_virtlog.jsonrpc.long_result import LongResult
from twisted_virtlog.jsonrpc.scanner import Scanner

NULL = Raw(b"null")
ABSENT = Raw(b"")

_UTF8_PIECE_BYTES = 65536
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

    Decoded all at once, the entries of a long text could fill hundreds of megabytes.

    :param text: a JSON array, checked.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._position = text.index(_ARRAY_START) + 1

    @property
    def held_bytes(self) -> int:
        """The memory in use, in bytes."""
        return len(self._text)

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

    def next_entry(self) -> Request | InvalidRequest | None:
        """Take out the next entry; return None after the last."""
        text = self._text
        start = self._next_start()
        if text[start] == _ARRAY_END:
            return None
        # An entry of a checked array has an end.
        end = Scanner(start).find_end(text, len(text), ended=True) or len(text) - 1
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


def _check_utf8(text: bytes) -> None:
    """Check in pieces, as a decoded copy could take four times the memory of the text."""
    view = memoryview(text)
    start = 0
    while start < len(text):
        stop = start + _UTF8_PIECE_BYTES
        try:
            _, taken = codecs.utf_8_decode(view[start:stop], "strict", stop >= len(text))
        except UnicodeDecodeError as error:
            at = start + error.start
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


def encode_error(request_id: Raw, error: ErrorObject) -> bytes:
    """Return the answer that reports an error, without a newline."""
    return b"".join((b'{"jsonrpc":"2.0","id":', request_id, b',"error":', _encode(error), b"}"))
