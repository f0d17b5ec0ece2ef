"""The URLs of UNIX sockets, to show to clients."""

from __future__ import annotations

from urllib.parse import quote


def url_of(address: bytes) -> str:
    """Return the URL of a UNIX socket.

    ``unix:`` and the path, or ``unix-abstract:`` and the name, as gRPC names its targets. What may
    not stand in a URL is percent-encoded, and so are bytes that are not ASCII.

    :param address: an absolute path, or NUL and an abstract name.
    """
    if address.startswith(b"\0"):
        return f"unix-abstract:{quote(address[1:])}"
    return f"unix:{quote(address)}"
