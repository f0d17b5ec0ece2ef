"""Measures what it takes to compress backups, and to read them.

    python -m bench.packing
    python -m bench.packing --mib 64 FILE...

For each kind of text: how much smaller a file of 2 MiB becomes, the processor's time for a
mebibyte, and how long it takes to read 64 KiB from anywhere in it, from memory. Texts are made as
consoles print them; files that are named are measured, too.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.figures import MIB
from bench.search import write_files
from twisted_virtlog.packed.format import Origin
from twisted_virtlog.packed.making import pack
from twisted_virtlog.packed.reading import read_packed

_FILE_BYTES = 2 * MIB
_READ_BYTES = 64 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mib", type=int, default=16, help="mebibytes of each kind of text")
    parser.add_argument("--reads", type=int, default=2000, help="how often each is read")
    parser.add_argument("files", nargs="*", type=Path, help="texts to measure, too")
    options = parser.parse_args(arguments)
    texts: dict[str, bytes] = {name: make(options.mib * MIB) for name, make in _TEXTS.items()}
    texts.update((path.name, path.read_bytes()[: options.mib * MIB]) for path in options.files)
    print("text                 ratio  ms/MiB  64 KiB: median ms    p99 ms")
    for name, text in texts.items():
        print(_measured(name, text, options.reads))
    return 0


def _measured(name: str, text: bytes, most: int) -> str:
    packed, spent, reads = 0, 0.0, list[float]()
    files = [text[at : at + _FILE_BYTES] for at in range(0, len(text), _FILE_BYTES)]
    chance = random.Random(1)
    for data in files:
        source, target = os.memfd_create("source"), os.memfd_create("target")
        try:
            os.pwrite(source, data, 0)
            begun = time.process_time()
            for _ in pack(source, target, Origin(1, "h1.x", len(data))):
                pass
            spent += time.process_time() - begun
            packed += os.fstat(target).st_size
            for _ in range(-(-most // len(files))):
                reads.append(_read_time(target, chance.randrange(max(1, len(data) - _READ_BYTES))))
        finally:
            os.close(source)
            os.close(target)
    reads.sort()
    return (
        f"{name[:20]:20} {len(text) / packed:5.1f}  {spent * 1000 / (len(text) / MIB):6.1f}"
        f"  {median(reads) * 1000:17.2f}  {reads[int(len(reads) * 0.99)] * 1000:8.2f}"
    )


def _read_time(file: int, offset: int) -> float:
    """Return how long it takes to read 64 KiB, which may be in two frames."""
    begun, left = time.perf_counter(), _READ_BYTES
    while left and (data := read_packed(file, offset, left)):
        offset += len(data)
        left -= len(data)
    return time.perf_counter() - begun


def _console(size: int) -> bytes:
    """Return lines of the kernel's words in any order."""
    with tempfile.TemporaryDirectory() as directory:
        paths = write_files(Path(directory), max(2, size // MIB))
        return b"".join(path.read_bytes() for path in paths)[:size]


def _boots(size: int) -> bytes:
    """Return the same boot again and again, with other times and addresses."""
    chance = random.Random(2)
    lines = _console(256 * 1024).splitlines(keepends=True)
    found = []
    while size > 0:
        for number, line in enumerate(lines):
            text = b"[%12.6f] %x %s" % (
                number / 977 + chance.random(),
                chance.getrandbits(32),
                line,
            )
            found.append(text)
            size -= len(text)
    return b"".join(found)


def _numbers(size: int) -> bytes:
    """Return lines that are mostly numbers that nobody can guess."""
    chance = random.Random(3)
    return b"".join(b"%016x %08x\n" % (chance.getrandbits(64), n) for n in range(size // 26))


_TEXTS: Mapping[str, Callable[[int], bytes]] = {
    "console": _console,
    "repeated boots": _boots,
    "hexadecimal numbers": _numbers,
}


if __name__ == "__main__":
    sys.exit(main())
