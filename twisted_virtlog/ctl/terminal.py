r"""Makes what guests print harmless on a terminal; colours may stay.

A terminal obeys what it is shown: it can be made to lie about what was there, to answer as if
somebody typed, or to stay unusable. So

- sequences that set colours, or make text bold, underlined and the like, stay; the colours end with
  their line. Those that hide text, or make it blink, do not stay;
- other sequences that are whole and short (they move the cursor, erase, set modes) are left out, as
  all boot loaders and many kernels print them between their texts;
- all else that is not printable is shown as ``\x1b`` or ``\u202e``: sequences that are followed by
  a text (titles, the clipboard, links), broken ones, control characters, bytes that are not UTF-8.

Nothing is swallowed, so nothing of a text can be hidden in a sequence. A line stays a line: a
carriage return within it, after which a terminal would write over what is there, is shown as
``\r``. At the beginning and at the end of a line it does nothing and is left out.
"""

from __future__ import annotations

import codecs
import re

from twisted_virtlog.escaping import visible

#: The longest sequence that is told from text; a colour of 24 bits before another takes 40.
_MAX_PARAMETERS = 64
_MAX_INTERMEDIATES = 4

_PARAMETERS = f"[0-?]{{0,{_MAX_PARAMETERS}}}[ -/]{{0,{_MAX_INTERMEDIATES}}}"
_INTERMEDIATES = f"[ -/]{{0,{_MAX_INTERMEDIATES}}}"

#: What a text is made of, plain text first. Those that begin a text (P, X, ], ^, _) are none of the
#: short sequences.
_PART = re.compile(
    rf"(?P<plain>[\t -~]+)|(?P<newline>\r*\n)|(?P<carriage_return>\r+)"
    rf"|(?P<control>\x1b\[{_PARAMETERS}[@-~])|(?P<short>\x1b{_INTERMEDIATES}[0-OQ-WYZ\\`-~])"
    rf"|(?P<other>\x1b|[^\t\n\r\x1b -~]+)"
)
#: A sequence that may go on in what comes next, and the most characters that one has.
_UNFINISHED = re.compile(rf"\x1b(?:\[{_PARAMETERS}|{_INTERMEDIATES})\Z")
_MAX_UNFINISHED = 2 + _MAX_PARAMETERS + _MAX_INTERMEDIATES

_NUMBER = "[0-9]{1,3}"
_COLOUR = (
    f"[345]8(?:;5;{_NUMBER}|:5:{_NUMBER}|;2(?:;{_NUMBER}){{3}}"
    f"|:2(?::(?:{_NUMBER})?)?(?::{_NUMBER}){{3}})"
)
#: Not 5 and 6, which blink, and not 8, which hides.
_ATTRIBUTE = "(?:0{0,2}(?:[0-479]|2[1-9]|[34][0-79]|5[359]|9[0-7]|10[0-7])|4:[0-5])?"
_ONE = f"(?:{_COLOUR}|{_ATTRIBUTE})"
_COLOURS = re.compile(rf"\x1b\[{_ONE}(?:;{_ONE})*m")
_RESETS = ("\x1b[m", "\x1b[0m")
_RESET = "\x1b[0m"


class TerminalFilter:
    """Filters one log on its way to a terminal, in pieces of any size.

    However the bytes are cut, the same comes out.
    """

    def __init__(self, colours: bool = True, utf8: bool = True) -> None:
        """Begin at the beginning of a line.

        :param colours: whether they may stay.
        :param utf8: whether the terminal takes UTF-8; if not, all but ASCII is shown as escapes.
        """
        self._colours = colours
        self._encoding = "utf-8" if utf8 else "ascii"
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._unfinished = ""
        self._coloured = False
        #: Whether nothing was shown on this line.
        self._is_empty = True
        #: Whether the cursor would be at the beginning of a line on which something was shown.
        self._returned = False

    def feed(self, data: bytes) -> bytes:
        """Return what of the next bytes can be shown, and of what was kept before.

        At most a sequence that is not complete is kept.
        """
        text = self._unfinished + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text, max(0, len(text) - _MAX_UNFINISHED))
        self._unfinished = "" if unfinished is None else unfinished[0]
        return self._shown(text if unfinished is None else text[: unfinished.start()])

    def end(self) -> bytes:
        """Return what was kept, and the end of the last line's colours."""
        text = self._unfinished + self._decoder.decode(b"", final=True)
        self._unfinished = ""
        return self._shown(text) + self._end_of_colours().encode()

    def _shown(self, text: str) -> bytes:
        parts: list[str] = []
        for part in _PART.finditer(text):
            kind = part.lastgroup
            if kind == "plain":
                self._print(part[0], parts)
            elif kind == "newline":
                parts.append(self._end_of_colours() + "\n")
                self._is_empty, self._returned = True, False
            elif kind == "carriage_return":
                self._returned = not self._is_empty
            elif kind == "control":
                self._control(part[0], parts)
            elif kind == "other":
                self._print(visible(part[0]), parts)
        return "".join(parts).encode(self._encoding, "backslashreplace")

    def _print(self, text: str, parts: list[str]) -> None:
        if self._returned:
            parts.append("\\r")
            self._returned = False
        parts.append(text)
        self._is_empty = False

    def _control(self, sequence: str, parts: list[str]) -> None:
        if self._colours and _COLOURS.fullmatch(sequence):
            parts.append(sequence)
            self._coloured = sequence not in _RESETS

    def _end_of_colours(self) -> str:
        if not self._coloured:
            return ""
        self._coloured = False
        return _RESET
