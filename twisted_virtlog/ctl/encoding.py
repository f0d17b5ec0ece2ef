"""Bytes of logs in JSON."""

from __future__ import annotations


def json_bytes(data: bytes, name: str = "data") -> dict[str, object]:
    """Return bytes as members of an object: as text, if that is exact.

    :param name: of the member with the bytes.
    """
    try:
        return {name: data.decode(), "encoding": "utf-8"}
    except UnicodeDecodeError:
        # (seldom, and it takes time to load)
        import pybase64  # noqa: PLC0415

        return {name: pybase64.b64encode(data).decode(), "encoding": "base64"}
