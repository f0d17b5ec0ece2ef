"""What becomes of samples: medians, ratios, goals, the table and the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import guard, report
from bench.figures import Better, Figure, Figures, Load, Stand, higher, lower, shown
from bench.guard import RATIOS, fallen_loads
from bench.loads import FLAT, FLOOR, LOADS
from bench.peers import peers
from bench.rounds import Outcome, Sample


def _load(key: str, *figures: Figure) -> Load:
    def run(stand: Stand) -> Figures:
        raise AssertionError(stand)

    return Load(key, f"load {key}", run, figures)


def _outcome(load: Load, **samples: list[dict[str, float]]) -> Outcome:
    taken = {
        side: [Sample(figures, foreign=0.0) for figures in rounds]
        for side, rounds in samples.items()
    }
    return Outcome(load, taken)


def _rows(*outcomes: Outcome) -> list[report.Row]:
    return report.rows(outcomes, "theirs", "ours")


def test_a_ratio_is_taken_within_each_round() -> None:
    """What made a whole round slow, made it slow for both, and does not change the ratio."""
    load = _load("a", higher("MiB/s"))
    theirs = [{"MiB/s": value} for value in (100.0, 10.0, 130.0)]
    ours = [{"MiB/s": value} for value in (800.0, 80.0, 1040.0)]
    (row,) = _rows(_outcome(load, theirs=theirs, ours=ours))
    assert (row.theirs, row.ours, row.ratio) == (100, 800, 8)


@pytest.mark.parametrize(
    ("figure", "ours", "met"),
    [
        (higher("x", 2.0), 20.0, True),
        (higher("x", 2.0), 19.9, False),
        (lower("x", 0.5), 5.0, True),
        (lower("x", 0.5), 5.1, False),
        (lower("x", 0.25, of_own=True), 0.25, True),
        (lower("x", 0.25, of_own=True), 0.26, False),
        (higher("x"), 1.0, None),
        (shown("x"), 1.0, None),
    ],
)
def test_a_goal_is_met_in_its_direction(figure: Figure, ours: float, met: bool | None) -> None:
    """More is better or less is, by ratio or by the value itself; the other side has 10."""
    (row,) = _rows(_outcome(_load("a", figure), theirs=[{"x": 10.0}], ours=[{"x": ours}]))
    assert row.met is met


@pytest.mark.parametrize(("alone", "goal"), [(10.0, 100.0), (70.0, 140.0)])
def test_a_goal_may_follow_another_figure(alone: float, goal: float) -> None:
    """A multiple of the value without the load, if that is more than the goal."""
    figure = Figure("x", Better.LOWER, 100.0, of_own=True, times=(2.0, "y"))
    for value, met in ((goal, True), (goal + 1, False)):
        (row,) = _rows(_outcome(_load("a", figure), ours=[{"x": value, "y": alone}]))
        assert (row.figure.goal, row.met) == (goal, met)


def test_the_worst_sample_counts_where_a_figure_says_so() -> None:
    """In the direction of the figure; others have the median."""
    figures = (
        Figure("x", Better.LOWER, worst=True),
        Figure("y", Better.HIGHER, worst=True),
        lower("z"),
    )
    samples = [dict.fromkeys("xyz", value) for value in (1.0, 3.0, 4.0)]
    rows = _rows(_outcome(_load("a", *figures), ours=samples))
    assert [row.ours for row in rows] == [4.0, 1.0, 3.0]


def test_a_side_that_did_not_run_leaves_a_dash() -> None:
    """With one side alone there are values, but neither ratios nor goals met."""
    (row,) = _rows(_outcome(_load("a", higher("MiB/s", 8.0)), ours=[{"MiB/s": 1234.5}]))
    assert row.ratio is None
    assert row.met is None
    line = report.table([row]).splitlines()[1]
    assert line.split() == ["a", "load", "a", "MiB/s", "-", "1,234", "-", ">=", "8x"]


def test_a_load_that_failed_has_rows_all_the_same() -> None:
    """Nothing was measured, and the table says so."""
    (row,) = _rows(Outcome(_load("a", higher("MiB/s")), failure="it hangs"))
    assert (row.theirs, row.ours, row.ratio) == (None, None, None)


def test_nothing_is_divided_by_zero() -> None:
    """Where virtlogd needs nothing, there is no ratio."""
    (row,) = _rows(_outcome(_load("a", lower("x")), theirs=[{"x": 0.0}], ours=[{"x": 1.0}]))
    assert row.ratio is None


def test_each_side_is_compared_with_itself_for_flatness() -> None:
    """A position with many other logs open, over one with few."""
    _, figure, over, under, _ = FLAT
    few = _outcome(_load(under), theirs=[{figure: 50.0}], ours=[{figure: 60.0}])
    many = _outcome(_load(over), theirs=[{figure: 2500.0}], ours=[{figure: 66.0}])
    (row,) = _rows(few, many)
    assert row.theirs == 50.0
    assert row.ours == pytest.approx(1.1)
    assert row.met is True
    assert _rows(few) == []


def test_the_least_that_a_program_can_do_is_compared_with() -> None:
    """Where it ran, in rows of their own after the load's."""
    assert FLOOR.program in [peer.name for peer in peers(Path())]
    rounds = [{"MiB/s": 100.0, "CPU s/GiB": 4.0}]
    least = [{"MiB/s": 200.0, "CPU s/GiB": 2.0}]
    load = _load("a", higher("MiB/s"))
    rows = _rows(_outcome(load, theirs=rounds, ours=rounds, **{FLOOR.program: least}))
    assert [(row.key, row.ratio, row.met) for row in rows] == [
        ("a", 1.0, None),
        ("a-floor", 0.5, False),
        ("a-floor", 2.0, False),
    ]
    assert len(_rows(_outcome(load, theirs=rounds, ours=rounds))) == 1


def test_a_document_s_table_has_what_has_a_goal() -> None:
    """A load is named once."""
    load = _load("a", higher("MiB/s", 8.0), shown("busy"), lower("CPU s/GiB", 0.1))
    rounds = [{"MiB/s": 278.0, "busy": 1.0, "CPU s/GiB": 3.66}]
    better = [{"MiB/s": 2233.0, "busy": 1.0, "CPU s/GiB": 0.44}]
    rows = _rows(_outcome(load, theirs=rounds, ours=better))
    assert report.markdown(rows).splitlines() == [
        "| load | figure | virtlogd | here | ratio | goal | met |",
        "|---|---|---|---|---|---|---|",
        "| a: load a | MiB/s | 278 | 2,233 | 8.03 | >= 8x | yes |",
        "|  | CPU s/GiB | 3.66 | 0.44 | 0.12 | <= 0.1x | no |",
    ]


def test_columns_are_aligned() -> None:
    """Numbers stand under one another, and a load is named once."""
    load = _load("a", higher("MiB/s", 8.0), lower("CPU s/GiB", 0.1))
    rounds = {"MiB/s": 278.0, "CPU s/GiB": 3.66}, {"MiB/s": 2233.0, "CPU s/GiB": 0.44}
    rows = _rows(_outcome(load, theirs=[rounds[0]], ours=[rounds[1]]))
    assert report.table(rows).splitlines() == [
        "load          figure     virtlogd   ours  ratio     goal  met",
        "a     load a  MiB/s           278  2,233   8.03    >= 8x  yes",
        "              CPU s/GiB      3.66   0.44   0.12  <= 0.1x   no",
    ]


def test_other_programs_have_a_table_of_their_own() -> None:
    """How much faster ours is than each, and what it needs of its processor time."""
    load = _load("a", higher("MiB/s"))
    values = {"MiB/s": 100.0, "CPU s/GiB": 4.0, "writer busy": 0.5}
    better = {"MiB/s": 800.0, "CPU s/GiB": 1.0, "writer busy": 0.9}
    outcome = _outcome(load, theirs=[values], ours=[better], **{"s6-log": [values]})
    lines = report.peer_table([outcome], "ours").splitlines()
    assert lines[-1].split() == ["a", "s6-log", "100", "4", "0.5", "8", "0.25"]
    alone = _outcome(load, theirs=[values], ours=[better])
    assert report.peer_table([alone], "ours") == ""


def test_the_file_has_every_sample() -> None:
    """The table, each sample with what others used, and the circumstances, as JSON."""
    outcome = _outcome(_load("a", higher("x", 2.0)), theirs=[{"x": 1.0}], ours=[{"x": 3.0}])
    rows = _rows(outcome)
    found = json.loads(json.dumps(report.as_json(rows, [outcome], {"kernel": "6"})))
    assert found["circumstances"] == {"kernel": "6"}
    assert found["samples"]["a"]["ours"] == [{"x": 3.0, "foreign": 0.0}]
    (line,) = found["table"]
    assert (line["ratio"], line["better"], line["met"]) == (3.0, "higher", True)


@given(st.floats(0, 1e12))
def test_numbers_are_short(value: float) -> None:
    """Three digits that count, and no exponent for what is large."""
    text = report.number(value)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.01)
    assert value < 100 or "e" not in text


@pytest.mark.parametrize("of_own", [False, True])
@pytest.mark.parametrize(
    ("better", "ratio", "fall", "falls"),
    [
        (Better.HIGHER, 6.1, 0.25, False),
        (Better.HIGHER, 6.0, 0.25, True),
        (Better.LOWER, 10.6, 0.25, False),
        (Better.LOWER, 10.7, 0.25, True),
        (Better.HIGHER, 4.1, 0.5, False),
        (Better.HIGHER, 4.0, 0.5, True),
        (Better.LOWER, 15.9, 0.5, False),
        (Better.LOWER, 16.0, 0.5, True),
    ],
)
def test_the_guard_sees_a_ratio_fall(
    better: Better, ratio: float, fall: float, falls: bool, of_own: bool
) -> None:
    """By a quarter 8 becomes 6 where more is better, and 10.7 where less is."""
    figure = Figure("x", better, of_own=of_own)
    row = report.Row("a", "load a", figure, 1.0, ratio, None if of_own else ratio)
    assert fallen_loads([row], {"a": {"x": 8.0}}, fall) == ({"a"} if falls else set())


def test_the_guard_misses_what_was_not_measured() -> None:
    """A load that failed is no ratio that holds."""
    assert fallen_loads([], {"a": {"x": 8.0}}) == {"a"}


def test_the_guard_leaves_out_what_cannot_be_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what is needed."""
    first, second = (replace(load, lacking=lambda: "") for load in LOADS[:2])
    monkeypatch.setattr(guard, "LOADS", [first, replace(second, lacking=lambda: "a cluster")])
    watched = {first.key: {"x": 1.0}, second.key: {"x": 1.0}}
    assert guard.possible(watched) == {first.key: {"x": 1.0}}
    assert capsys.readouterr().out == f"not looked at, as it needs a cluster: {second.key}\n"


def test_the_guard_watches_figures_that_there_are() -> None:
    """Each ratio in its file belongs to a figure in the table of loads, with a direction."""
    known = {
        (load.key, figure.name)
        for load in LOADS
        for figure in load.figures
        if figure.better is not Better.NEITHER
    }
    watched = json.loads(RATIOS.read_text())
    assert {(key, name) for key, ratios in watched.items() for name in ratios} <= known
