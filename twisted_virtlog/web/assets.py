"""The files of the page, compressed once."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from twisted.web.http import CACHED, NOT_MODIFIED
from twisted.web.resource import Resource
from twisted.web.server import Request

from twisted_virtlog.web.answering import without_encoder

STATIC = Path(__file__).with_name("static")
PAGE = "index.html"

_MEDIA_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".mjs": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_OTHER_TYPE = b"text/plain; charset=utf-8"


@dataclass(frozen=True)
class Asset:
    """A file of the page.

    :ivar etag: changes with it.
    """

    media_type: bytes
    plain: bytes
    packed: bytes
    etag: bytes


def assets() -> Iterator[tuple[str, Asset]]:
    """Yield all files of the page, with their names below it."""
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            plain = path.read_bytes()
            packed = gzip.compress(plain, 9, mtime=0)
            etag = b'"%b"' % hashlib.sha256(plain).hexdigest()[:32].encode()
            media_type = _MEDIA_TYPES.get(path.suffix, _OTHER_TYPE)
            yield str(path.relative_to(STATIC)), Asset(media_type, plain, packed, etag)


class AssetResource(Resource):
    """Answers with a file of the page, which browsers keep and ask after each time."""

    isLeaf = True

    def __init__(self, asset: Asset) -> None:
        Resource.__init__(self)
        self._asset = asset

    def render_GET(self, request: Request) -> bytes:
        """Answer with the file."""
        asset = self._asset
        request.setHeader(b"Cache-Control", b"no-cache")
        request.setHeader(b"Vary", b"Accept-Encoding")
        if request.setETag(asset.etag) is CACHED:
            request.setResponseCode(NOT_MODIFIED)
            return b""
        request.setHeader(b"Content-Type", asset.media_type)
        if not _takes_gzip(request):
            return asset.plain
        without_encoder(request)
        request.setHeader(b"Content-Encoding", b"gzip")
        return asset.packed


def _takes_gzip(request: Request) -> bool:
    accepted = ",".join(request.requestHeaders.getRawHeaders("Accept-Encoding", []))
    for part in accepted.split(","):
        coding, _, quality = part.replace(" ", "").partition(";")
        if coding.lower() == "gzip":
            return quality.lower() not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
