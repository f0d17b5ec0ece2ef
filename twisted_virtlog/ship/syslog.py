"""Lines of logs as messages of syslog (RFC 5424), with where they stand as structured data."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

from twisted_virtlog.ship.headers import position_text
from twisted_virtlog.ship.lines import Line
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.sink import Source

#: The structured data's name. (32473 is the number that RFC 5612 leaves to those who have none.)
STRUCTURED = "virtlog@32473"

# (facility "local0", severity "informational")
_PRIORITY = 16 * 8 + 6
# (of a host and a program RFC 5424 says so; the others leave room for a line)
_LONGEST_HOST = 255
_LONGEST_PROGRAM = 48
_LONGEST_PATH = 512
_LONGEST = 128
_HASH_DIGITS = 16
_MOST_MISSED = 2**63
#: Offsets may be longer in the middle of a message than at its ends, where a file is rolled over.
_MORE_DIGITS = 40
_NOBODY = "-"
_ESCAPED = re.compile(r'(["\\\]])')
_WITH_BACKSLASH = r"\\\1"
_NO_TOKEN = re.compile(r"[^!-~]")


def _token(text: str, most: int) -> str:
    """Return a name as a header has it: plain ASCII without blanks."""
    return _NO_TOKEN.sub("?", text)[:most] or _NOBODY


def _name(text: str, most: int) -> str:
    """Return a name in UTF-8; one that is too long is cut, and ends with a hash."""
    data = text.encode("utf-8", "surrogateescape")
    if len(data) > most:
        digest = f"~{hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]}"
        return data[: most - len(digest)].decode("utf-8", "replace") + digest
    # (a path need not be text; what cannot be said is replaced)
    return data.decode("utf-8", "replace")


def _members(said: dict[str, str]) -> str:
    return "".join(
        f' {name}="{_ESCAPED.sub(_WITH_BACKSLASH, value)}"' for name, value in said.items()
    )


class SyslogWriter:
    """Writes the lines of one source."""

    def __init__(self, source: Source, now: datetime) -> None:
        """Prepare what all lines have in common.

        :param now: when they came, an aware time.
        """
        domain = source.domain
        said = {"path": _name(source.path, _LONGEST_PATH), "driver": _name(source.driver, _LONGEST)}
        if domain is not None:
            said |= {"uuid": domain.uuid, "domain": _name(domain.name, _LONGEST)}
        program = source.driver if domain is None else domain.name
        self._head = (
            f"<{_PRIORITY}>1 {now.isoformat(timespec='microseconds')}"
            f" {_token(source.host, _LONGEST_HOST)} {_token(program, _LONGEST_PROGRAM)} - -"
            f" [{STRUCTURED}{_members(said)}"
        )

    def message(self, line: Line) -> bytes:
        """Return a line as a message."""
        said = {"start": position_text(line.start), "end": position_text(line.end)}
        if line.cut is not None:
            said["cut"] = line.cut
        if line.gap:
            said["missed"] = "unknown" if line.missed is None else str(line.missed)
        return f"{self._head}{_members(said)}] ".encode() + line.data

    def longest_beside(self, message: Message) -> int:
        """Return how many bytes may stand beside a line of a message."""
        line = Line(b"", message.start, message.end, False, False, True, _MOST_MISSED)
        return len(self.message(line)) + _MORE_DIGITS
