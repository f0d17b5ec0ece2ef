"""Puts the daemon's unit files into a directory of systemd's, and takes them out again."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

#: In place of the daemon's path.
_DAEMON = "@DAEMON@"

#: Before a line for systemd from a version on, and behind it that version.
_SINCE = "#@"

#: How our files begin; one that begins otherwise is somebody else's.
_MARK = "# Installed by twisted-virtlog"

#: In place of the group that may connect to a socket, in units that are there for a group alone.
_GROUP = "@GROUP@"
_READ_ONLY = "virtlogd-jsonrpc-ro.socket"
_METRICS = "virtlogd-metrics.socket"
_GROUP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

_TEMPLATES = Path(__file__).parent / "units"


class InstallationError(Exception):
    """The units cannot be installed or removed; the message says why. Nothing was changed."""


def systemd_version() -> int:
    """Return the version of the systemd that is installed; 0 if there is none."""
    try:
        said = subprocess.run(
            ["systemctl", "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return 0
    # "systemd 252 (252.39-1~deb12u1)"
    words = [*said.split(), "", ""]
    return int(words[1]) if words[0] == "systemd" and words[1].isdigit() else 0


def units(
    daemon: Path,
    version: int = 0,
    read_only_group: str | None = None,
    metrics_group: str | None = None,
) -> Mapping[str, str]:
    """Return the texts of the unit files by name.

    :param daemon: the path of twisted-virtlogd.
    :param version: systemd's; newer ones know more than the oldest that the units are for.
    :param read_only_group: the group that may connect to the read-only socket; None to leave that
        socket out.
    :param metrics_group: likewise of the socket for Prometheus.
    :raises InstallationError: a unit file cannot name one of them.
    """
    groups = {_READ_ONLY: read_only_group, _METRICS: metrics_group}
    for group in groups.values():
        if group is not None and not _GROUP_NAME.fullmatch(group):
            raise InstallationError(f"{group!r} is not the name of a group")
    if set(str(daemon)) & set(" \t\n\"'\\%$;"):
        raise InstallationError(
            f"{str(daemon)!r} has characters with a special meaning in unit files; install the"
            " package in a directory without them"
        )
    left_out = [name for name, group in groups.items() if group is None]
    texts = {}
    for file in _templates():
        if file.name in left_out:
            continue
        text = _for_version(file.read_text(encoding="ascii"), version).replace(_DAEMON, str(daemon))
        for name in left_out:
            text = text.replace(f" {name}", "")
        texts[file.name] = text.replace(_GROUP, groups.get(file.name) or "")
    return texts


def _for_version(text: str, version: int) -> str:
    """Keep the lines that a version of systemd knows."""
    lines = []
    for line in text.splitlines(keepends=True):
        since, _, rest = line.removeprefix(_SINCE).partition(" ")
        if not line.startswith(_SINCE):
            lines.append(line)
        elif int(since) <= version:
            lines.append(rest)
    return "".join(lines)


def install(texts: Mapping[str, str], directory: Path) -> None:
    """Write the unit files.

    :raises InstallationError: there is no such directory, or it has such a file of somebody else's.
    """
    if not directory.is_dir():
        raise InstallationError(f"{directory} is not a directory; systemd's is /etc/systemd/system")
    _refuse_foreign(texts, directory)
    for name, text in texts.items():
        # (systemd never sees half a unit)
        unfinished = directory / f".{name}.new"
        unfinished.write_text(text, encoding="ascii")
        unfinished.chmod(0o644)
        os.replace(unfinished, directory / name)


def installed(directory: Path) -> list[Path]:
    """Return those of the unit files that are there.

    :raises InstallationError: one of them is somebody else's.
    """
    names = [file.name for file in _templates()]
    _refuse_foreign(names, directory)
    return [directory / name for name in names if (directory / name).exists()]


def uninstall(paths: Sequence[Path]) -> None:
    """Remove unit files; see :func:`installed`."""
    for path in paths:
        path.unlink()


def _templates() -> list[Path]:
    return sorted(_TEMPLATES.glob("*.*"))


def _refuse_foreign(names: Iterable[str], directory: Path) -> None:
    for name in names:
        path = directory / name
        if os.path.lexists(path) and not _is_ours(path):
            raise InstallationError(
                f"{path} was not installed by twisted-virtlog; move it away first, or choose"
                " another directory by --unit-dir"
            )


def _is_ours(path: Path) -> bool:
    try:
        return path.read_text(encoding="utf-8", errors="replace").startswith(_MARK)
    except OSError:
        return False
