"""The heads of HTTP/1.1 requests and responses, as far as the daemon's protocols need them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

#: The longest head of a request.
MAX_HEAD_BYTES = 16384

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/([0-9])\.([0-9])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")

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


class Refusal(Struct, frozen=True):
    """Why a request is not carried out.

    :ivar status: the status of the response.
    :ivar reason: for people.
    :ivar allow: the methods that would be carried out, if another one was wanted.
    """

    status: int
    reason: str
    allow: str = ""


class BadHead(ValueError):
    """A head after which nothing that follows can be understood.

    :ivar refusal: what to answer before the connection ends.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(status, reason)


class Request(Struct, frozen=True):
    """A request without its body.

    :ivar target: what is asked for, as the client wrote it.
    :ivar fields: the values of each field, by its name in lower case.
    """

    method: bytes
    target: bytes
    is_1_0: bool
    fields: Mapping[str, list[str]]

    def words(self, name: str) -> list[str]:
        """Return the elements of a field that is a list, in lower case."""
        values = ",".join(self.fields.get(name, [])).lower().split(",")
        return [word for value in values if (word := value.strip())]

    @property
    def expected(self) -> list[str]:
        """What the client expects before it sends the body."""
        return [] if self.is_1_0 else self.words("expect")


class Head(Struct, frozen=True):
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


def parse_request(data: bytes) -> Request:
    """Parse the head of a request.

    The field Host may be missing, as it has no meaning on a UNIX socket.

    :param data: the head from its first byte to the empty line.
    :raises BadHead: it is not such a head.
    """
    line, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None:
        raise BadHead(400, "the first line is not an HTTP/1.1 request")
    method, target, major, minor = request.groups()
    if major != b"1":
        raise BadHead(505, "the version is not HTTP/1.1")
    return Request(method, target, minor == b"0", _fields(lines))


def head_of(request: Request, refusal: Refusal | None) -> Head:
    """Return what a request's head says of its body, and of the connection.

    :param refusal: why the request is not carried out; None if it is.
    :raises BadHead: the end of the body would be uncertain.
    """
    is_1_0 = request.is_1_0
    length = _length(request)
    options = request.words("connection")
    return Head(
        length,
        is_1_0,
        keep_alive="keep-alive" in options if is_1_0 else "close" not in options,
        expects_continue=request.expected == ["100-continue"] and length != 0,
        without_body=request.method == b"HEAD",
        refusal=refusal,
    )


def _fields(lines: Sequence[bytes]) -> Mapping[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise BadHead(400, f"{line[:60]!r} is not a header field")
        fields.setdefault(field[1].decode().lower(), []).append(field[2].decode("latin-1"))
    return fields


def _length(request: Request) -> int | None:
    codings = request.words("transfer-encoding")
    lengths = request.fields.get("content-length", [])
    if codings:
        # A client that sends both may make others believe that the body ends elsewhere.
        if lengths or request.is_1_0:
            raise BadHead(400, "Transfer-Encoding is not allowed here")
        if codings != ["chunked"]:
            raise BadHead(501, "the only transfer coding supported is chunked")
        return None
    if len(set(lengths)) > 1 or not all(_LENGTH.fullmatch(one.encode()) for one in lengths):
        raise BadHead(400, "Content-Length is not a number of bytes")
    return int(lengths[0]) if lengths else 0


def response(
    status: int,
    head: Head | None,
    body: bytes = b"",
    *,
    size: int | None = None,
    media_type: str = "application/json",
    allow: str = "",
) -> bytes:
    """Return a response, or its beginning.

    :param head: the head of the request; None if that was not understood, so that the connection
        ends.
    :param size: the size of the body, of which ``body`` may be the beginning; None if ``body`` is
        all of it.
    :param allow: see Refusal.
    """
    fields = [f"HTTP/1.1 {status} {_REASONS[status]}"]
    if allow:
        fields.append(f"Allow: {allow}")
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
    media_type = "text/plain; charset=utf-8"
    return response(refused.status, head, body, media_type=media_type, allow=refused.allow)


def _with_fields(fields: Sequence[str], head: Head | None) -> bytes:
    if head is None or not head.keep_alive:
        fields = [*fields, "Connection: close"]
    elif head.is_1_0:
        fields = [*fields, "Connection: keep-alive"]
    return ("\r\n".join(fields) + "\r\n\r\n").encode()
