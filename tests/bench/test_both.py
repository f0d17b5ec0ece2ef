"""Loads against the real daemons."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from bench import abused, abuses, calling, hung, noisy, programs, writing
from bench.daemons import OURS, VIRTLOGD, Side
from bench.figures import CPU_PER_GIB, THROUGHPUT, Load, higher, lower
from bench.lifetime import open_and_close
from bench.load import Load as Generator
from bench.loads import ABUSES, HUNG, LANE, NOISY, PROGRAMS
from bench.rounds import Outcome, Plan, Rounds

#: Small enough for a test: the shortest time that is not nothing.
_SECONDS = 0.02

WRITING = Load(
    "a",
    "two logs",
    partial(writing.full_speed, logs=2, size=65536),
    (higher(THROUGHPUT), lower(CPU_PER_GIB)),
    idle=20,
)
LOADS = (
    WRITING,
    Load("e", "position", calling.after_a_write, (), idle=20),
    Load("f", "flood", partial(calling.beside_a_flood, of_flooded=False), (), idle=20),
    Load(
        "g",
        "positions",
        partial(calling.positions, connections=3, window=4, jsonrpc=True),
        (),
        idle=20,
    ),
    Load("h", "read", partial(calling.reading_back, size=65536, jsonrpc=True), (), idle=20),
    Load("i", "open", partial(open_and_close, logs=50), (), idle=20),
    Load("abuse", "pings", partial(abused.beside, abuse=abuses.stream(abuses.pings)), (), idle=20),
    Load("lock", "an empty pipe", partial(abused.beside_lock, filled=False), (), idle=20),
)


def _run(
    generator: Generator, directory: Path, sides: Sequence[Side], loads: Sequence[Load]
) -> list[Outcome]:
    # (all pipes of a user may have 64 MiB, and what else is tested meanwhile needs some)
    loads = [
        load
        if any(line.startswith("pipe_size") for line in load.settings)
        else replace(load, settings=(*load.settings, "pipe_size = 65536"))
        for load in loads
    ]
    logs = directory / "logs"
    logs.mkdir()
    processor = min(os.sched_getaffinity(0))
    plan = Plan(sides, 1, _SECONDS, logs=logs, disk=logs, processor=processor, retries=0)
    outcomes = list(Rounds(plan, generator, directory).run(loads))
    assert list(logs.iterdir()) == []
    return outcomes


def _measured(generator: Generator, directory: Path, load: Load) -> set[str]:
    """Run a load on this daemon alone; return the names of the figures that came of it."""
    (outcome,) = _run(generator, directory, [OURS], [load])
    assert outcome.failure is None
    ((sample,),) = outcome.samples.values()
    return set(sample.figures)


@pytest.mark.lengthy
def test_a_load_runs_against_this_daemon(generator: Generator, tmp_path: Path) -> None:
    """Its speed is measured, and the files are right."""
    (outcome,) = _run(generator, tmp_path, [OURS], [WRITING])
    assert outcome.failure is None
    (speed,) = outcome.values(OURS.name, THROUGHPUT)
    assert speed > 0


@pytest.mark.lengthy
def test_a_load_for_this_daemon_alone_runs_on_no_other(
    generator: Generator, tmp_path: Path
) -> None:
    """It is not even started."""
    load = Load(
        "abuse", "x", partial(abused.beside, abuse=abuses.asking(9, True)), (), ours_only=True
    )
    (outcome,) = _run(generator, tmp_path, [VIRTLOGD, OURS], [load])
    assert outcome.failure is None
    assert list(outcome.samples) == [OURS.name]


@pytest.mark.slow
@pytest.mark.parametrize("load", ABUSES, ids=lambda load: load.key)
def test_each_abuse_is_measured(generator: Generator, tmp_path: Path, load: Load) -> None:
    """Everything that the table shows of it."""
    few = replace(load, idle=min(load.idle, 20))
    assert _measured(generator, tmp_path, few) == {figure.name for figure in load.figures}


@pytest.mark.lengthy
@pytest.mark.fuse
@pytest.mark.parametrize("load", [*HUNG, LANE], ids=lambda load: load.key)
def test_each_load_on_a_file_system_of_its_own_is_measured(
    generator: Generator, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that the table shows of it; and it is gone afterwards."""
    monkeypatch.setattr(hung, "_LEAST_SECONDS", 0.4)
    monkeypatch.setattr(hung, "_CALLS", 5)
    assert _measured(generator, tmp_path, load) == {figure.name for figure in load.figures}


@pytest.mark.lengthy
@pytest.mark.parametrize("load", NOISY, ids=lambda load: load.key)
def test_each_flood_is_measured(
    generator: Generator, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that the table shows of it; each byte of the flood is written, or told."""
    # (from one notice to another, at least)
    monkeypatch.setattr(noisy, "_LEAST_SECONDS", 3.5)
    assert _measured(generator, tmp_path, load) >= {figure.name for figure in load.figures}


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "load",
    [
        pytest.param(load, marks=[pytest.mark.nats] if load.key == "fleet" else [])
        for load in PROGRAMS
    ],
    ids=lambda load: load.key,
)
def test_each_program_beside_is_measured(
    generator: Generator, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that the table shows of it."""
    monkeypatch.setattr(programs, "_LEAST_SECONDS", 0.5)
    monkeypatch.setattr(programs, "_SHIPPED_BYTES", 65536)
    assert _measured(generator, tmp_path, load) == {figure.name for figure in load.figures}


@pytest.mark.parametrize("fresh", [False, True])
def test_what_the_machine_cannot_run_is_left_out(tmp_path: Path, fresh: bool) -> None:
    """No daemon is started for it, and what it needs is said."""
    said: list[str] = []
    load = replace(WRITING, fresh=fresh, lacking=lambda: "a cluster")
    plan = Plan([OURS], 1, _SECONDS, tmp_path, tmp_path, 0, tell=said.append)
    # (a generator that is not there cannot be asked for anything)
    outcomes = list(Rounds(plan, Mock(spec_set=()), tmp_path).run([load]))
    assert outcomes == []
    assert said == ["not run, needs a cluster: a"]


@pytest.mark.slow
@pytest.mark.libvirt
def test_loads_run_against_both_daemons(generator: Generator, tmp_path: Path) -> None:
    """Writing, calling over both protocols and opening, with other logs open."""
    outcomes = _run(generator, tmp_path, [VIRTLOGD, OURS], LOADS)
    assert [outcome.load.key for outcome in outcomes] == [load.key for load in LOADS]
    for outcome in outcomes:
        assert outcome.failure is None
        assert list(outcome.samples) == [VIRTLOGD.name, OURS.name]
        for (sample,) in outcome.samples.values():
            assert sample.figures
            assert all(value >= 0 for value in sample.figures.values())


@pytest.mark.lengthy
def test_a_load_that_fails_does_not_end_the_others(generator: Generator, tmp_path: Path) -> None:
    """What went wrong is kept for the report."""
    wrong = Load("b", "wrong", partial(calling.reading_back, size=64 << 20), (), idle=20)
    first, second = _run(generator, tmp_path, [OURS], [wrong, WRITING])
    assert "answered by errors" in (first.failure or "")
    assert second.failure is None
