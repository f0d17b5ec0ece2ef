"""Rotation, slow and plain: bytes in a dict instead of files, one rule after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

CHUNK = 1024


@dataclass
class Model:
    """The files of one log as virtlogd would leave them.

    :ivar files: what is in them, by what is added to the log's path.
    """

    max_size: int
    max_backups: int
    files: dict[str, bytes] = field(default_factory=dict)

    def pipe(self, data: bytes) -> None:
        """Take what one write put into the pipe."""
        for begin in range(0, len(data), CHUNK):
            self.chunk(data[begin : begin + CHUNK])

    def chunk(self, data: bytes) -> None:
        """Take one chunk."""
        self.files.setdefault("", b"")
        while data:
            here = self.files[""]
            room = self.max_size - len(here)
            if self.max_size == 0 or len(data) <= room:
                self.files[""] = here + data
                return
            if room < 0:
                self.roll()
                continue
            taken, full = room, False
            for index in range(room - 1, max(room - 80, 0) - 1, -1):
                if data[index : index + 1] == b"\n":
                    taken, full = index + 1, True
                    break
            self.files[""] = here + data[:taken]
            data = data[taken:]
            if full or data:
                self.roll()

    def roll(self) -> None:
        """Begin a new file."""
        names = ["", *(f".{number}" for number in range(self.max_backups))]
        for newer, older in reversed(list(pairwise(names))):
            if newer in self.files:
                self.files[older] = self.files.pop(newer)
        self.files[""] = b""
