"""What a guest's log goes through on a full disk. Run by test_machine.py on a small file system."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from harness.daemon import running
from twisted_virtlog.client import BlockingClient, RemoteError
from twisted_virtlog.syscalls import set_pipe_capacity


def check(policy: str, small: Path, tmp_path: Path) -> None:
    """Fill the disk under a log, make room again, and account for every byte.

    :param small: a small file system, empty.
    :param tmp_path: a directory elsewhere.
    """
    other = tmp_path / "other.log"
    log = small / "guest.log"
    filler = small / "filler"
    settings = ["max_size = 0", f'on_write_error = "{policy}"', "pipe_size = 1048576"]
    with running(tmp_path / "daemon", settings) as daemon, daemon.client() as client:
        pipe = client.open(str(log)).write_end
        os.write(pipe, b"before\n")
        client.position(str(log))
        _fill(filler)
        os.write(pipe, b"x" * 9_999 + b"\n")
        with pytest.raises(RemoteError) as refused:
            client.position(str(log))
        assert refused.value.code == 1006
        assert refused.value.data["errno"] == "ENOSPC"
        assert 0 < refused.value.data["pending_bytes"] <= 10_000
        with pytest.raises(RemoteError, match="No space left"):
            client.append(str(log), "a message\n")
        (status,) = client.list()
        assert status.state == "failing"
        assert "No space left on device" in (status.error or "")

        other_pipe = client.open(str(other)).write_end
        os.write(other_pipe, b"others go on\n")
        assert client.position(str(other)).offset == 13

        written = b"before\n" + b"x" * 9_999 + b"\n"
        if policy == "drop":
            _flood_small_pipes(client, small)
            # More than the pipe holds: this ends only if bytes are dropped.
            for _ in range(40):
                os.write(pipe, b"d" * 65_535 + b"\n")
        filler.unlink()
        while any(status.state == "failing" for status in client.list()):
            """The daemon tries again once a second; each answer is one turn of its reactor."""
        os.write(pipe, b"after\n")
        client.position(str(log))
        for descriptor in (pipe, other_pipe):
            os.close(descriptor)
    text = log.read_bytes()
    assert text.endswith(b"\nafter\n")
    assert other.read_bytes() == b"others go on\n"
    if policy == "block":
        assert text == written + b"after\n"
    else:
        (notice,) = re.findall(
            rb"^\[virtlogd: (\d+) bytes lost from \S+ \S+ to \S+ \S+: No space left on device\]\n",
            text,
            re.MULTILINE,
        )
        kept = len(re.sub(rb"\n?\[virtlogd: [^\n]*\n", b"", text))
        everything = len(written) + 40 * 65_536 + len(b"after\n")
        # (a newline may stand before the notice that nobody wrote)
        assert kept + int(notice) in (everything, everything - 1)


def _flood_small_pipes(client: BlockingClient, directory: Path) -> None:
    """Write what fills a pipe with less than half of its bytes, and what fills it many times."""
    for name, pipe_size, data, times in [
        ("lines", 16 * 1024, b"n" * 2_099 + b"\n", 40),
        ("block", 4 * 1024, b"n" * 65_535 + b"\n", 2),
    ]:
        pipe = client.open(str(directory / f"{name}.log")).write_end
        set_pipe_capacity(pipe, pipe_size)
        for _ in range(times):
            os.write(pipe, data)
        os.close(pipe)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"z" * 4096)
        except OSError:
            pass


if __name__ == "__main__":
    check(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
