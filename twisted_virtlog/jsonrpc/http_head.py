"""Which HTTP requests are those of JSON-RPC: POST to ``/``, with JSON in UTF-8."""

from __future__ import annotations

import re

from twisted_virtlog.sockets.http import Head, Refusal, Request, head_of, parse_request

_TARGET = re.compile(rb"(?:http://[^/?#]*)?/")
_OTHER_CHARSET = re.compile(r"""charset\s*=\s*"?(?!utf-?8\b)""")


def parse_head(data: bytes) -> Head:
    """Parse the head of a request; see :func:`.http.parse_request`.

    :raises BadHead: it is no such head, or the end of the body would be uncertain.
    """
    request = parse_request(data)
    return head_of(request, _refusal(request))


def _refusal(request: Request) -> Refusal | None:
    if request.method != b"POST":
        return Refusal(405, "JSON-RPC is served by POST", allow="POST")
    if not _TARGET.fullmatch(request.target):
        return Refusal(404, "JSON-RPC is served at /")
    types = [value.lower() for value in request.fields.get("content-type", [])]
    is_json = len(types) == 1 and types[0].partition(";")[0].strip() == "application/json"
    if not is_json or _OTHER_CHARSET.search(types[0]):
        return Refusal(415, "the Content-Type must be application/json, in UTF-8")
    if request.words("content-encoding") not in ([], ["identity"]):
        return Refusal(415, "the body must not be encoded")
    if request.expected not in ([], ["100-continue"]):
        return Refusal(417, "the only expectation supported is 100-continue")
    return None
