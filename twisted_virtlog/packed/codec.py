"""Packs and unpacks single frames by zstd, of Python 3.14 or of the package backports.zstd."""

from __future__ import annotations

import functools
import importlib
from typing import Any

#: What packs text at some 3 to 7 milliseconds for a mebibyte.
LEVEL = 3


class NoZstd(ImportError):
    """There is no zstd to be had."""

    def __init__(self) -> None:
        super().__init__(
            "there is no zstd: it is in Python 3.14 and later, or install the package"
            " backports.zstd (the extra zstd of twisted-virtlog)"
        )


class Packer:
    """Makes frames, one after another."""

    def __init__(self) -> None:
        """:raises NoZstd: there is no zstd."""
        zstd = _zstd()
        parameter = zstd.CompressionParameter
        options = {parameter.compression_level: LEVEL, parameter.checksum_flag: 1}
        self._compressor = zstd.ZstdCompressor(options=options)
        self._mode = zstd.ZstdCompressor.FLUSH_FRAME

    def pack(self, data: bytes) -> bytes:
        """Return a frame."""
        packed: bytes = self._compressor.compress(data, self._mode)
        return packed


def unpack(frame: bytes, size: int) -> bytes:
    """Return what is in a frame.

    :param size: how many bytes that should be; no more are made than one.
    :raises ValueError: it is broken, or holds something else.
    :raises NoZstd: there is no zstd.
    """
    zstd = _zstd()
    decompressor = zstd.ZstdDecompressor()
    try:
        data: bytes = decompressor.decompress(frame, max_length=size + 1)
    except zstd.ZstdError as error:
        raise ValueError(f"a frame is broken: {error}") from error
    if len(data) != size or not decompressor.eof:
        raise ValueError("a frame does not hold what it should")
    return data


def has_zstd() -> bool:
    """Return whether files can be packed and unpacked."""
    try:
        _zstd()
    except NoZstd:
        return False
    return True


@functools.cache
def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise NoZstd
