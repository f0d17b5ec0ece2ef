"""The frames of RELP, the reliable event logging protocol of rsyslog."""

from __future__ import annotations

import re
from typing import NamedTuple

from twisted_virtlog import __version__

OPEN, SYSLOG, CLOSE, ANSWER = b"open", b"syslog", b"close", b"rsp"
#: The server's hint that it ends the session, with the number 0.
SERVER_CLOSES = b"serverclose"

#: What is offered when a session is opened.
OFFERS = (
    f"relp_version=0\nrelp_software=virtlog-ship,{__version__},"
    "https://pypi.org/project/twisted-virtlog/\ncommands=syslog"
).encode()

#: The highest number of a frame; then they begin with 1 again.
LAST_NUMBER = 999_999_999

_LONGEST_HEAD = 64
_LONGEST_DATA = 128 * 1024
_LONGEST_TOLD = 200
_HEAD = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
_END = 0x0A


class WrongFrame(Exception):
    """What came is no frame of RELP, or none that a client should get."""


class Frame(NamedTuple):
    """A command, or the answer to one of the same number."""

    number: int
    command: bytes
    data: bytes = b""

    def encode(self) -> bytes:
        """Return the bytes of it."""
        data = b" " + self.data if self.data else b""
        return b"%d %s %d%s\n" % (self.number, self.command, len(self.data), data)


class Answer(NamedTuple):
    """What an answer says.

    :ivar code: 200 if the command was carried out.
    :ivar text: more of it, such as what a server offers.
    """

    code: int
    text: str

    def __str__(self) -> str:
        """Return it in one line, for people."""
        line, _, _ = self.text.partition("\n")
        return f"{self.code} {line[:_LONGEST_TOLD]}"


def answer_of(frame: Frame) -> Answer:
    """Return what an answer says.

    :raises WrongFrame: it says nothing.
    """
    code, _, text = frame.data.partition(b" ")
    if frame.command != ANSWER or len(code) != 3 or not code.isdigit():
        raise WrongFrame(f"this is no answer: {bytes(frame.command + b' ' + frame.data)[:80]!r}")
    return Answer(int(code), text.decode("utf-8", "replace"))


def takes_syslog(answer: Answer) -> bool:
    """Return whether the answer to ``open`` says that the server takes logs."""
    for offer in answer.text.splitlines():
        name, _, value = offer.partition("=")
        if name.strip() == "commands":
            return "syslog" in value.split(",")
    return False


def next_number(number: int) -> int:
    """Return the number after one."""
    return 1 if number >= LAST_NUMBER else number + 1


class FrameReader:
    """Finds the frames in what comes."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._came = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take what came; return the frames that are whole.

        :raises WrongFrame: there are none in this.
        """
        self._came += data
        found = []
        while (frame := self._next()) is not None:
            found.append(frame)
        return found

    def _next(self) -> Frame | None:
        came = self._came
        head = _HEAD.match(came)
        if head is None:
            if len(came) >= _LONGEST_HEAD:
                raise WrongFrame(f"this is no frame: {bytes(came[:_LONGEST_HEAD])!r}")
            return None
        number, command, size = int(head[1]), bytes(head[2]), int(head[3])
        if size > _LONGEST_DATA or (size and head[4] == b"\n"):
            raise WrongFrame(f"this is no frame: {bytes(head[0])!r}")
        begin = head.end()
        end = begin + size
        if head[4] == b"\n":
            # (without data, not even a blank)
            end -= 1
        if len(came) <= end:
            return None
        if came[end] != _END:
            raise WrongFrame(f"this frame has no end: {bytes(head[0])!r}")
        data = bytes(came[begin:end])
        del head
        del came[: end + 1]
        return Frame(number, command, data)
