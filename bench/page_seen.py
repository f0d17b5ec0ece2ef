"""When somebody sees in a browser what a guest writes, and what that costs the browser."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.figures import MIB, lower, shown
from bench.page_browser import Look, looking
from bench.page_crowds import Found
from bench.page_program import Stand, opened, serving
from bench.page_readers import reading
from bench.printing import DIGITS, LINE_BYTES
from harness.daemon import running

_LINES_A_SECOND = 10
_FLOOD_MIB_A_SECOND = 12

#: Notes when a line is drawn; each begins with the time at which it was written.
_WATCH_LINES = """() => {
  const known = new Set();
  window.late = [];
  const look = () => {
    const now = performance.timeOrigin + performance.now();
    const text = document.querySelector(".xterm-rows").textContent;
    for (const [, stamp] of text.matchAll(/@(\\d+)@/g)) {
      if (!known.has(stamp)) window.late.push(now - Number(stamp) / 1e6);
      known.add(stamp);
    }
  };
  const options = { childList: true, subtree: true, characterData: true };
  new MutationObserver(look).observe(document.querySelector(".xterm-rows"), options);
}"""
#: Notes how long ago the last line was written, again and again, and what was said to be missing.
_WATCH_FLOOD = """() => {
  window.longest = 0;
  window.missed = 0;
  const parse = JSON.parse;
  JSON.parse = (text) => {
    const value = parse(text);
    window.missed += value?.missed ?? 0;
    return value;
  };
  window.behind = 0;
  window.watching = setInterval(() => {
    const stamps = window.shown.lines(40).map((line) => /@(\\d+)@/.exec(line)?.[1]);
    const last = stamps.findLast((stamp) => stamp !== undefined);
    if (last === undefined) return;
    const behind = performance.timeOrigin + performance.now() - Number(last) / 1e6;
    window.behind = Math.max(window.behind, behind);
  }, 100);
}"""
_JUMP = """async ([at, wanted]) => {
  const begun = performance.now();
  window.shown.go(at);
  await new Promise((resolve) => {
    const look = () => {
      const first = document.querySelector(".xterm-rows").firstElementChild;
      if (first.textContent.startsWith(wanted)) resolve();
      else setTimeout(look, 2);
    };
    look();
  });
  return performance.now() - begun;
}"""
_LOADED = """() => [
  ...performance.getEntriesByType("navigation"),
  ...performance.getEntriesByType("resource").filter((one) => !one.name.includes("/api/")),
].reduce((sum, one) => sum + one.encodedBodySize, 0)"""
_STAMP = b"@" * 21


def line(number: int) -> bytes:
    """Return a line of which none is like another."""
    return b"line %08d of what a guest says on its console, as long as such lines are\r\n" % number


def seen(stand: Stand, others: int) -> Iterator[Found]:
    """Write lines to a log that others follow, too, until they are drawn."""
    with opened(stand, 1) as (paths, pipes), looking() as look:
        look.open(stand.program, paths[0])
        os.write(pipes[0], b"%0*d first\r\n" % (DIGITS, 0))
        look.wait_for_line("first")
        look.ask(_WATCH_LINES)
        with reading(stand.program, paths * others):
            for number in range(int(_LINES_A_SECOND * stand.seconds)):
                stamped = b"%0*d @%d@ %d" % (DIGITS, time.monotonic_ns(), time.time_ns(), number)
                os.write(pipes[0], stamped.ljust(LINE_BYTES - 1, b".") + b"\n")
                time.sleep(1 / _LINES_A_SECOND)
            look.wait_for_line(f" {number}.")
            late = sorted(look.ask("() => window.late"))
    yield lower(f"visible, {others} others, p50 ms", 25, of_own=True), median(late)
    yield lower(f"visible, {others} others, p99 ms", 60, of_own=True), late[int(len(late) * 0.99)]


def flood(stand: Stand) -> Iterator[Found]:
    """Write much to a log that is looked at, at an even rate."""
    with opened(stand, 1) as (paths, pipes), looking() as look:
        look.open(stand.program, paths[0])
        os.write(pipes[0], b"first\r\n")
        look.wait_for_line("first")
        look.ask(_WATCH_FLOOD)
        busy = look.busy_seconds()
        begun = time.monotonic()
        sent = len(b"first\r\n") + _pour(look, pipes[0], stand.seconds, _FLOOD_MIB_A_SECOND)
        taken = time.monotonic() - begun
        longest, behind = look.ask("() => [window.longest, window.behind]")
        busy = look.busy_seconds() - busy
        missed = int(look.ask("() => window.missed"))
        told = _told(look) + missed
        skipped = sum(
            "were skipped here" in line for line in look.ask("() => window.shown.lines()")
        )
    yield lower("flood: longest task, ms", 200, of_own=True), longest
    yield lower("flood: behind at most, ms", 2000, of_own=True), behind
    yield lower("flood: bytes that are missing unsaid", 0, of_own=True), abs(sent - told)
    yield shown("flood: MiB/s"), sent / MIB / taken
    yield shown("flood: page's thread, % of a processor"), busy / taken * 100
    yield shown("flood: parts skipped, of those still shown"), skipped
    yield shown("flood: MiB that were rotated away first"), missed / MIB


def memory(stand: Stand, mib: int) -> Iterator[Found]:
    """Look at a log that very much comes to; see what the page takes in the end."""
    with opened(stand, 1) as (paths, pipes), looking() as look:
        look.open(stand.program, paths[0])
        os.write(pipes[0], b"first\r\n")
        look.wait_for_line("first")
        before = look.memory_mib()
        rate = 2 * _FLOOD_MIB_A_SECOND
        _pour(look, pipes[0], mib / rate, rate)
        after = look.memory_mib()
    yield lower(f"renderer after {mib} MiB, MiB of its own", 150, of_own=True), after
    yield shown("renderer before, MiB of its own"), before


def _pour(look: Look, pipe: int, seconds: float, rate: float) -> int:
    """Write at an even rate; return how much that was, when the end of it is seen."""
    piece = b"".join(_STAMP + b" " + line(number) for number in range(600))
    sent = 0
    begun = time.monotonic()
    while sent < rate * seconds * MIB:
        if sent > (time.monotonic() - begun) * rate * MIB:
            time.sleep(0.002)
            continue
        left = memoryview(piece.replace(_STAMP, b"@%d@" % time.time_ns()))
        sent += len(left)
        while left:
            left = left[os.write(pipe, left) :]
    end = b"\r\nTHE END\r\n"
    os.write(pipe, end)
    look.wait_for_line("THE END")
    return sent + len(end)


def _told(look: Look) -> int:
    """Return how much has come or was said to be left out, as the page says."""
    return int(look.ask("() => window.shown.told"))


def listed(stand: Stand, count: int) -> Iterator[Found]:
    """Look at the list of many logs."""
    with opened(stand, count // 2):
        """These are closed afterwards, and stay in the list."""
    with opened(stand, count - count // 2) as (_, pipes), looking() as look:
        look.open(stand.program, None)
        look.wait("(count) => document.getElementById('totals').textContent.includes(count)", "0")
        look.wait("() => document.querySelectorAll('#rows tr').length > 10")
        refreshed = """() => new Promise((resolve) => {
          const observer = new MutationObserver(() => { observer.disconnect(); resolve(); });
          observer.observe(document.getElementById("rows"), { childList: true, subtree: true,
            characterData: true, attributes: true });
        })"""
        taken = []
        for number in range(5):
            os.write(pipes[number % 10], b"." * 5000)
            before = look.busy_seconds()
            look.ask(refreshed)
            look.ask("() => new Promise((resolve) => requestAnimationFrame(resolve))")
            taken.append((look.busy_seconds() - before) * 1e3)
    yield lower(f"list of {count} logs: a refresh in the page, ms", 30, of_own=True), median(taken)


def jump(stand: Stand, mib: int) -> Iterator[Found]:
    """Go to lines anywhere in a log."""
    with opened(stand, 1) as (paths, pipes), looking() as look:
        count = mib * MIB // len(line(0))
        for first in range(0, count, 500):
            data = b"".join(map(line, range(first, min(first + 500, count))))
            while data:
                data = data[os.write(pipes[0], data) :]
        with stand.daemon.client() as client:
            client.position(paths[0])
        look.open(stand.program, paths[0])
        look.wait_for_line(f"line {count - 1:08}")
        taken = []
        for number in range(count // 20, count, count // 10):
            wanted = f"line {number:08}"
            (found,) = json.loads(stand.program.ask("search", path=paths[0], find=wanted))["lines"]
            taken.append(look.ask(_JUMP, [found["at"], wanted]))
    yield lower(f"jump in {mib} MiB until visible, longest ms", 400, of_own=True), max(taken)
    yield shown(f"jump in {mib} MiB until visible, p50 ms"), median(taken)


def first_load(stand: Stand) -> Iterator[Found]:
    """Look at the page for the first time."""
    with opened(stand, 1) as (paths, pipes), looking() as look:
        os.write(pipes[0], b"first\r\n")
        look.open(stand.program, paths[0])
        look.wait_for_line("first")
        size = look.ask(_LOADED)
    yield lower("first load, KB compressed", 150, of_own=True), size / 1000


def restarts(stand: Stand, times: int) -> Iterator[Found]:
    """Start the program, and a daemon, again while somebody looks; from its first answer on."""
    directory = Path(stand.directory, "again")
    taken: dict[str, list[float]] = {"program": [], "daemon": []}
    with running(directory) as daemon, looking() as look:
        path = str(directory / "a.log")
        with daemon.client() as client, serving(daemon.socket, directory) as program:
            pipe = client.open(path).write_end
            os.write(pipe, line(0))
            look.open(program, path)
            look.wait_for_line("line 00000000")
            port = int(program.address.rpartition(":")[2])
        for number in range(1, times + 1):
            os.write(pipe, line(number))
            with serving(daemon.socket, directory, port):
                begun = time.monotonic()
                look.wait_for_line(f"line {number:08}")
                taken["program"].append((time.monotonic() - begun) * 1e3)
        os.close(pipe)
    with serving(f"{directory}/jsonrpc-sock", directory, port), looking() as look:
        look.open(program, path)
        for number in range(times + 1, 2 * times + 1):
            with running(directory) as daemon, daemon.client() as client:
                begun = time.monotonic()
                pipe = client.open(path).write_end
                os.write(pipe, line(number))
                look.wait_for_line(f"line {number:08}")
                taken["daemon"].append((time.monotonic() - begun) * 1e3)
                os.close(pipe)
    for name, found in taken.items():
        yield lower(f"{name} started again: resumed, longest ms", 2000, of_own=True), max(found)
