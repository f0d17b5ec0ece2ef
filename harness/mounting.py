"""Mounts file systems and takes them away without touching what is on them, as root."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

MS_NOSUID = 2
MS_NODEV = 4
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def mount(source: str, point: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """Mount something.

    :raises OSError: see mount(2).
    """
    texts = [os.fsencode(text) for text in (source, point, kind)]
    if _libc.mount(*texts, flags, os.fsencode(data)):
        raise _error(point)


def unmount(point: Path, flags: int = _MNT_DETACH) -> None:
    """Unmount what is topmost at a place, at once by default: what is open there stays open.

    :raises OSError: see umount2(2).
    """
    if _libc.umount2(os.fsencode(point), flags | _UMOUNT_NOFOLLOW):
        raise _error(point)


def _error(point: Path) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(point))


def unmount_device(device: str) -> None:
    """Take all mounts of a device away, wherever they are; there may be none.

    :param device: its major and minor number, as ``0:47``.
    """
    for point in reversed(points_of(device)):
        with contextlib.suppress(OSError):
            unmount(point)


def points_of(device: str) -> list[Path]:
    """Return where a device is mounted, in the order of the mounts."""
    return [point for found, point in _mounts() if found == device]


def device_at(point: Path) -> str | None:
    """Return major and minor number of what is mounted at a path; None if nothing is."""
    found = [device for device, at in _mounts() if at == point]
    return found[-1] if found else None


def _mounts() -> list[tuple[str, Path]]:
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    return [(fields[2].decode(), _path(fields[4])) for fields in map(bytes.split, lines)]


def _path(escaped: bytes) -> Path:
    """Undo how the kernel writes blanks in paths: as octal numbers."""
    first, *others = escaped.split(b"\\")
    parts = [bytes([int(part[:3], 8)]) + part[3:] for part in others]
    return Path(os.fsdecode(first + b"".join(parts)))
