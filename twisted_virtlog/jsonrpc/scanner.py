"""Find where a JSON text ends, however its bytes are split, looking at each byte once."""

from __future__ import annotations

import re
from typing import TypeAlias

#: Texts nested deeper are refused. JSON-RPC needs four levels. Python's own limit, which also holds
#: for the decoder, is about 1000, less what is on the stack already.
MAX_DEPTH = 512

WHITE_SPACE = b" \t\r\n"

Buffer: TypeAlias = "bytes | bytearray"

_NEWLINE, _QUOTE, _BACKSLASH = b'\n"\\'
_CLOSER_OF = {ord("{"): ord("}"), ord("["): ord("]")}
_ARRAY_END = ord("]")

# Each pattern skips what does not matter at C speed. The repetitions are bounded because Python's
# re keeps a record of each round until the match is complete.
_BETWEEN_BRACKETS = re.compile(rb'[^"{}\[\]]*(?:"[^"\\\n]*"[^"{}\[\]]*){0,1000}')
_INSIDE_STRING = re.compile(rb'[^"\\\n]*(?:\\[^\n][^"\\\n]*){0,1000}')
_SCALAR = re.compile(rb'[^"{}\[\], \t\r\n]*')


#: After so many steps, each past a bracket or a quote, a scan pauses: a text of brackets alone
#: would keep the reactor. They take about a share of its time.
_STEPS_AT_ONCE = 256


class Broken(Exception):
    """These bytes cannot be a JSON text.

    :ivar resume: the index in the buffer at which the stream may continue.
    :ivar at_text: whether a new text begins at ``resume``; otherwise skip the line there.
    """

    def __init__(self, message: str, resume: int, at_text: bool = False) -> None:
        super().__init__(message)
        self.resume = resume
        self.at_text = at_text


class Scanner:
    """Looks for the end of one text in a buffer that grows between calls.

    It follows only strings and brackets, and leaves it to the decoder to say whether the text is
    JSON. It refuses what makes the end uncertain: brackets that do not match, a raw newline in a
    string, and an opening bracket where a value may not stand, which is what a line that was cut
    short looks like when the next request follows.

    :param start: the index of the text's first byte.
    :ivar paused: it stopped before the limit, to let others have the reactor; call it again.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self.paused = False
        self._position = start
        self._in_string = False
        self._closers = bytearray()
        self._last_significant = 0

    def moved(self, distance: int) -> None:
        """Adapt to a buffer that dropped bytes before the text."""
        self.start -= distance
        self._position -= distance

    def find_end(self, buffer: Buffer, limit: int, ended: bool) -> int | None:
        """Return the index after the last byte of the text.

        :param limit: look no further than this index, which is at most the buffer's length.
        :param ended: whether nothing will follow what is in the buffer.
        :returns: None if the text continues after the limit, or if the scan has paused.
        :raises Broken: this cannot be a JSON text.
        """
        if self._in_string or self._closers:
            return self._find_end_of_container(buffer, limit)
        first = buffer[self.start]
        if first == _QUOTE:
            self._in_string = True
            self._position += 1
            return self._find_end_of_container(buffer, limit)
        if first in _CLOSER_OF:
            return self._find_end_of_container(buffer, limit)
        return self._find_end_of_scalar(buffer, limit, ended)

    def _find_end_of_scalar(self, buffer: Buffer, limit: int, ended: bool) -> int | None:
        found = _SCALAR.match(buffer, self._position, limit)
        self._position = found.end() if found else limit
        if self._position == self.start:
            raise Broken(f"no text begins with {chr(buffer[self.start])!r}", self.start)
        return self._position if ended or self._position < limit else None

    def _find_end_of_container(self, buffer: Buffer, limit: int) -> int | None:
        self.paused = False
        steps_left = _STEPS_AT_ONCE
        while self._position < limit:
            if not steps_left:
                self.paused = True
                return None
            steps_left -= 1
            if self._in_string:
                if not self._leave_string(buffer, limit):
                    return None
            else:
                self._pass_to_bracket(buffer, limit)
                if self._position >= limit:
                    return None
                self._take_bracket(buffer)
            if not self._closers and not self._in_string:
                return self._position
        return None

    def _leave_string(self, buffer: Buffer, limit: int) -> bool:
        """Advance past the closing quote; return whether it is there."""
        found = _INSIDE_STRING.match(buffer, self._position, limit)
        self._position = found.end() if found else limit
        if self._position >= limit:
            return False
        stop = buffer[self._position]
        if stop == _BACKSLASH:
            if self._position + 1 >= limit:
                return False
            if buffer[self._position + 1] != _NEWLINE:
                return True
            self._position += 1
            stop = _NEWLINE
        if stop == _NEWLINE:
            raise Broken("a string holds a newline that is not escaped", self._position)
        self._position += 1
        self._in_string = False
        self._last_significant = _QUOTE
        return True

    def _pass_to_bracket(self, buffer: Buffer, limit: int) -> None:
        """Advance to the next bracket, or the quote of a string that the pattern does not skip."""
        begin = self._position
        found = _BETWEEN_BRACKETS.match(buffer, begin, limit)
        self._position = found.end() if found else limit
        if self._position > begin:
            last = buffer[self._position - 1]
            if last in WHITE_SPACE:
                significant = bytes(buffer[begin : self._position]).rstrip(WHITE_SPACE)
                last = significant[-1] if significant else self._last_significant
            self._last_significant = last

    def _take_bracket(self, buffer: Buffer) -> None:
        byte = buffer[self._position]
        if byte == _QUOTE:
            self._in_string = True
        elif byte in _CLOSER_OF:
            self._check_opening(buffer)
            self._closers.append(_CLOSER_OF[byte])
        elif self._closers[-1] != byte:
            raise Broken(f"{chr(byte)!r} instead of {chr(self._closers[-1])!r}", self._position)
        else:
            del self._closers[-1]
        self._last_significant = byte
        self._position += 1

    def _check_opening(self, buffer: Buffer) -> None:
        if len(self._closers) >= MAX_DEPTH:
            raise Broken(f"nested deeper than {MAX_DEPTH} levels", self._position)
        if not self._closers or self._last_significant == ord(":"):
            return
        if self._closers[-1] == _ARRAY_END and self._last_significant in b"[,":
            return
        # If the new text is on a line of its own, only the broken one is lost.
        line_start = buffer.rfind(b"\n", self.start, self._position) + 1
        first_on_line = line_start and not buffer[line_start : self._position].strip(WHITE_SPACE)
        raise Broken(
            "a text begins before the last one ended", self._position, at_text=bool(first_on_line)
        )
