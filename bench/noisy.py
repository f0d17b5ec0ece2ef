"""A load in which one guest of many floods its log, which has a rate or none."""

from __future__ import annotations

import re
import time
from datetime import datetime

from bench import abuses
from bench.abused import SETTLING_SECONDS
from bench.abuser import burning
from bench.abuses import Scene
from bench.figures import MIB, Figures, Stand
from bench.others import LIGHT, OTHERS, Others, compared
from bench.writing import Wrong, files, opened

#: Bytes a second. In the time of a load that is less than a file.
RATE = 64 * 1024
SETTINGS = (f"rate = {RATE}",)

#: The flood lasts for this multiple of a sample's time, 10 s, and as long as it takes to see it.
_TIMES = 20 / 3
_LEAST_SECONDS = 4.0

#: The last notice comes within a second or so.
_TOLD_SECONDS = 5.0
_LOOK_SECONDS = 0.05

FLOOD, TIMES, OF_RATE = "flood MiB/s", "p99 times alone", "written/rate"

_NOTICE = re.compile(rb"\n?\[virtlogd: (\d+) bytes lost from [^\n]* to ([^\n]*): over its rate.*\n")


def beside(stand: Stand, limited: bool) -> Figures:
    """Ask for positions and print beside a guest that writes as fast as it can.

    :param limited: its log has a rate, of which it must get what it may.
    """
    with opened(stand, OTHERS + 1) as (paths, pipes):
        scene = Scene(stand, paths[-1], pipes[-1])
        others = Others(stand, paths[:-1], pipes[:-1], LIGHT)
        with burning(stand.generator):
            before = others.watch()
        began = time.monotonic()
        with abuses.writing(scene):
            time.sleep(SETTLING_SECONDS)
            during = others.watch(max(_LEAST_SECONDS, stand.seconds * _TIMES))
        lasted = time.monotonic() - began
        others.check()
        (flooded,) = scene.moved
        figures = {
            **compared(before, during),
            TIMES: during.p99 / before.p99,
            FLOOD: flooded / MIB / lasted,
        }
        if limited:
            figures[OF_RATE] = _of_rate(scene.path, flooded)
        return figures


def _of_rate(path: str, flooded: int) -> float:
    """Return what the log took a second, from its first notice to its last, in parts of its rate.

    :param flooded: bytes that its guest wrote.
    :raises Wrong: a byte is neither in the file nor said to be lost.
    """
    until = time.monotonic() + _TOLD_SECONDS
    while True:
        (file,) = files(path)
        text = file.read_bytes()
        notices = list(_NOTICE.finditer(text))
        said = sum(len(one.group()) for one in notices)
        lost = sum(int(one.group(1)) for one in notices)
        # (a notice begins a line, perhaps with a line end of its own; and of its last write, which
        # does not count as one, the guest may have written a part)
        if -abuses.WRITE_BYTES < flooded - lost - (len(text) - said) <= len(notices):
            break
        if time.monotonic() > until:
            kept = len(text) - said
            raise Wrong(f"{path}: {kept} bytes are kept and {lost} lost of {flooded}")
        time.sleep(_LOOK_SECONDS)
    first, *between, last = notices
    taken = last.start() - first.end() - sum(len(one.group()) for one in between)
    times = [datetime.fromisoformat(one.group(2).decode()) for one in (first, last)]
    return taken / (times[1] - times[0]).total_seconds() / RATE
