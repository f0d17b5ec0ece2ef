"""Text for people: columns that align, and nothing that a terminal would obey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

import msgspec

from twisted_virtlog.client import (
    Boot,
    Closed,
    ConsumerInfo,
    DaemonInfo,
    Ledger,
    LogInfo,
    OwnLogging,
    PolicyWord,
    Position,
    Removed,
    ServerClients,
    ServerLimits,
)
from twisted_virtlog.ctl.holders import Holder, Holders
from twisted_virtlog.escaping import visible

_POSITION = "POSITION"
_HEADINGS = (
    "PATH",
    "STATE",
    "GUEST",
    "DRIVER",
    _POSITION,
    "BYTES",
    "ROLLOVERS",
    "OPENED",
)
_THREAD = "THREAD"
_HOLDERS = "HOLDERS"
_OF_CLOSED = ("CLOSED", "KEPT", "FOLLOWERS")
_NUMBERS = {
    "BYTES",
    "CLIENTS",
    "DURATION",
    "FOLLOWERS",
    "HELD",
    "ID",
    "KEPT",
    "LAG",
    "MAXIMUM",
    "MESSAGES",
    "NUMBER",
    "PID",
    "ROLLOVERS",
    "UNREAD",
}


def clients_table(servers: Sequence[ServerClients]) -> str:
    """Format the connected clients, one per line below the headings."""
    rows = [("SERVER", "ID", "PID", "USER", "GROUP", "CONNECTED")]
    for server in servers:
        rows += [
            (
                visible(server.server),
                str(client.id),
                str(client.pid),
                visible(client.user or str(client.uid)),
                visible(client.group or str(client.gid)),
                time_text(client.connected_at),
            )
            for client in server.clients
        ]
    return drawn(rows)


def limits_table(limits: Sequence[ServerLimits]) -> str:
    """Format how many clients servers have and may have, one per line below the headings."""
    rows = [("SERVER", "CLIENTS", "MAXIMUM")]
    rows += [(visible(one.server), str(one.clients), str(one.max_clients)) for one in limits]
    return drawn(rows)


def logging_table(logging: OwnLogging) -> str:
    """Format what the daemon logs about itself, one name and value per line."""
    rows = {
        "level": logging.level,
        "filters": " ".join(logging.filters) or "-",
        "outputs": " ".join(logging.outputs) or "-",
    }
    return "\n".join(f"{name:7}  {visible(value)}" for name, value in rows.items())


def position_text(position: Position) -> str:
    """Return a position in the form that ``read --from`` takes."""
    text = f"{position.inode}:{position.offset}"
    return visible(f"{text}:{position.birth}") if position.birth else text


def closed_text(path: str, closed: Closed) -> str:
    """Return what to say about a log that was closed by force."""
    end = position_text(closed.position) if closed.position else "an unknown position"
    lost = "byte" if closed.dropped == 1 else "bytes"
    return f"{visible(path)} is closed at {end}; {closed.dropped} {lost} could not be written"


def removed_text(path: str, removed: Removed) -> str:
    """Return what to say about a log that was removed."""
    files = "file" if removed.files == 1 else "files"
    count = "byte" if removed.bytes == 1 else "bytes"
    return f"{visible(path)} is removed, {removed.files} {files} with {removed.bytes} {count}"


def holders_text(holders: Sequence[Holder] | None) -> str:
    """Return who holds a pipe, in words; ``?`` if that cannot be seen."""
    if holders is None:
        return "?"
    return ", ".join(f"{one.pid} ({visible(one.command)})" for one in holders) or "-"


def logs_table(logs: Sequence[LogInfo], holders: Holders, with_closed: bool = False) -> str:
    """Format logs, one per line below the headings, with the reason below a failing one.

    Threads of file systems have a column only if a log has one.

    :param holders: those of their pipes.
    :param with_closed: whether some may be closed, and there are columns for those.
    """
    with_threads = any(log.thread is not None for log in logs)
    headings = (
        *_HEADINGS,
        *(_OF_CLOSED if with_closed else ()),
        *([_THREAD] if with_threads else []),
        _HOLDERS,
    )
    rows = [
        (
            *_log_row(log),
            *(_closed_cells(log) if with_closed else ()),
            *([visible(log.thread or "-")] if with_threads else []),
            holders_text(holders.of(log.pipe)),
        )
        for log in logs
    ]
    lines = drawn([headings, *rows]).split("\n")
    for index, log in reversed(list(enumerate(logs, start=1))):
        if log.error is not None:
            lines.insert(index + 1, f"  {visible(log.error)}")
    return "\n".join(lines)


def boots_table(boots: Sequence[Boot]) -> str:
    """Format each time that a log was opened, one per line below the headings, oldest first."""
    rows = [("NUMBER", "OPENED", "CLOSED", "DURATION", "GUEST", "DRIVER", _POSITION)]
    for number, boot in zip(range(1 - len(boots), 1), boots, strict=True):
        closed = boot.closed_at
        duration = "-" if closed is None else _duration_text(closed - boot.opened_at)
        rows.append(
            (
                str(number),
                time_text(boot.opened_at),
                "-" if closed is None else time_text(closed),
                duration,
                visible(boot.domain.name) if boot.domain else "-",
                visible(boot.driver),
                position_text(boot.start),
            )
        )
    return drawn(rows)


def info_table(info: DaemonInfo, socket: str) -> str:
    """Format what the daemon says about itself, one name and value per line.

    :param socket: the socket at which it was asked.
    """
    rows = {
        "socket": socket,
        "name": info.name,
        "version": info.version,
        "pid": info.pid,
        "started": time_text(info.started_at),
        "uptime": f"{info.uptime_s:.0f} s",
        **_prefixed("limit", info.limits),
        **_prefixed("count", info.counts),
    }
    width = max(len(name) for name in rows)
    return "\n".join(f"{visible(name):{width}}  {visible(str(rows[name]))}" for name in rows)


def consumers_table(found: Sequence[ConsumerInfo]) -> str:
    """Format what consumers have of logs, one of each per line below the headings."""
    rows = [("CONSUMER", "PATH", _POSITION, "LAG", "READ", "HELD", "UNREAD")]
    rows += [
        (
            visible(one.consumer),
            visible(one.path),
            "-" if one.position is None else position_text(one.position),
            "-" if one.lag_bytes is None else str(one.lag_bytes),
            "-" if one.lag_s is None else "now" if not one.lag_s else _ago_text(one.lag_s),
            str(one.held_bytes),
            str(one.unread_bytes),
        )
        for one in found
    ]
    return drawn(rows)


def _ago_text(seconds: float) -> str:
    return f"{_duration_text(timedelta(seconds=seconds))} ago"


def policy_table(words: Mapping[str, PolicyWord]) -> str:
    """Format how a log is kept, one word per line below the headings."""
    rows = [("WORD", "VALUE", "FROM", "ENTRY")]
    rows += [
        (visible(name), visible(str(one.value)), visible(one.source), visible(one.entry or "-"))
        for name, one in words.items()
    ]
    return drawn(rows)


def ledger_table(ledger: Ledger) -> str:
    """Format what became of bytes, one name and number per line, first what came, then where to."""
    dropped, written, storage = ledger.intake.dropped, ledger.written, ledger.storage
    rows: dict[str, object] = {
        "received": ledger.intake.received,
        "  written": written.guest,
        **_indented("dropped", dropped),
        "  pending": ledger.intake.pending,
    }
    if storage is not None:
        outside = storage.outside
        rows |= {
            "found": storage.found,
            **_indented("written", written, "+ "),
            "+ added by others": outside.added,
            "  kept": storage.kept,
            "  held": storage.held,
            **_indented("removed", storage.removed),
            "  cut by others": outside.cut,
            "  removed by others": outside.removed,
        }
    rows |= {f"unread by {visible(name)}": count for name, count in ledger.unread.items()}
    names, numbers = max(map(len, rows)), max(len(str(number)) for number in rows.values())
    holds = {True: "yes", False: "NO", None: "-"}[ledger.holds]
    lines = [f"{name:{names}}  {number:>{numbers}}" for name, number in rows.items()]
    return "\n".join([f"since {time_text(ledger.since)}", *lines, f"holds: {holds}"])


def _indented(what: str, counts: msgspec.Struct, indent: str = "  ") -> dict[str, object]:
    """Return the members of some counts, each named after what it counts."""
    members = {name: getattr(counts, name) for name in counts.__struct_fields__}
    return {f"{indent}{what}, {name.replace('_', ' ')}": one for name, one in members.items()}


def _log_row(log: LogInfo) -> tuple[str, ...]:
    return (
        visible(log.path),
        visible(log.state),
        visible(log.domain.name) if log.domain else "-",
        visible(log.driver),
        position_text(log.position) if log.position else "-",
        str(log.bytes),
        str(log.rollovers),
        time_text(log.opened_at),
    )


def _closed_cells(log: LogInfo) -> tuple[str, ...]:
    closed = "-" if log.closed_at is None else time_text(log.closed_at)
    kept, followers = ("-" if one is None else str(one) for one in (log.kept, log.followers))
    return closed, kept, followers


def drawn(rows: Sequence[Sequence[str]]) -> str:
    """Align rows, of which the first has the headings; one line each."""
    headings = rows[0]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    return "\n".join(_align(row, widths, headings) for row in rows)


def _align(row: Sequence[str], widths: Sequence[int], headings: Sequence[str]) -> str:
    cells = (
        cell.rjust(width) if heading in _NUMBERS else cell.ljust(width)
        for cell, width, heading in zip(row, widths, headings, strict=True)
    )
    return "  ".join(cells).rstrip()


def _prefixed(prefix: str, values: Mapping[str, object]) -> dict[str, object]:
    return {f"{prefix} {name}": value for name, value in values.items()}


def time_text(time: datetime) -> str:
    """Return a time in UTC, to the second."""
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration_text(duration: timedelta) -> str:
    """Return a time span as hours, minutes and seconds, with days before them if there are any."""
    seconds = max(0, int(duration.total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{f'{days}d ' if days else ''}{hours:02}:{minutes:02}:{seconds:02}"
