"""Makes medians, ratios and a table of what was measured; values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from bench.figures import CPU_PER_GIB, THROUGHPUT, WRITER_BUSY, Better, Figure
from bench.loads import FLAT, FLOOR
from bench.rounds import Outcome


@dataclass(frozen=True)
class Row:
    """A line of the table.

    :ivar load: key and title of the load.
    :ivar figure: with the goal that holds where it depends on another figure.
    :ivar theirs: of virtlogd, or of what the load's title names, the median of its samples, or the
        worst; None where it did not run. Likewise ``ours``.
    :ivar ratio: ours to theirs: the median of the rounds' ratios, since within a round both had
        the same circumstances.
    """

    key: str
    load: str
    figure: Figure
    theirs: float | None
    ours: float | None
    ratio: float | None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is none, or nothing to compare with."""
        reached = self.ours if self.figure.of_own else self.ratio
        return None if reached is None else self.figure.met(reached)


def rows(outcomes: Iterable[Outcome], theirs: str, ours: str) -> list[Row]:
    """Give a row for each figure of each load.

    :param theirs: the name of the side that is compared with, and ``ours`` that of the other.
    """
    found = list(outcomes)
    made = []
    for outcome in found:
        made += [_row(outcome, figure, theirs, ours) for figure in outcome.load.figures]
        made += _floor(outcome, ours)
    return made + _flat(found, theirs, ours)


def _row(outcome: Outcome, figure: Figure, theirs: str, ours: str) -> Row:
    before, after = outcome.values(theirs, figure.name), outcome.values(ours, figure.name)
    if figure.times is not None and figure.goal is not None:
        times, other = figure.times
        beside = _median(outcome.values(ours, other)) or 0.0
        figure = replace(figure, goal=max(figure.goal, times * beside))
    return Row(
        outcome.load.key,
        outcome.load.title,
        figure,
        figure.summed_up(before),
        figure.summed_up(after),
        ratio(before, after) if figure.better is not Better.NEITHER else None,
    )


def _floor(outcome: Outcome, ours: str) -> list[Row]:
    """Compare with the least that any program can do."""
    if FLOOR.program not in outcome.samples:
        return []
    figures = FLOOR.figures.get(outcome.load.key, ())
    made = [_row(outcome, figure, FLOOR.program, ours) for figure in figures]
    return [replace(row, key=f"{row.key}-floor", load=FLOOR.title) for row in made]


def _flat(outcomes: Sequence[Outcome], theirs: str, ours: str) -> list[Row]:
    """Compare a figure of one load with that of another, on each side by itself."""
    title, name, over, under, goal = FLAT
    by_key = {outcome.load.key: outcome for outcome in outcomes}
    if over not in by_key or under not in by_key:
        return []
    values = [
        ratio(by_key[under].values(side, name), by_key[over].values(side, name))
        for side in (theirs, ours)
    ]
    figure = Figure(f"{name}, times", Better.LOWER, goal, of_own=True)
    return [Row("e-flat", title, figure, values[0], values[1], None)]


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float | None:
    """Give the median of the rounds' ratios; None if there is nothing to divide."""
    return _median([b / a for a, b in zip(theirs, ours, strict=False) if a])


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def table(lines: Sequence[Row]) -> str:
    """Lay the rows out in columns."""
    cells = [["load", "", "figure", "virtlogd", "ours", "ratio", "goal", "met"]]
    before = ""
    for row in lines:
        named = row.key != before
        before = row.key
        cells.append([row.key if named else "", row.load if named else "", *_cells(row)])
    return _columns(cells, left=3)


def markdown(lines: Sequence[Row]) -> str:
    """Lay the rows that have a goal out as a document's table."""
    text = [
        "| load | figure | virtlogd | here | ratio | goal | met |",
        "|---|---|---|---|---|---|---|",
    ]
    before = ""
    for row in lines:
        if row.figure.goal is None:
            continue
        load = "" if row.key == before else f"{row.key}: {row.load}"
        before = row.key
        text.append(f"| {' | '.join([load, *_cells(row)])} |")
    return "\n".join(text)


def peer_table(outcomes: Iterable[Outcome], ours: str) -> str:
    """Lay out what other programs made of the same loads; empty if none ran."""
    cells = [["load", "program", THROUGHPUT, CPU_PER_GIB, WRITER_BUSY, "ours to it", "CPU"]]
    for outcome in outcomes:
        if len(outcome.samples) > 2:
            for name in outcome.samples:
                speed, cpu = outcome.values(name, THROUGHPUT), outcome.values(name, CPU_PER_GIB)
                cells.append(
                    [
                        outcome.load.key,
                        name,
                        number(_median(speed)),
                        number(_median(cpu)),
                        number(_median(outcome.values(name, WRITER_BUSY))),
                        number(ratio(speed, outcome.values(ours, THROUGHPUT))),
                        number(ratio(cpu, outcome.values(ours, CPU_PER_GIB))),
                    ]
                )
    return _columns(cells, left=2) if len(cells) > 1 else ""


def number(value: float | None) -> str:
    """Write a number with three digits that count."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cells(row: Row) -> list[str]:
    """Write what a table has of a row beside its load."""
    met = {True: "yes", False: "no", None: ""}[row.met]
    numbers = map(number, (row.theirs, row.ours, row.ratio))
    return [row.figure.name, *numbers, _goal(row.figure), met]


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    sign = ">=" if figure.better is Better.HIGHER else "<="
    return f"{sign} {number(figure.goal)}{'' if figure.of_own else 'x'}"


def _columns(cells: Sequence[Sequence[str]], left: int) -> str:
    """Align columns, so many of them to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        texts = [
            text.ljust(width) if index < left else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(texts).rstrip())
    return "\n".join(lines)


def as_json(
    lines: Sequence[Row], outcomes: Sequence[Outcome], circumstances: dict[str, Any]
) -> dict[str, Any]:
    """Give all for a file: the table, each sample, and what it was measured on."""
    return {
        "circumstances": circumstances,
        "table": [
            {
                "load": row.key,
                "title": row.load,
                "figure": row.figure.name,
                "better": row.figure.better.value,
                "virtlogd": row.theirs,
                "ours": row.ours,
                "ratio": row.ratio,
                "goal": row.figure.goal,
                "met": row.met,
            }
            for row in lines
        ],
        "samples": {
            outcome.load.key: {
                side: [{**sample.figures, "foreign": sample.foreign} for sample in samples]
                for side, samples in outcome.samples.items()
            }
            for outcome in outcomes
        },
    }
