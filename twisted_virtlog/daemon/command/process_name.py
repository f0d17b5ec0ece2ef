"""Gives the process the name of virtlogd, by which people and their scripts look for it.

``ps -C``, ``lsof -c`` and ``pgrep`` go by the name of the main thread, ``pidof`` also by the first
argument. For a program in Python, both are those of the interpreter or the script.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress

#: Fields of /proc/PID/stat after the name: where the arguments begin and end (proc(5)).
_ARG_START, _ARG_END = 45, 46


def name_process(name: str, arguments: Sequence[str]) -> None:
    """Show another name and other arguments from now on, as far as the system allows.

    :param name: at most 15 bytes of it are shown as the thread's.
    :param arguments: without the name; those that do not fit in place of the former ones are not
        shown.
    """
    with suppress(OSError):
        with open("/proc/self/comm", "w") as comm:
            comm.write(name)
        _show_arguments([name, *arguments])


def _show_arguments(arguments: Sequence[str]) -> None:
    with open("/proc/self/stat", "rb") as stat, open("/proc/self/cmdline", "rb") as cmdline:
        fields = stat.read().rpartition(b")")[2].split()
        present = cmdline.read()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    # The kernel reads what it shows from these addresses: with the same bytes, they are right.
    if not start or end - start != len(present) or ctypes.string_at(start, len(present)) != present:
        return
    shown = b"".join(one.encode("utf-8", "surrogateescape") + b"\0" for one in arguments)
    ctypes.memmove(start, shown[: len(present) - 1].ljust(len(present), b"\0"), len(present))
