"""Searches files for lines, in a process of its own that may be ended at any time.

It is run by its path, without the package, so that it begins at once. A regular expression can
take for ever; then this process is ended, and nothing else has waited.

On standard input is a JSON object: ``pattern``, ``is_regex``, ``ignore_case``, ``most`` (how many
lines), and ``files``: descriptors and sizes. On standard output is a line for each line found: a
JSON array of the file's index, the offset of the line in it, and the line.
"""

from __future__ import annotations

import json
import mmap
import re
import sys
from collections.abc import Iterator

#: The exit status if the expression makes no sense; standard error says why.
BAD_PATTERN_STATUS = 2

_LONGEST_SHOWN = 400


def found(pattern: re.Pattern[bytes], data: mmap.mmap, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the bytes of each line that matches."""
    at = 0
    while at < size and (match := pattern.search(data, at)) is not None:
        start = data.rfind(b"\n", 0, match.start()) + 1
        end = data.find(b"\n", match.start())
        end = size if end < 0 else end
        shown = start if match.start() - start < _LONGEST_SHOWN else match.start()
        yield start, data[shown : min(end, shown + _LONGEST_SHOWN)]
        at = end + 1


def main() -> None:
    """Search what standard input says."""
    asked = json.load(sys.stdin)
    text = asked["pattern"].encode()
    flags = re.MULTILINE | (re.IGNORECASE if asked["ignore_case"] else 0)
    try:
        pattern = re.compile(text if asked["is_regex"] else re.escape(text), flags)
    except re.error as error:
        sys.stderr.write(str(error))
        sys.exit(BAD_PATTERN_STATUS)
    left = asked["most"]
    for index, (descriptor, size) in enumerate(asked["files"]):
        if not size:
            continue
        with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as data:
            for offset, line in found(pattern, data, size):
                text = json.dumps([index, offset, line.decode(errors="replace")])
                sys.stdout.write(f"{text}\n")
                left -= 1
                if not left:
                    return


if __name__ == "__main__":
    main()
