"""The heads of HTTP/1.1 requests and responses, as far as JSON-RPC over POST needs them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: The longest head of a request.
MAX_HEAD_BYTES = 16384

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/([0-9])\.([0-9])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_TARGET = re.compile(rb"(?:http://[^/?#]*)?/")
_OTHER_CHARSET = re.compile(r"""charset\s*=\s*"?(?!utf-?8\b)""")

_REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    505: "HTTP Version Not Supported",
}

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not carried out.

    :ivar status: the status of the response.
    :ivar reason: for people.
    """

    status: int
    reason: str


class BadHead(ValueError):
    """A head after which nothing that follows can be understood.

    :ivar refusal: what to answer before the connection ends.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(status, reason)


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a request says.

    :ivar length: the bytes in its body; None for a body in chunks.
    :ivar is_1_0: whether it is of HTTP/1.0, which does not have chunks.
    :ivar keep_alive: whether the connection continues after the response.
    :ivar expects_continue: whether the client waits for 100 before it sends the body.
    :ivar without_body: whether the response must not have a body, as the method is HEAD.
    :ivar refusal: None if the request is carried out.
    """

    length: int | None
    is_1_0: bool = False
    keep_alive: bool = True
    expects_continue: bool = False
    without_body: bool = False
    refusal: Refusal | None = None


def parse_head(data: bytes) -> Head:
    """Parse the head of a request.

    The field Host may be missing, as it has no meaning on a UNIX socket.

    :param data: the head from its first byte to the empty line.
    :raises BadHead: the end of the body would be uncertain.
    """
    line, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None:
        raise BadHead(400, "the first line is not an HTTP/1.1 request")
    method, target, major, minor = request.groups()
    if major != b"1":
        raise BadHead(505, "the version is not HTTP/1.1")
    fields = _fields(lines)
    is_1_0 = minor == b"0"
    length = _length(fields, is_1_0)
    options = _words(fields, "connection")
    expected = [] if is_1_0 else _words(fields, "expect")
    return Head(
        length,
        is_1_0,
        keep_alive="keep-alive" in options if is_1_0 else "close" not in options,
        expects_continue=expected == ["100-continue"] and length != 0,
        without_body=method == b"HEAD",
        refusal=_refusal(method, target, fields, expected),
    )


def _fields(lines: Sequence[bytes]) -> Mapping[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise BadHead(400, f"{line[:60]!r} is not a header field")
        fields.setdefault(field[1].decode().lower(), []).append(field[2].decode("latin-1"))
    return fields


def _words(fields: Mapping[str, list[str]], name: str) -> list[str]:
    """Return the elements of a field that is a list, in lower case."""
    values = ",".join(fields.get(name, [])).lower().split(",")
    return [word for value in values if (word := value.strip())]


def _length(fields: Mapping[str, list[str]], is_1_0: bool) -> int | None:
    codings = _words(fields, "transfer-encoding")
    lengths = fields.get("content-length", [])
    if codings:
        # A client that sends both may make others believe that the body ends elsewhere.
        if lengths or is_1_0:
            raise BadHead(400, "Transfer-Encoding is not allowed here")
        if codings != ["chunked"]:
            raise BadHead(501, "the only transfer coding supported is chunked")
        return None
    if len(set(lengths)) > 1 or not all(_LENGTH.fullmatch(one.encode()) for one in lengths):
        raise BadHead(400, "Content-Length is not a number of bytes")
    return int(lengths[0]) if lengths else 0


def _refusal(
    method: bytes, target: bytes, fields: Mapping[str, list[str]], expected: Sequence[str]
) -> Refusal | None:
    if method != b"POST":
        return Refusal(405, "JSON-RPC is served by POST")
    if not _TARGET.fullmatch(target):
        return Refusal(404, "JSON-RPC is served at /")
    types = [value.lower() for value in fields.get("content-type", [])]
    is_json = len(types) == 1 and types[0].partition(";")[0].strip() == "application/json"
    if not is_json or _OTHER_CHARSET.search(types[0]):
        return Refusal(415, "the Content-Type must be application/json, in UTF-8")
    if _words(fields, "content-encoding") not in ([], ["identity"]):
        return Refusal(415, "the body must not be encoded")
    if expected not in ([], ["100-continue"]):
        return Refusal(417, "the only expectation supported is 100-continue")
    return None


def response(
    status: int,
    head: Head | None,
    body: bytes = b"",
    *,
    size: int | None = None,
    media_type: str = "application/json",
) -> bytes:
    """Return a response, or its beginning.

    :param head: the head of the request; None if that was not understood, so that the connection
        ends.
    :param size: the size of the body, of which ``body`` may be the beginning; None if ``body`` is
        all of it.
    """
    fields = [f"HTTP/1.1 {status} {_REASONS[status]}"]
    if status == 405:
        fields.append("Allow: POST")
    if status != 204:
        fields.append(f"Content-Type: {media_type}")
        fields.append(f"Content-Length: {len(body) if size is None else size}")
    return _with_fields(fields, head) + (b"" if head and head.without_body else body)


def chunked_response(head: Head) -> bytes:
    """Return the beginning of a response whose size is not known.

    With HTTP/1.0 the body ends where the connection ends.
    """
    fields = ["HTTP/1.1 200 OK", "Content-Type: application/json"]
    if not head.is_1_0:
        fields.append("Transfer-Encoding: chunked")
    return _with_fields(fields, head)


def refusal(refused: Refusal, head: Head | None) -> bytes:
    """Return the response to a request that is not carried out; the body says why."""
    body = f"{refused.reason}\n".encode()
    return response(refused.status, head, body, media_type="text/plain; charset=utf-8")


def _with_fields(fields: Sequence[str], head: Head | None) -> bytes:
    if head is None or not head.keep_alive:
        fields = [*fields, "Connection: close"]
    elif head.is_1_0:
        fields = [*fields, "Connection: keep-alive"]
    return ("\r\n".join(fields) + "\r\n\r\n").encode()
