"""Drives a log daemon as libvirt's drivers do, by libvirt's own client code; a process of its own.

The library exports that code for libvirt's own programs only, so its functions are called by their
names, with the types that libvirt 9.0.0 has. What each call came to is printed as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_UUID = (ctypes.c_uint8 * 16)(*range(16))
_OTHER_UUID = (ctypes.c_uint8 * 16)(*range(1, 17))
_TRUNCATE = 1


class _Error(ctypes.Structure):
    """The beginning of libvirt's struct _virError, whose rest is not looked at."""

    _fields_ = (
        ("code", ctypes.c_int),
        ("domain", ctypes.c_int),
        ("message", ctypes.c_char_p),
        ("level", ctypes.c_int),
        ("conn", ctypes.c_void_p),
        ("dom", ctypes.c_void_p),
        ("str1", ctypes.c_char_p),
        ("str2", ctypes.c_char_p),
        ("str3", ctypes.c_char_p),
        ("int1", ctypes.c_int),
        ("int2", ctypes.c_int),
    )


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libvirt.so.0")
    text, number = ctypes.c_char_p, ctypes.c_uint
    inode, offset = ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(ctypes.c_int64)
    uuid = ctypes.POINTER(ctypes.c_uint8)
    handle = ctypes.c_void_p
    types: dict[str, tuple[Any, list[Any]]] = {
        "virInitialize": (ctypes.c_int, []),
        "virResetLastError": (None, []),
        "virGetLastError": (ctypes.POINTER(_Error), []),
        "virLogManagerNew": (handle, [ctypes.c_bool]),
        "virLogManagerFree": (None, [handle]),
        "virLogManagerDomainOpenLogFile": (
            ctypes.c_int,
            [handle, text, uuid, text, text, number, inode, offset],
        ),
        "virLogManagerDomainGetLogFilePosition": (
            ctypes.c_int,
            [handle, text, number, inode, offset],
        ),
        "virLogManagerDomainReadLogFile": (
            ctypes.c_void_p,
            [handle, text, ctypes.c_uint64, ctypes.c_int64, ctypes.c_size_t, number],
        ),
        "virLogManagerDomainAppendMessage": (
            ctypes.c_int,
            [handle, text, uuid, text, text, text, number],
        ),
    }
    for name, (result, arguments) in types.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class _Driver:
    """Calls, each of which gives a result that can be printed; inodes are told in order."""

    def __init__(self, privileged: bool) -> None:
        self._library = _library()
        assert self._library.virInitialize() == 0
        # As drivers tell users, not on standard error.
        self._quiet = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: None)
        self._library.virSetErrorFunc(None, self._quiet)
        self._privileged = privileged
        self._handle: int | None = None
        self._inodes: list[int] = []

    def connect(self) -> Any:
        """Make a new connection."""
        self.leave()
        self._handle = self._library.virLogManagerNew(self._privileged)
        return self._error() if self._handle is None else "connected"

    def leave(self) -> None:
        """End the connection."""
        if self._handle is not None:
            self._library.virLogManagerFree(self._handle)
            self._handle = None

    def open(self, path: str, flags: int = 0, uuid: Any = _UUID) -> tuple[int | None, Any]:
        """Open a log; give the pipe, and what to print."""
        place = self._place()
        pipe = self._library.virLogManagerDomainOpenLogFile(
            self._handle, b"qemu", uuid, b"demo", os.fsencode(path), flags, *place
        )
        if pipe < 0:
            return None, self._error()
        kind = stat.S_ISFIFO(os.fstat(pipe).st_mode) and os.get_blocking(pipe)
        return pipe, [*self._told(place), kind]

    def position(self, path: str, flags: int = 0) -> Any:
        """Ask for a position."""
        place = self._place()
        result = self._library.virLogManagerDomainGetLogFilePosition(
            self._handle, os.fsencode(path), flags, *place
        )
        return self._error() if result else self._told(place)

    def read(self, path: str, inode: int, offset: int, most: int = 131072, flags: int = 0) -> Any:
        """Read from a place on."""
        found = self._library.virLogManagerDomainReadLogFile(
            self._handle, os.fsencode(path), inode, offset, most, flags
        )
        if found is None:
            return self._error()
        data = ctypes.string_at(found)
        ctypes.CDLL(None).free(ctypes.c_void_p(found))
        return data.decode("latin-1")

    def append(self, path: str, message: bytes, flags: int = 0) -> Any:
        """Append a message."""
        result = self._library.virLogManagerDomainAppendMessage(
            self._handle, b"qemu", _UUID, b"demo", os.fsencode(path), message, flags
        )
        return self._error() if result < 0 else result

    def _place(self) -> tuple[Any, Any]:
        return ctypes.pointer(ctypes.c_uint64(0)), ctypes.pointer(ctypes.c_int64(-1))

    def _told(self, place: tuple[Any, Any]) -> list[int]:
        inode, offset = (each.contents.value for each in place)
        if inode not in self._inodes:
            self._inodes.append(inode)
        return [self._inodes.index(inode), offset]

    def _error(self) -> dict[str, Any]:
        error = self._library.virGetLastError().contents
        told = {
            name: value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
            for name in ("code", "domain", "message", "level", "str1", "str2", "int1", "int2")
            for value in [getattr(error, name)]
        }
        self._library.virResetLastError()
        return told


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def _start(driver: _Driver, tell: Callable[[Any], None], log: str) -> None:
    """Do as the QEMU driver does for a start that fails: its header, QEMU's words, its end."""
    pipe, told = driver.open(log)
    tell(told)
    assert pipe is not None
    for number in range(50):
        header = b"starting up, number %d\n" % number
        _write(pipe, header)
        tell(driver.position(log))
        inode, offset = os.stat(log).st_ino, os.stat(log).st_size
        _write(pipe, b"qemu-system-x86_64: no such option %d\n" % number)
        # (virtlogd reads no pipe for a read)
        tell(driver.position(log))
        tell(driver.read(log, inode, offset))
    os.close(pipe)
    tell(driver.connect())
    tell(driver.append(log, b"shutting down, reason=failed\n"))


def _use(driver: _Driver, tell: Callable[[Any], None], directory: str) -> None:
    """Use every call, and provoke every error that a driver may be told."""
    log = f"{directory}/serial.log"
    pipe, told = driver.open(log, _TRUNCATE)
    tell(told)
    assert pipe is not None
    _write(pipe, bytes(range(1, 256)) * 2000)
    tell(driver.position(log))
    inode = os.stat(log).st_ino
    tell(driver.read(log, inode, 509_990))
    tell(len(driver.read(log, inode, 0, 4 << 20)))
    tell(driver.append(log, b""))
    tell(driver.append(log, "grüße\n".encode()))
    tell(driver.position(log))
    missing = f"{directory}/missing/a.log"
    # (the same guest would get it, unlike from virtlogd)
    tell(driver.open(log, uuid=_OTHER_UUID)[1])
    tell(driver.open(missing)[1])
    tell(driver.open(directory)[1])
    tell(driver.open(directory, _TRUNCATE)[1])
    tell(driver.position(missing))
    tell(driver.position(log, 1))
    tell(driver.read(log, inode, 0, (4 << 20) + 1))
    tell(driver.read(log, inode, 0, 10, 1))
    tell(driver.read(f"{directory}/none.log", 1 << 40, 7))
    tell(driver.append(missing, b"x"))
    tell(driver.append(log, b"x", 4))
    tell(driver.append("/dev/full", b"x"))
    # After all that the connection is still good.
    tell(driver.position(log))
    os.close(pipe)


def main(mode: str, directory: str) -> None:
    """Do it all in a directory, with the daemon of the system or of the user's session."""
    driver = _Driver(privileged=mode == "system")
    told: list[Any] = [driver.connect()]
    _start(driver, told.append, f"{directory}/guest.log")
    _use(driver, told.append, directory)
    driver.leave()
    files = {path.name: path.read_bytes().decode("latin-1") for path in Path(directory).iterdir()}
    sys.stdout.write(json.dumps({"told": told, "files": files}))


if __name__ == "__main__":
    main(*sys.argv[1:])
