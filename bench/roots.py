"""Attacks a daemon with ``log_roots`` from within the directories of its logs.

Two processes of another user, who owns the log's directory and the one above it, exchange these,
the log and its backups for links, hard links and other directories, while a daemon opens, writes,
rotates, reads and removes the log there. In the end nothing outside of the root may have
been changed, and no byte of it served. Only root can do so.

    python -m bench.roots                     # 100,000 exchanges
    python -m bench.roots --walk              # a daemon that does without openat2(2)
    python -m bench.roots --everywhere        # one without log_roots, until it has succeeded
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.swapping import LOG_DIRECTORY, NAMES
from harness.daemon import CHECKOUT, Daemon, running
from twisted_virtlog.client import BlockingClient, RemoteError

#: A user and a group that own nothing else.
ATTACKER = 61234

_SECRET = b"CANARY: nobody may see this\n"
_LINE = b"%08d a line of the guest\n"
_WALK = "from twisted_virtlog.logs.files import beneath; beneath._has_openat2 = lambda: False"


class Canary:
    """What is outside of the root, and must stay as it is."""

    def __init__(self, base: Path) -> None:
        self._outside = base / "outside"
        for directory in ("secret", "linked", "tenant/guest"):
            (self._outside / directory).mkdir(parents=True)
            for name in NAMES:
                (self._outside / directory / name).write_bytes(_SECRET)
        # (whoever owns a file may link it, whatever fs.protected_hardlinks says; these he may not
        # write to, lest one of the attackers do so by a link of the other's)
        for name in NAMES:
            os.chown(self._outside / "linked" / name, ATTACKER, ATTACKER)
            (self._outside / "linked" / name).chmod(0o400)
        self._before = self._look()

    def changes(self) -> Sequence[str]:
        """Return what is not as it was."""
        now = self._look()
        return sorted(
            path
            for path in now.keys() | self._before.keys()
            if now.get(path) != self._before.get(path)
        )

    def _look(self) -> dict[str, object]:
        return {str(path): _status_of(path) for path in sorted(self._outside.rglob("*"))}


def _status_of(path: Path) -> object:
    status = path.lstat()
    if path.is_dir():
        return status.st_ino, status.st_mode, status.st_mtime_ns
    return (
        status.st_ino,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        path.read_bytes(),
        tuple(os.listxattr(path)),
    )


class Guests:
    """Has the daemon do with the log whatever it can."""

    def __init__(self, daemon: Daemon, log: Path, seed: str) -> None:
        self._daemon = daemon
        self._log = str(log)
        self._random = random.Random(seed)
        self._client = daemon.client()
        self._pipe = -1
        self._lines = 0
        self.done: Counter[str] = Counter()
        self.served = 0

    def close(self) -> None:
        """Leave."""
        self._end()
        self._client.close()

    def turn(self) -> None:
        """Do one thing; most are refused."""
        calls: list[Callable[[BlockingClient], object]] = [
            self._open,
            self._write,
            self._write,
            self._read,
            self._files,
            self._append,
            self._close_log,
            self._remove,
            self._locate,
        ]
        call = self._random.choice(calls)
        name = call.__name__.strip("_")
        try:
            call(self._client)
        except RemoteError as error:
            self.done[f"{name}: {error.code}"] += 1
        else:
            self.done[name] += 1

    def _open(self, client: BlockingClient) -> None:
        self._end()
        opened = client.open(self._log, truncate=self._random.random() < 0.3)
        self._pipe = opened.write_end
        os.set_blocking(self._pipe, False)

    def _write(self, client: BlockingClient) -> None:
        if self._pipe < 0:
            return
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            for _ in range(self._random.choice([1, 10, 100])):
                self._lines += 1
                os.write(self._pipe, _LINE % self._lines)
        client.position(self._log)

    def _read(self, client: BlockingClient) -> None:
        self._see(client.read(self._log).data)

    def _files(self, client: BlockingClient) -> None:
        for file in client.files(self._log).files:
            try:
                self._see(os.pread(file.descriptor, 4096, 0))
            finally:
                os.close(file.descriptor)

    def _append(self, client: BlockingClient) -> None:
        client.append(self._log, "a message\n")

    def _close_log(self, client: BlockingClient) -> None:
        client.close_log(self._log)

    def _remove(self, client: BlockingClient) -> None:
        self._end()
        client.remove(self._log)

    def _locate(self, client: BlockingClient) -> None:
        client.locate(self._log)

    def _end(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
        self._pipe = -1

    def _see(self, data: bytes) -> None:
        self.served += b"CANARY" in data


def attack(base: Path, swaps: int, seed: str, *, confined: bool, patch: str) -> int:
    """Attack a daemon; print what was done, and return the exit status."""
    canary = Canary(base)
    root, tenant = base / "root", base / "root" / "tenant"
    (tenant / LOG_DIRECTORY).mkdir(parents=True)
    for directory in (tenant, tenant / LOG_DIRECTORY.parent, tenant / LOG_DIRECTORY):
        os.chown(directory, ATTACKER, ATTACKER)
    settings = ["max_size = 1024", "max_backups = 3", "time_index = 1"]
    if confined:
        settings.append(f'log_roots = ["{root}"]')
    begun = time.monotonic()
    with running(base / "daemon", settings, patch) as daemon, contextlib.ExitStack() as stack:
        attackers = [
            stack.enter_context(attacker(base, swaps // 2, f"{seed}-{number}"))
            for number in range(2)
        ]
        guests = Guests(daemon, tenant / LOG_DIRECTORY / NAMES[0], seed)
        stack.callback(guests.close)
        turns = 0
        while turns < swaps // 20 or not all(one.has_done() for one in attackers):
            guests.turn()
            turns += 1
            if not confined and turns % 20 == 0 and canary.changes():
                break
        exchanges = sum(one.end() for one in attackers)
    changes = canary.changes()
    seconds = time.monotonic() - begun
    print(f"{exchanges} exchanges, {turns} calls, {seconds:.0f} s; seed {seed}")
    print(", ".join(f"{name} {count}" for name, count in sorted(guests.done.items())))
    print(f"{len(changes)} files outside changed, {guests.served} times what is in them was served")
    for path in changes:
        print(f"  {path}")
    return 1 if changes or guests.served else 0


class Attacker:
    """One of the processes that attack."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._output = process.stdout
        self._has_done = False

    def has_done(self) -> bool:
        """Return whether it has made as many exchanges as it was to; it goes on."""
        assert self._output is not None
        if not self._has_done and select.select([self._output], [], [], 0)[0]:
            self._output.readline()
            self._has_done = True
        return self._has_done

    def end(self) -> int:
        """Let it end; return how many exchanges it has made."""
        output, _ = self._process.communicate(b"end\n")
        return int(output.split()[-1])


@contextlib.contextmanager
def attacker(base: Path, swaps: int, seed: str) -> Iterator[Attacker]:
    """Run one who attacks, inside the context."""
    command = [sys.executable, "-m", "bench.swapping", str(base), str(ATTACKER), str(swaps), seed]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    try:
        yield Attacker(process)
    finally:
        process.kill()
        process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack; the exit status tells whether anything outside was touched."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.roots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--swaps", type=int, default=100_000, help="exchanges of both together")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--directory", help="where, which all may enter (default: temporary)")
    parser.add_argument("--walk", action="store_true", help="do without openat2(2)")
    parser.add_argument("--everywhere", action="store_true", help="do without log_roots")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        base = Path(directory)
        base.chmod(0o755)
        patch = _WALK if options.walk else "pass"
        return attack(
            base, options.swaps, options.seed, confined=not options.everywhere, patch=patch
        )


if __name__ == "__main__":
    sys.exit(main())
