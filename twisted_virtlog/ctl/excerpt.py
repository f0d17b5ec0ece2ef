"""Prints what was read of a log as one JSON text."""

from __future__ import annotations

from collections.abc import Callable

import click

from twisted_virtlog.client import Position
from twisted_virtlog.ctl.outcomes import json_of
from twisted_virtlog.ctl.recording import (
    ReadAgain,
    Recording,
    base64_pieces,
    is_utf8,
    utf8_pieces,
)


def print_excerpt(
    recording: Recording,
    read_again: ReadAgain,
    with_start: bool,
    shown: Callable[[Position | None], object] = lambda position: position,
) -> None:
    """Print what was read as one JSON text, a piece at a time.

    :param shown: what is printed for a position that was recorded.
    """
    as_text = is_utf8(recording.content(read_again))
    content = recording.content(read_again)
    beginning: dict[str, object] = {"encoding": "utf-8" if as_text else "base64"}
    if with_start:
        beginning["start"] = shown(recording.start)
    click.echo(json_of(beginning)[:-1] + ',"data":"', nl=False)
    for piece in utf8_pieces(content) if as_text else base64_pieces(content):
        click.echo(json_of(piece)[1:-1], nl=False)
    ending = {"end": shown(recording.end), "gap": recording.gap}
    click.echo('",' + json_of(ending)[1:])
