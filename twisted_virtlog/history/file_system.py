"""Asks a file system what tells it apart, also after a reboot, when devices may have other numbers.

It is its UUID, or else the number that statfs(2) has of it. Some file systems put the number of
their device there: those say nothing.
"""

from __future__ import annotations

import os

from twisted_virtlog.syscalls import file_system_uuid

# A device's number as the kernel gives it to programs (new_encode_dev in <linux/kdev_t.h>).
_MINOR_LOW, _MINOR_SHIFT, _MAJOR_SHIFT = 0xFF, 12, 8


def file_system_id(file: int) -> str:
    """Return what tells an open file's file system apart; "" if nothing does.

    Most file systems keep it in memory; one of a server may ask that, and wait.

    :param file: its descriptor, not opened with O_PATH.
    """
    uuid = file_system_uuid(file)
    if uuid is not None:
        return f"u.{uuid.hex()}"
    try:
        number, device = os.fstatvfs(file).f_fsid, os.fstat(file).st_dev
    except OSError:
        return ""
    return f"f.{number:x}" if number not in {0, _encoded(device)} else ""


def _encoded(device: int) -> int:
    major, minor = os.major(device), os.minor(device)
    return minor & _MINOR_LOW | major << _MAJOR_SHIFT | (minor & ~_MINOR_LOW) << _MINOR_SHIFT
