"""Stalls of a daemon, and of an application that has one in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from harness.daemon import CHECKOUT, Daemon, running
from harness.frozen_mount import frozen_mount

#: Lets the application's own code hang until that is said, and prints what is said and counted.
_APPLICATION = """
import os
import sys
import threading
from twisted.internet import reactor
from twisted.logger import formatEvent, globalLogPublisher
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.service import Endpoints, VirtlogService

end, other_end = os.pipe()
service = VirtlogService(Settings(state_dir=sys.argv[1]), Endpoints(), reactor)

def said(event):
    if event["log_namespace"].startswith("twisted_virtlog.loop.stall_watch"):
        print(formatEvent(event))
        os.write(other_end, b"!")
        if "turns again, after" in formatEvent(event):
            reactor.callFromThread(stop)

def hang():
    os.read(end, 1)

def stop():
    stalls = service.stalls
    print(stalls.stalls, stalls.seconds >= 0.25, stalls.longest == stalls.seconds)
    watch = next(one for one in threading.enumerate() if one.name == "stall watch")
    service.stopService().addCallback(lambda _: watch.join()).addBoth(ended)

def ended(result):
    print(result)
    reactor.stop()

globalLogPublisher.addObserver(said)
service.startService()
assert service.stalls.stalls == 0
assert not any(one.name == "stall watch" for one in threading.enumerate())
reactor.callLater(0, lambda: reactor.callLater(0, hang))
reactor.run()
"""


def test_an_application_is_told_and_can_count(tmp_path: Path) -> None:
    """Its own functions are named, too; the thread lives while the service runs in the reactor."""
    ended = subprocess.run(
        [sys.executable, "-c", _APPLICATION, str(tmp_path / "state")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    begun, over, counted, result = ended.stdout.splitlines()
    assert re.match(r"the reactor has stood still for \d+\.\d+ s", begun), begun
    assert " s: in __main__.hang (line 21)" in begun, begun
    assert over.startswith("the reactor turns again, after "), over
    assert counted == "1 True True"
    assert result == "None"


class OwnLog:
    """The daemon's own log, read on and on."""

    def __init__(self, daemon: Daemon) -> None:
        self._file = (Path(daemon.socket).parent / "daemon.log").open(encoding="utf-8")

    def close(self) -> None:
        self._file.close()

    def line(self, part: str) -> str:
        """Wait for the next line with a text in it."""
        line = ""
        while True:
            line += self._file.readline()
            if not line.endswith("\n"):
                time.sleep(0.01)
            elif part in line:
                return line
            else:
                line = ""


@pytest.mark.root
@pytest.mark.slow
def test_a_disk_that_hangs_for_a_while(tmp_path: Path) -> None:
    """The own log names the log, its mount and the client; after a hand-over, too."""
    point = tmp_path / "a disk"
    point.mkdir()
    log, other = point / "guest.log", point / "other.log"
    mount = re.escape(f"(mount {point}, ext4 of /dev/")
    with (
        frozen_mount(point, tmp_path / "image") as disk,
        running(tmp_path / "daemon") as daemon,
        daemon.client() as client,
        closing(OwnLog(daemon)) as own_log,
    ):
        pipe = client.open(str(log)).write_end
        for _ in range(2):
            with disk.frozen():
                os.write(pipe, b"a line\n")
                begun = own_log.line("stood still")
            ended = own_log.line("turns again")
            assert ": warning : daemon : the reactor has stood still for " in begun, begun
            assert "in twisted_virtlog.logs." in begun or "of twisted_virtlog.logs." in begun, begun
            assert re.search(rf", for the log {re.escape(str(log))} {mount}\S+\);", begun), begun
            assert re.search(
                rf"turns again, after \d+\.\d\d s, for the log {re.escape(str(log))} {mount}", ended
            ), ended
            # The daemon's next image watches as well.
            client.reexec()

        with disk.frozen():
            call = Thread(target=client.append, args=(str(other), "a message\n"))
            call.start()
            begun = own_log.line("stood still")
        call.join()
        own_log.line("turns again")
        assert f", for the log {other} (mount {point}, ext4 of /dev/" in begun, begun
        assert f", called by the client with pid {os.getpid()}, uid 0;" in begun, begun
        assert client.position(str(log)).offset == len("a line\n") * 2
        os.close(pipe)
