"""A connection of HTTP/1.1 over which requests are posted, one after another."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from twisted_virtlog import __version__

_PORTS = {"http": 80, "https": 443}
#: Who answers with more is not understood.
_LONGEST_ANSWER = 1024 * 1024
_LONGEST_LINE = 64 * 1024
_MOST_HEADERS = 256
_CONTINUE = range(100, 200)
_WITHOUT_BODY = frozenset({204, 304})


class HttpError(Exception):
    """No answer came that could be understood; nobody knows whether the request was carried out."""


class Answer(NamedTuple):
    """What a server answers.

    :ivar headers: by their names in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Poster:
    """Posts to one URL, over a connection that is made when it is needed, and kept."""

    def __init__(self, url: str, context: ssl.SSLContext | None, timeout: float) -> None:
        """Connect nowhere before :meth:`post`.

        :param context: for a URL with https.
        :param timeout: seconds for each request, with connecting.
        """
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._context = context if parts.scheme == "https" else None
        self._timeout = timeout
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        self._head = (
            f"POST {target} HTTP/1.1\r\n"
            f"Host: {parts.netloc}\r\n"
            f"User-Agent: virtlog-ship/{__version__}\r\n"
        )
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post something, and wait for the answer.

        :raises HttpError: there was none.
        """
        try:
            return await asyncio.wait_for(self._post(headers, body), self._timeout)
        except (asyncio.TimeoutError, TimeoutError) as error:
            self.close()
            raise HttpError(f"no answer came within {self._timeout:g} seconds") from error
        except asyncio.IncompleteReadError as error:
            self.close()
            raise HttpError("the connection ended before the answer") from error
        except (OSError, ValueError, asyncio.LimitOverrunError) as error:
            self.close()
            raise HttpError(str(error) or type(error).__name__) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection; the next request makes another one."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()

    async def _post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        head = self._head + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head += f"Content-Length: {len(body)}\r\n\r\n"
        if self._reader is not None and self._reader.at_eof():
            # (a server lets go of those who have nothing to say for some time)
            self.close()
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, ssl=self._context, limit=_LONGEST_LINE
            )
        self._writer.write(head.encode("latin-1") + body)
        await self._writer.drain()
        return await self._answer(self._reader)

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        while True:
            status, headers, version = await _head(reader)
            if status not in _CONTINUE:
                break
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        if status in _WITHOUT_BODY:
            body = b""
        elif chunked:
            body = await _chunks(reader)
        elif "content-length" in headers:
            body = await reader.readexactly(_size(headers["content-length"], 10))
        else:
            body = await reader.read(_LONGEST_ANSWER)
            self.close()
        if version == "HTTP/1.0" or "close" in headers.get("connection", "").lower():
            self.close()
        return Answer(status, headers, body)


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], str]:
    """Read the lines before a body."""
    version, _, rest = (await _line(reader)).partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or len(status) != 3 or not status.isdigit():
        raise ValueError("this is no answer of HTTP/1.1")
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = await _line(reader)
        if not line:
            return int(status), headers, version
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    raise ValueError("the answer has too many headers")


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := _size((await _line(reader)).partition(";")[0], 16):
        body += await reader.readexactly(size)
        if len(body) > _LONGEST_ANSWER:
            raise ValueError("the answer is too long")
        await _line(reader)
    while await _line(reader):
        pass
    return body


async def _line(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\n")).rstrip(b"\r\n").decode("latin-1")


def _size(text: str, base: int) -> int:
    size = int(text.strip(), base)
    if not 0 <= size <= _LONGEST_ANSWER:
        raise ValueError("the answer is too long")
    return size
