"""Makes text from elsewhere harmless: what a terminal would obey is shown, not sent to it.

Escaped is what is not printable as :meth:`str.isprintable` has it: the control characters (C0, DEL,
C1), those that change the direction of the text or are invisible, line and paragraph separators,
unassigned code points, and the bytes that are not UTF-8 (surrogates).
"""

from __future__ import annotations

#: A file's name has 255 bytes at most; this leaves some for what is put behind it.
_LONGEST_NAME = 200


class _Escapes(dict[int, str]):
    """A table for :meth:`str.translate`, filled as characters turn up."""

    def __missing__(self, code: int) -> str:
        self[code] = shown = chr(code) if chr(code).isprintable() else self.escape(code)
        return shown

    @staticmethod
    def escape(code: int) -> str:
        """Return a character as Python writes it, by its number."""
        return chr(code).encode("unicode_escape").decode("ascii")


class _JsonEscapes(_Escapes):
    @staticmethod
    def escape(code: int) -> str:
        """Return a character as JSON has it, those beyond 16 bits as two surrogates."""
        if code < 0x10000:
            return f"\\u{code:04x}"
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


_ESCAPES = _Escapes()
_JSON_ESCAPES = _JsonEscapes()


def visible(text: str) -> str:
    r"""Return a text with ``\n``, ``\xNN``, ``\uNNNN`` and the like for what is not printable.

    A backslash stays as it is, so that ordinary paths do not change.
    """
    return text if text.isprintable() else text.translate(_ESCAPES)


def visible_json(text: str) -> str:
    """Return a JSON text of the same value in which everything is printable.

    :param text: on one line, so that such characters are in its strings only.
    """
    return text if text.isprintable() else text.translate(_JSON_ESCAPES)


def as_file_name(name: bytes) -> str:
    """Return a name as one that a file can have; no two names become the same.

    :returns: at most 200 characters, among them no ``/`` and no ``@``.
    """
    # (a command that only shows text does not wait for these, and hardly anybody for OpenSSL)
    from urllib.parse import quote  # noqa: PLC0415

    text = quote(name, safe="")
    if len(text) <= _LONGEST_NAME:
        return text
    import hashlib  # noqa: PLC0415

    digest = hashlib.sha256(name).hexdigest()
    return text[: _LONGEST_NAME - len(digest)] + digest
