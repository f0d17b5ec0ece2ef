"""Server endpoint strings before Twisted parses them: bare paths, and what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from twisted_virtlog.config.paths import too_long

_UNIX = "unix:"
#: In the order in which Twisted's parser takes those that are not named.
_UNIX_OPTIONS = ("address", "mode", "backlog", "lockfile")
_BARE_PATH = ("/", "./", "../")


def with_scheme(endpoint: str) -> str:
    """Return an endpoint; ``unix:`` is put before a bare path."""
    return _UNIX + endpoint if endpoint.startswith(_BARE_PATH) else endpoint


def quoted(path: str) -> str:
    """Return an absolute path as an endpoint."""
    return re.sub(r"([\\:=])", r"\\\1", path)


def beside(endpoint: str, rename: Callable[[str], str]) -> str | None:
    """Return the endpoint of another socket in the same directory.

    :param rename: makes the other path of this one.
    :returns: None if the endpoint has no path.
    """
    path = socket_path(endpoint)
    return None if path is None else _UNIX + quoted(rename(path))


def socket_path(endpoint: str) -> str | None:
    """Return the path in an endpoint; None if it has none, as one of another kind."""
    endpoint = with_scheme(endpoint)
    if not endpoint.startswith(_UNIX):
        return None
    arguments = list(_arguments(endpoint.removeprefix(_UNIX)))
    named = [value for name, value in arguments if name == "address"]
    return named[0] if named else next((value for name, value in arguments if name is None), "")


def fault(endpoint: str) -> str | None:
    """Return what is wrong with a ``unix:`` endpoint; None: nothing, or it is another kind."""
    if not endpoint.startswith(_UNIX):
        return None
    options: dict[str, str] = {}
    for index, (name, value) in enumerate(_arguments(endpoint.removeprefix(_UNIX))):
        if name is None and index >= len(_UNIX_OPTIONS):
            return f"{value!r} is one option too many; a ':' in a path is written '\\:'"
        key = _UNIX_OPTIONS[index] if name is None else name
        if key not in _UNIX_OPTIONS:
            return f"there is no option {key!r}; a path may be followed by mode=600"
        options[key] = value
    return _path_fault(options.get("address", "")) or _mode_fault(options.get("mode", "600"))


def _path_fault(path: str) -> str | None:
    if not path:
        return "it has no path"
    try:
        return too_long(path)
    except ValueError as error:
        return f"no file can have its path: {error}"


def _mode_fault(mode: str) -> str | None:
    if re.fullmatch("0*[0-7]{1,4}", mode):
        return None
    return f"{mode!r} is not an octal mode, as 600; a ':' in a path is written '\\:'"


def _arguments(text: str) -> Iterator[tuple[str | None, str]]:
    """Yield names (None where one is missing) and values, as Twisted's parser has them."""
    for argument in re.findall(r"(?:^|:)((?:\\.|[^\\:])*)", text, re.DOTALL):
        named = re.fullmatch(r"((?:\\.|[^\\=])*)=(.*)", argument, re.DOTALL)
        name, value = named.groups() if named else (None, argument)
        yield (None if name is None else _unquoted(name)), _unquoted(value)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
