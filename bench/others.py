"""Those beside whatever disturbs: many logs that print a little, and who asks for their positions.

They are watched twice in a sample, alone and beside it. They run before all else on the load's
processor, where that is allowed, so that what they wait for is the daemon.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.figures import LONGEST, LONGEST_WRITE, P50, P99, Figures, Stand
from bench.load import LINE_BYTES, tail
from bench.noise import urgent
from bench.rpc import position_request
from bench.writing import Wrong, files

#: The logs of others, and what is written to all of them together: a line a tenth of a second.
OTHERS = 64
_LINES_A_SECOND = 640.0

#: From one question to the next.
_EVERY_SECONDS = 0.002
#: Of a log, with the backups.
_MOST_FILES = 4

USED_P99, USED_LONGEST = "p99 CPU us", "longest CPU us"
THEIR_LINES = "lines beside it/alone"
DAEMON_BUSY = "daemon busy"


def alone(name: str) -> str:
    """Give the name of a figure that was measured without what disturbs."""
    return f"{name}, alone"


@dataclass(frozen=True)
class Light:
    """What the others print.

    :ivar size: bytes of a line.
    :ivar rate: lines a second of all together.
    """

    size: int = LINE_BYTES
    rate: float = _LINES_A_SECOND


LIGHT = Light()
#: What is little where each byte begins a new file.
BYTE_BY_BYTE = Light(1, 320.0)


@dataclass(frozen=True)
class Phase:
    """What they saw for a while; times are seconds.

    :ivar used_p99: processor time of the daemon; likewise ``used_longest``.
    :ivar lines: written a second.
    :ivar busy: the share of a processor that the daemon used.
    """

    p50: float
    p99: float
    longest: float
    used_p99: float
    used_longest: float
    longest_write: float
    lines: float
    busy: float


class Others:
    """The logs."""

    def __init__(
        self, stand: Stand, paths: Sequence[str], pipes: Sequence[int], light: Light
    ) -> None:
        self._stand = stand
        self._paths = paths
        self._pipes = pipes
        self._light = light
        self._written = [b""] * len(paths)

    def watch(self, seconds: float = 0.0) -> Phase:
        """Print, and ask for their positions in turn.

        :param seconds: how long; 0 for a usual sample.
        """
        stand, size = self._stand, self._light.size
        used = stand.target.cpu()
        with urgent():
            with stand.generator.printing(self._pipes, size, self._light.rate) as seen:
                called = stand.generator.call(
                    stand.target.socket,
                    [position_request(path) for path in self._paths],
                    seconds=seconds or stand.seconds,
                    every=_EVERY_SECONDS,
                    daemon=stand.target.pid,
                )
            # All that was printed has landed. (One after another: many at once are an abuse.)
            with stand.target.client() as client:
                for path in self._paths:
                    client.position(path)
            (written,) = seen
            lasted = time.monotonic() - written.began
        for number, count in enumerate(written.records):
            self._written[number] += tail(count, size, count * size)
        return Phase(
            p50=called.p50,
            p99=called.p99,
            longest=called.longest,
            used_p99=called.used_p99,
            used_longest=called.used_longest,
            longest_write=written.longest,
            lines=sum(written.records) / lasted,
            busy=(stand.target.cpu() - used) / lasted,
        )

    def check(self) -> None:
        """Compare their files with what was written.

        :raises Wrong: they differ.
        """
        for path, expected in zip(self._paths, self._written, strict=True):
            found = files(path)
            kept = b"".join(file.read_bytes() for file in found)
            complete = kept == expected or len(found) == _MOST_FILES
            if not complete or not expected.endswith(kept):
                raise Wrong(f"{path}: the {len(kept)} bytes kept are not what was written")


def compared(before: Phase, during: Phase) -> Figures:
    """Make figures of what they saw alone and beside what disturbs."""
    figures = {
        alone(P50): before.p50 * 1e6,
        P50: during.p50 * 1e6,
        alone(P99): before.p99 * 1e6,
        P99: during.p99 * 1e6,
        alone(LONGEST): before.longest * 1e6,
        LONGEST: during.longest * 1e6,
        LONGEST_WRITE: during.longest_write * 1e3,
        THEIR_LINES: during.lines / before.lines,
        DAEMON_BUSY: during.busy,
    }
    if during.used_longest:
        figures |= {
            USED_P99: during.used_p99 * 1e6,
            USED_LONGEST: during.used_longest * 1e6,
        }
    return figures
