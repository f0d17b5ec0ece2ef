"""Stalls of an application that has the daemon in it."""

from __future__ import annotations

import subprocess
import sys

from harness.daemon import CHECKOUT

#: Lets the application's own code hang until that is said, and prints what is said and counted.
_APPLICATION = """
import os
import threading
from twisted.internet import reactor
from twisted.logger import formatEvent, globalLogPublisher
from twisted_virtlog.config.settings import Settings
from twisted_virtlog.service import Endpoints, VirtlogService

end, other_end = os.pipe()
service = VirtlogService(Settings(), Endpoints(), reactor)

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
    service.stopService()
    watch.join()
    reactor.stop()

globalLogPublisher.addObserver(said)
service.startService()
assert service.stalls.stalls == 0
assert threading.active_count() == 1
reactor.callLater(0, lambda: reactor.callLater(0, hang))
reactor.run()
"""


def test_an_application_is_told_and_can_count() -> None:
    """Its own functions are named, too; the thread lives while the service runs in the reactor."""
    ended = subprocess.run(
        [sys.executable, "-c", _APPLICATION],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    begun, over, counted = ended.stdout.splitlines()
    assert begun.startswith("the reactor has stood still for 0."), begun
    assert " s: in __main__.hang (line 20)" in begun, begun
    assert over.startswith("the reactor turns again, after "), over
    assert counted == "1 True True"
