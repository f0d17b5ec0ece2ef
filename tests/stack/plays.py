"""Plays a scene with both daemons and compares what they tell."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.stack.sides import Pair, Scene

_numbers = itertools.count()


class Told(NamedTuple):
    """What both told of a scene: acts, and what came of them."""

    theirs: list[tuple[str, Any]]
    ours: list[tuple[str, Any]]


def play(pair: Pair, act: Callable[[Scene], None]) -> Told:
    """Play a scene with both, and look at the files it leaves."""
    name = f"scene{next(_numbers)}"
    told = []
    for side in pair:
        with Scene(side, name) as scene:
            act(scene)
            scene.look()
        told.append(scene.told)
    return Told(*told)


def compare(pair: Pair, act: Callable[[Scene], None]) -> list[tuple[str, Any]]:
    """Play a scene, of which both must tell the same.

    :returns: what they told.
    """
    told = play(pair, act)
    for number, (their, our) in enumerate(itertools.zip_longest(*told)):
        assert our == their, f"after {[act for act, _ in told.theirs[:number]][-20:]}"
    return told.ours
