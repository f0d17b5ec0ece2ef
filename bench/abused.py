"""Loads in which one client or guest takes what it can, and others ask and print beside it.

While the others are alone, a program that uses as much of the load's processor as an abuser runs in
its place.
"""

from __future__ import annotations

import time

from bench.abuser import burning, locking
from bench.abuses import Abuse, Scene, locked_reads
from bench.figures import MIB, Figures, Stand
from bench.others import LIGHT, OTHERS, Light, Others, compared
from bench.rpc import Client
from bench.writing import opened

#: Until the abuse has found its pace.
SETTLING_SECONDS = 0.2
#: A write of 64 KiB that begins as many files takes a while.
_LANDING_SECONDS = 300.0
#: What the abuser's own log has for it to read.
_LOGGED_BYTES = 7 * MIB

ABUSE = "abuse MiB/s"


def beside(stand: Stand, abuse: Abuse, light: Light = LIGHT, logged: bool = True) -> Figures:
    """Ask for positions and print beside an abuse.

    :param logged: the abuser's log has something to be read.
    """
    with opened(stand, OTHERS + 1) as (paths, pipes):
        scene = Scene(stand, paths[-1], pipes[-1])
        if logged:
            stand.generator.write([scene.pipe], 4096, 60.0, most_bytes=_LOGGED_BYTES)
            _until_landed(scene)
        others = Others(stand, paths[:-1], pipes[:-1], light)
        with burning(stand.generator):
            before = others.watch()
        began = time.monotonic()
        with abuse(scene):
            time.sleep(SETTLING_SECONDS)
            during = others.watch()
        lasted = time.monotonic() - began
        _until_landed(scene)
        others.check()
        return {**compared(before, during), ABUSE: sum(scene.moved) / MIB / lasted}


def beside_lock(stand: Stand, filled: bool) -> Figures:
    """Ask for positions and print while a guest has its own pipe locked, and it is asked for too.

    :param filled: there are bytes in the pipe.
    """
    with opened(stand, OTHERS + 1) as (paths, pipes):
        scene = Scene(stand, paths[-1], pipes[-1])
        others = Others(stand, paths[:-1], pipes[:-1], LIGHT)
        with burning(stand.generator):
            before = others.watch()
        with (
            locking(stand.generator, scene.pipe, stand.seconds, filled),
            locked_reads(scene),
        ):
            during = others.watch()
        _until_landed(scene)
        others.check()
        return compared(before, during)


def _until_landed(scene: Scene) -> None:
    """Wait until the abuser's pipe is empty, so that it disturbs nobody any more."""
    with Client(scene.libvirt, _LANDING_SECONDS) as client:
        client.position(scene.path)
