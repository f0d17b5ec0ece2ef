"""Prints the line that was waited for."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from twisted_virtlog.ctl.encoding import json_bytes
from twisted_virtlog.ctl.outcomes import json_of
from twisted_virtlog.ctl.terminal import TerminalFilter
from twisted_virtlog.ctl.waiting import Found
from twisted_virtlog.escaping import visible


def print_found(
    found: Found, as_json: bool, of: Mapping[str, object] | None = None, name: str = ""
) -> None:
    """Print a line.

    :param of: what JSON says of its log.
    :param name: of its log, to stand before the line; none if that is clear.
    """
    if as_json:
        line = json_bytes(found.line, "line")
        click.echo(json_of({"wanted": found.wanted, **(of or {}), **line, "end": found.end}))
        return
    shown = found.line
    if sys.stdout.isatty():
        harmless = TerminalFilter()
        shown, name = harmless.feed(shown) + harmless.end(), visible(name)
    before = f"{name}:".encode("utf-8", "surrogateescape") if name else b""
    sys.stdout.buffer.write(before + shown + b"\n")
