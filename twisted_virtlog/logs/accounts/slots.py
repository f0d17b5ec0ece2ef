"""A slot in memory: its words, and the two rows of which one holds; see layout.py."""

from __future__ import annotations

from array import array

from twisted_virtlog.logs.accounts.layout import ACTIVE, ROW, ROWS, SLOT


class Slot:
    """Some counts that are changed all at once.

    :ivar words: the memory.
    :ivar slot: the first word of the slot.
    :ivar at: the first word of the row that holds.
    """

    __slots__ = ("at", "slot", "words")

    def __init__(self, words: memoryview, slot: int) -> None:
        """Go on with what the slot says; one of zeros is a new one.

        :param words: signed ones of 64 bits.
        """
        self.words = words
        self.slot = slot
        self.at = slot + (words[slot + ACTIVE] or ROWS)

    def content(self) -> array[int]:
        """Return all words as they are at a moment; any thread may ask."""
        return array("q", self.words[self.slot : self.slot + SLOT].tobytes())

    def row(self) -> array[int]:
        """Return the row that holds, to be changed."""
        return array("q", self.words[self.at : self.at + ROW].tobytes())

    def hold(self, row: array[int]) -> None:
        """Let another row hold from now on."""
        other = ROWS + ROW if self.at == self.slot + ROWS else ROWS
        at = self.slot + other
        self.words[at : at + ROW] = memoryview(row)
        self.words[self.slot + ACTIVE] = other
        self.at = at


def active_row(words: array[int]) -> array[int]:
    """Return the row that holds of all words of a slot."""
    at = words[ACTIVE] or ROWS
    return words[at : at + ROW]
