"""Messages recorded from the real virtlogd and libvirt's client, and how they read."""

from __future__ import annotations

import errno
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from twisted_virtlog.errors import LogBusy, LogError, NoSuchLog, SystemFailure
from twisted_virtlog.values import Excerpt, Opened, Position

_FOLDER = Path(__file__).parent.parent / "vectors"

VECTORS: list[dict[str, Any]] = json.loads((_FOLDER / "logmanager.json").read_text())["vectors"]
TRANSCRIPTS: list[dict[str, Any]] = json.loads((_FOLDER / "qemu_transcripts.json").read_text())[
    "transcripts"
]

_HANDLER_METHODS = {1: "open", 2: "position", 3: "read", 4: "append"}


def leaves(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a recorded payload without inner records, as bytes if they are text."""
    found: dict[str, Any] = {}
    for name, value in payload.items():
        if isinstance(value, dict) and "hex" not in value:
            found.update(leaves(value))
        elif name == "uuid":
            found[name] = bytes.fromhex(value)
        elif isinstance(value, str):
            found[name] = value.encode()
        else:
            found[name] = value
    return found


def handler_answer(reply: dict[str, Any], write_end: int) -> dict[str, Any]:
    """Return what the log handler must have said for virtlogd's reply: a method and its answer.

    :param write_end: the descriptor that goes with a log that was opened.
    """
    header, payload = reply["decoded"]["header"], reply["decoded"]["payload"]
    method = _HANDLER_METHODS.get(header["procedure"])
    if method is None or not payload:
        return {}
    if header["status"]:
        error = _handler_error(payload)
        return {} if error is None else {method: error}
    if method == "read":
        data = payload["data"].encode()
        start = Position(1, 0)
        return {method: Excerpt((data,), start, start, gap=False, final=False)}
    if method == "append":
        return {method: Position(1, 0)}
    position = Position(payload["pos"]["inode"], payload["pos"]["offset"])
    return {method: Opened(position, write_end) if method == "open" else position}


def _handler_error(body: dict[str, Any]) -> LogError | None:
    """Make the handler's error, or None if virtlogd refused the call without asking it."""
    number, message = body["int1"], body["message"]
    if number == errno.EBUSY:
        return LogBusy("/another/spelling", "qemu", None, datetime.now(timezone.utc), 7)
    if number == errno.EBADF or "No open log file" in message:
        return NoSuchLog("no such log", "/another/spelling")
    if body["code"] == 38:
        return SystemFailure(message.removesuffix(f": {os.strerror(number)}"), number)
    return None
