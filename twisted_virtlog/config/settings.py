"""The keys of the configuration file, their defaults and their rules; from text to settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from twisted_virtlog.config import policies
from twisted_virtlog.config.grammar import Integer, List, Statement, String, parse_all
from twisted_virtlog.config.logging import SpecError, parse_filters, parse_level, parse_outputs
from twisted_virtlog.values import (
    MAX_BACKUPS,
    Compress,
    FileThreads,
    MetricsLogs,
    OnRate,
    OnWriteError,
    PolicyWord,
)

_MAX_FILE_BYTES = 10 * 1024 * 1024
_UINT32 = 2**32 - 1
_UINT64 = 2**64 - 1

_SMALLEST_PIPE = 4096
_LARGEST_PIPE = 2**31


class ConfigError(Exception):
    """The configuration cannot be used; the daemon does not start.

    :ivar problem: what is wrong, in libvirt's words where it has some.
    :ivar remedy: what would be right.
    """

    def __init__(
        self,
        file: str,
        problem: str,
        remedy: str = "",
        line: int | None = None,
        key: str | None = None,
    ) -> None:
        place = file if line is None else f"{file}:{line}"
        parts = [place, key, problem] if key else [place, problem]
        super().__init__(": ".join(parts) + (f"; {remedy}" if remedy else ""))
        self.file = file
        self.line = line
        self.key = key
        self.problem = problem
        self.remedy = remedy


class UnreadableConfig(ConfigError):
    """The file cannot be read, whatever its text."""


Check = Callable[[Any], str]


class Key(Struct, frozen=True, kw_only=True):
    """A key: what may stand there, and what is said of it; see :func:`_key`."""

    name: str
    default: int | str | tuple[str, ...]
    meaning: str
    largest: int
    check: Check | None
    example: int | str | tuple[str, ...]
    takes_list: bool
    advise: Check | None
    in_policy: bool


#: The keys as they are defined, without their names.
_defined: list[Callable[..., Key]] = []


def _key(
    default: int | str | tuple[str, ...],
    meaning: str,
    largest: int = _UINT32,
    check: Check | None = None,
    example: str | tuple[str, ...] = "",
    advise: Check | None = None,
    in_policy: bool = False,
) -> Any:
    """Define a key; its type is that of its default, and a tuple is a list of strings.

    :param check: gives what would be right for a value that is not; may raise SpecError.
    :param example: a value that says more than the default; strings in a tuple for a key that takes
        a list of them as well.
    :param advise: gives what is to be said of a value that is allowed.
    :param in_policy: whether the key is a word of policies, too.
    """
    made = partial(
        Key,
        default=default,
        meaning=meaning,
        largest=largest,
        check=check,
        example=example or default,
        takes_list=isinstance(example, tuple),
        advise=advise,
        in_policy=in_policy,
    )
    _defined.append(made)
    return field(default=default)


def _check_level(value: int) -> str:
    parse_level(value)
    return ""


def _check_filters(value: str) -> str:
    parse_filters(value)
    return ""


def _check_outputs(value: str) -> str:
    parse_outputs(value)
    return ""


def _check_pipe_size(value: int) -> str:
    if _SMALLEST_PIPE <= value <= _LARGEST_PIPE:
        return ""
    return f"write a number of bytes from {_SMALLEST_PIPE} to {_LARGEST_PIPE}"


def _check_choice(choices: type[Enum]) -> Check:
    """Return what checks that a value is one of an enumeration's."""
    values = [one.value for one in choices]
    *first, last = (f'"{one}"' for one in values)
    remedy = f"write {', '.join(first)} or {last}"
    return lambda value: "" if value in values else remedy


#: A type of file systems, as the kernel writes it; only those of FUSE have kinds. A star stands for
#: all of these, not for a part of a name.
_TYPE = re.compile(r"[a-z0-9_-]+|fuse(?:blk)?\.(?:\*|[^\s/*]+)")

_FILE_THREADS_REMEDY = (
    f"write {', '.join(repr(one.value) for one in FileThreads)} or a list of types of file systems"
    " and mount points, as ['nfs4', 'fuse', '/srv/logs']"
).replace("'", '"')


def _check_file_threads(value: str | tuple[str, ...]) -> str:
    alone = [one.value for one in FileThreads]
    if isinstance(value, str):
        return "" if value in alone else _FILE_THREADS_REMEDY
    for word in value:
        if word in alone:
            raise SpecError(f"{word!r} is not possible in a list", _FILE_THREADS_REMEDY)
        if not (_is_mount_point(word) if word.startswith("/") else _TYPE.fullmatch(word)):
            kind = "mount point" if "/" in word else "type of file systems"
            raise SpecError(f"{word!r} is no {kind}", _FILE_THREADS_REMEDY)
    return ""


def _is_mount_point(word: str) -> bool:
    # (os.path.normpath keeps two slashes at the beginning, which the kernel never writes)
    if "\0" in word or word.startswith("//"):
        return False
    return os.path.normpath(word) == (word.rstrip("/") or "/")


def _check_group(value: str) -> str:
    # (whether there is such a group is asked when the socket is made)
    if re.fullmatch(r"[^\s:,\0]*", value):
        return ""
    return 'write the name of one group, as "adm"'


def _check_log_root(value: str) -> str:
    if value.startswith("/") and "\0" not in value:
        return ""
    return 'write an absolute path, as "/var/log/libvirt/"'


_LOG_ROOTS_REMEDY = (
    'write a list of absolute paths without "." and "..", as ["/var/log/libvirt"], or [] for'
    " everywhere"
)


def _check_log_roots(value: tuple[str, ...]) -> str:
    for root in value:
        if not root.startswith("/") or not _is_mount_point(root):
            raise SpecError(f"{root!r} is not possible in the list", _LOG_ROOTS_REMEDY)
    return ""


_CONSUMER = r"[A-Za-z0-9][A-Za-z0-9_.-]*"

_CONSUMERS_REMEDY = (
    'write a list of names, each with a colon and a user, as ["nats:virtlog-ship"], or [] for none'
)


def _check_consumers(value: tuple[str, ...]) -> str:
    seen: set[str] = set()
    for one in value:
        name, _, user = one.partition(":")
        if not re.fullmatch(_CONSUMER, name) or not re.fullmatch(r"[^\s:,\0]+", user):
            raise SpecError(f"{one!r} is not possible in the list", _CONSUMERS_REMEDY)
        if name in seen:
            raise SpecError(f"{name!r} is there twice", _CONSUMERS_REMEDY)
        seen.add(name)
    return ""


def consumers_of(settings: Settings) -> Mapping[str, str]:
    """Return the user of each consumer, by its name."""
    pairs = (one.partition(":") for one in settings.consumers)
    return {name: user for name, _, user in pairs}


def _check_hold(value: str) -> str:
    if all(re.fullmatch(_CONSUMER, name) for name in hold_of(value)):
        return ""
    return 'write names of consumers, with commas, as "nats", or "" for none'


def hold_of(value: str) -> tuple[str, ...]:
    """Return the consumers that a value of ``hold`` names."""
    return tuple(value.split(",")) if value else ()


def _check_state_dir(value: str) -> str:
    if not value or (value.startswith("/") and "\0" not in value):
        return ""
    return 'write an absolute path, as "/var/lib/libvirt/virtlogd", or "" for the usual one'


#: A lower ``max_size`` is accepted, as libvirt accepts it, with a warning: a page of lines.
SMALLEST_SIZE_BYTES = 4096


def _advise_max_size(value: int) -> str:
    if not 0 < value < SMALLEST_SIZE_BYTES:
        return ""
    return (
        f"{value} bytes are so few that a log is rotated again and again and keeps next to nothing;"
        f" write at least {SMALLEST_SIZE_BYTES}, or 0 to let logs grow without end"
    )


def _advise_max_backups(value: int) -> str:
    if value <= MAX_BACKUPS:
        return ""
    return f"{value} is more than {MAX_BACKUPS}; every open, read and append will be refused"


class Settings(Struct, frozen=True, eq=False):
    """What the configuration says. The fields are the keys; those above the gap are libvirt's.

    Settings are equal if all of these are, whether the file sets them or not.

    :ivar named: the keys that the file sets, be it to their defaults; no key itself.
    """

    log_level: int = _key(0, "least level of the daemon's own messages; 0: 3", check=_check_level)
    log_filters: str = _key(
        "", "other levels for parts of the daemon", check=_check_filters, example="1:logs 3:jsonrpc"
    )
    log_outputs: str = _key(
        "", "where the daemon's own messages go", check=_check_outputs, example="3:stderr"
    )
    max_clients: int = _key(1024, "clients served at once by each socket")
    admin_max_clients: int = _key(5000, "clients of the admin socket served at once")
    max_size: int = _key(
        2 * 1024 * 1024,
        "bytes of one file; 0: no limit",
        _UINT64,
        advise=_advise_max_size,
        in_policy=True,
    )
    max_backups: int = _key(
        3,
        "files kept beside the current one",
        _UINT64,
        advise=_advise_max_backups,
        in_policy=True,
    )
    max_age_days: int = _key(0, "days after which old logs are removed; 0: never", _UINT64)
    log_root: str = _key(
        "/var/log/libvirt/", "where old logs are looked for", check=_check_log_root
    )

    pipe_size: int = _key(
        1024 * 1024, "bytes that a pipe should hold", check=_check_pipe_size, in_policy=True
    )
    on_write_error: str = _key(
        "drop",
        "what to do while a file cannot be written",
        check=_check_choice(OnWriteError),
        in_policy=True,
    )
    max_open_logs: int = _key(0, "logs open at once; 0: as many as descriptors allow")
    file_threads: str | tuple[str, ...] = _key(
        "auto",
        "file systems with a thread of their own",
        check=_check_file_threads,
        example=("nfs4", "/srv/logs"),
    )
    file_timeout: int = _key(5, "seconds after which a mount does not answer; 0: no limit")
    jsonrpc_ro_group: str = _key(
        "", "group that may connect to the read-only socket", check=_check_group, example="adm"
    )
    state_dir: str = _key(
        "",
        "where the daemon keeps what it knows beside the logs; empty: the usual place",
        check=_check_state_dir,
        example="/var/lib/libvirt/virtlogd",
    )
    time_index: int = _key(1, "1: note when bytes of logs come; 0: do not", 1)
    keep_on_truncate: int = _key(
        0, "1: a truncating open begins a new file; 0: it removes all", 1, in_policy=True
    )
    policies: tuple[str, ...] = _key(
        (), "what else holds for some logs", example=("domain:ci-* max_size=1048576",)
    )
    quota: int = _key(
        0, "bytes on disk of all files of a guest; 0: no limit", _UINT64, in_policy=True
    )
    host_max_use: int = _key(0, "bytes on disk of all logs; 0: no limit", _UINT64)
    host_keep_free: int = _key(
        0, "bytes left free on each file system: logs do not grow into them; 0: none", _UINT64
    )
    metrics_logs: str = _key(
        "some", "which logs have metrics of their own", check=_check_choice(MetricsLogs)
    )
    rate: int = _key(0, "bytes that a log takes in a second; 0: no limit", _UINT64, in_policy=True)
    burst: int = _key(0, "bytes that it takes at once; 0: a second's", _UINT64, in_policy=True)
    boot_burst: int = _key(
        0, "bytes that it takes at once after it was opened", _UINT64, in_policy=True
    )
    on_rate: str = _key(
        "drop",
        "what to do with what is beyond the rate",
        check=_check_choice(OnRate),
        in_policy=True,
    )
    log_roots: tuple[str, ...] = _key(
        (),
        "directories outside of which no log is; none: logs may be anywhere",
        check=_check_log_roots,
        example=("/var/log/libvirt",),
    )

    consumers: tuple[str, ...] = _key(
        (),
        "who may acknowledge what they have read, and the user of each",
        check=_check_consumers,
        example=("nats:virtlog-ship",),
    )
    hold: str = _key(
        "",
        "consumers for which logs are held from their beginning on",
        check=_check_hold,
        example="nats",
        in_policy=True,
    )
    hold_max: int = _key(
        1024 * 1024 * 1024, "bytes on disk of the held files of all logs; 0: no limit", _UINT64
    )
    hold_max_log: int = _key(
        64 * 1024 * 1024, "bytes on disk of the held files of one log; 0: no limit", _UINT64
    )
    compress: str = _key(
        "",
        "what backups are compressed by",
        check=_check_choice(Compress),
        example="zstd",
        in_policy=True,
    )
    compress_from: int = _key(1, "the first backup that is compressed", in_policy=True)
    compress_delay: int = _key(60, "seconds from a roll-over until its backup is compressed")

    named: frozenset[str] = frozenset()

    def __eq__(self, other: object) -> bool:
        """Compare the values of all keys."""
        if not isinstance(other, Settings):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in KEYS)

    __hash__ = None  # type: ignore[assignment]  # (nobody needs it)


#: By name, in their order.
KEYS = {
    name: made(name=name) for name, made in zip(Settings.__struct_fields__, _defined, strict=False)
}


class Examined(Struct, frozen=True):
    """What a configuration file's text comes to.

    :ivar settings: those of the keys that are right; the others have their defaults.
    :ivar errors: why the text as a whole cannot be used, beginning with the one that libvirt finds.
    :ivar warnings: about what has no effect, or will fail.
    """

    settings: Settings
    errors: tuple[ConfigError, ...]
    warnings: tuple[str, ...]


def examine(file: str, text: bytes) -> Examined:
    """Return what is right and everything that is wrong in a configuration file's text.

    :param file: its name, for messages.
    """
    statements, mistakes = parse_all(text)
    errors = [
        ConfigError(
            file,
            f"configuration file syntax error: {error.problem}",
            'write lines as max_size = 2097152 or log_outputs = "3:stderr"',
            error.line,
        )
        for error in mistakes
    ]
    values: dict[str, Any] = {}
    warnings: list[str] = []
    entries: list[tuple[str, policies.Entry]] = []
    places: dict[str, str] = {}
    seen = set()
    for statement in statements:
        name = statement.name
        if name not in KEYS:
            warnings.append(f"{file}:{statement.line}: {name}: no such key; it has no effect")
        elif name in seen:
            # As in libvirt.
            warnings.append(f"{file}:{statement.line}: {name}: set before; the first value holds")
        else:
            seen.add(name)
            try:
                value = _checked(file, statement)
                if name == "policies":
                    value = _right_policies(file, value, errors, warnings, entries)
            except ConfigError as error:
                errors.append(error)
                continue
            values[name] = value
            places[name] = f"{file}:{statement.line}: {name}"
            advice = _advice(name, value)
            if advice:
                warnings.append(f"{file}:{statement.line}: {name}: {advice}")
    settings = Settings(**values, named=frozenset(values))
    warnings += _advise_bounds(settings, places, entries)
    warnings += _advise_holds(settings, places, entries)
    return Examined(settings, tuple(errors), tuple(warnings))


def _advice(name: str, value: Any) -> str:
    """Return what is to be said of a value that is allowed; "" for nothing."""
    advise = KEYS[name].advise
    return "" if advise is None else str(advise(value))


def _right_policies(
    file: str,
    entries: Sequence[String],
    errors: list[ConfigError],
    warnings: list[str],
    found: list[tuple[str, policies.Entry]],
) -> tuple[str, ...]:
    """Return the entries that are right; add what is to be said of them and of the others.

    :param found: gets those that are right, with where they stand.
    """
    right = []
    for one in entries:
        text = os.fsdecode(one.value)
        entry, mistakes = policies.examine(text, POLICY_WORDS)
        what = f"entry {text!r}"
        errors += (
            ConfigError(file, f"{what}: {error}", error.remedy, one.line, "policies")
            for error in mistakes
        )
        if entry is not None:
            right.append(text)
            found.append((f"{file}:{one.line}: policies: {what}", entry))
            said = ((name, _advice(name, value)) for name, value in entry.words)
            warnings += (
                f"{file}:{one.line}: policies: {what}: {name}: {advice}"
                for name, advice in said
                if advice
            )
    return tuple(right)


def _advise_bounds(
    settings: Settings, places: Mapping[str, str], entries: Sequence[tuple[str, policies.Entry]]
) -> Iterator[str]:
    """Yield what is to be said of bounds that never hold one full file.

    Words that an entry does not have are those of the first entry for all logs, or the keys.

    :param places: where keys stand, by their names.
    :param entries: with where they stand.
    """
    usual: dict[str, Any] = {"quota": settings.quota, "max_size": settings.max_size}
    for _, entry in reversed(entries):
        if entry.kind is policies.Kind.ANY:
            usual |= dict(entry.words)
    max_use = settings.host_max_use
    if "quota" in places:
        yield from _below(places["quota"], "quota", settings.quota, settings.max_size)
    if "host_max_use" in places:
        yield from _below(places["host_max_use"], "host_max_use", max_use, settings.max_size)
    for place, entry in entries:
        words = dict(entry.words)
        if words.keys() & {"quota", "max_size"}:
            held = usual | words
            yield from _below(place, "quota", held["quota"], held["max_size"])
        if "max_size" in words:
            yield from _below(place, "host_max_use", max_use, int(words["max_size"]))


def _advise_holds(
    settings: Settings, places: Mapping[str, str], entries: Sequence[tuple[str, policies.Entry]]
) -> Iterator[str]:
    """Yield what is to be said of logs that are held for nobody; see :func:`_advise_bounds`."""
    known = consumers_of(settings)
    said = [(places["hold"], settings.hold)] if "hold" in places else []
    said += [
        (place, str(value))
        for place, entry in entries
        for name, value in entry.words
        if name == "hold"
    ]
    for place, value in said:
        for name in hold_of(value):
            if name not in known:
                yield (
                    f"{place}: hold: there is no consumer {name!r}, and nothing is held for it;"
                    f' write consumers = ["{name}:USER"] as well'
                )


def _below(place: str, name: str, bound: int, max_size: int) -> Iterator[str]:
    if 0 < bound < max_size:
        yield (
            f"{place}: {name}={bound} is below max_size={max_size}: no file can become full;"
            f" write {name} of at least {max_size}, or a smaller max_size"
        )


def policy_entries(settings: Settings) -> list[policies.Entry]:
    """Return the entries of ``policies``, in their order.

    :raises SpecError: one is wrong; those that a file has are checked before.
    """
    return [policies.parse(text, POLICY_WORDS) for text in settings.policies]


def with_words(settings: Settings, words: Mapping[str, int | str]) -> Settings:
    """Return the settings of logs for which words of ``policies`` hold."""
    values: dict[str, Any] = dict(words)
    return replace(settings, **values)


def explained(
    settings: Settings, entries: Sequence[policies.Entry], origins: Mapping[str, int]
) -> dict[str, PolicyWord]:
    """Return what holds for a log, and what says so.

    :param entries: those of :func:`policy_entries`.
    :param origins: by which of them words are decided.
    """
    found: dict[str, PolicyWord] = {}
    for name in POLICY_WORDS:
        number = origins.get(name)
        if number is None:
            source = name if name in settings.named else "default"
            found[name] = PolicyWord(getattr(settings, name), source)
        else:
            value = dict(entries[number].words)[name]
            found[name] = PolicyWord(value, f"policies[{number}]", settings.policies[number])
    return found


def _word_parser(name: str) -> policies.ParseValue:
    """Return what parses the value of a key as a word of policies, by the rules of the key."""
    key = KEYS[name]

    def parse_value(text: str) -> int | str:
        value: int | str = text
        if isinstance(key.default, int):
            example = f"write {name}={key.default}"
            if not re.fullmatch("[0-9]+", text):
                raise SpecError("expected an unsigned integer", example)
            largest = key.largest
            # (Python refuses to read numbers of thousands of digits)
            digits = text.lstrip("0") or "0"
            if len(digits) > len(str(largest)) or int(digits) > largest:
                raise SpecError(f"the value must be in range 0:{largest}", example)
            value = int(digits)
        check = key.check
        remedy = "" if check is None else check(value)
        if remedy:
            raise SpecError(f"{value!r} is not possible", remedy.replace('"', ""))
        return value

    return parse_value


#: The words of policies, with what parses their values: the keys that may stand there.
POLICY_WORDS: Mapping[str, policies.ParseValue] = {
    name: _word_parser(name) for name, key in KEYS.items() if key.in_policy
}


def load(file: str, text: bytes) -> tuple[Settings, list[str]]:
    """Make settings of a configuration file's text.

    :param file: its name, for messages.
    :returns: the settings, and warnings about what has no effect or will fail.
    :raises ConfigError: it cannot be used.
    """
    examined = examine(file, text)
    if examined.errors:
        raise examined.errors[0]
    return examined.settings, list(examined.warnings)


def read_text(file: str, required: bool) -> bytes:
    """Read a configuration file.

    :param required: whether it must exist; one that does not is empty otherwise.
    :raises UnreadableConfig: it cannot be read.
    """
    try:
        with open(file, "rb") as opened:
            text = opened.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        if not required:
            return b""
        problem = f"Failed to open file '{file}': {error.strerror}"
        raise UnreadableConfig(file, problem, "name a file that exists") from error
    except OSError as error:
        problem = f"Failed to read file '{file}': {error.strerror}"
        raise UnreadableConfig(file, problem, "name a file that can be read") from error
    if len(text) > _MAX_FILE_BYTES:
        problem = f"Failed to read file '{file}': Value too large for defined data type"
        raise UnreadableConfig(file, problem, f"write at most {_MAX_FILE_BYTES} bytes")
    return text


def read(file: str, required: bool) -> tuple[Settings, list[str]]:
    """Make settings of a configuration file.

    :param required: whether it must exist.
    :returns: see :func:`load`.
    :raises ConfigError: it cannot be read or used.
    """
    return load(file, read_text(file, required))


def with_environment(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """Put what libvirt's environment variables say in the place of the logging settings.

    :raises ConfigError: a variable has a value that is not allowed.
    """
    values: dict[str, Any] = {}
    for variable, key in _VARIABLES.items():
        text = environment.get(variable, "")
        if text:
            value: Any = _LEVEL_NAMES.get(text, text) if key == "log_level" else text
            if key == "log_level" and value not in _LEVEL_NAMES.values():
                raise ConfigError(
                    variable,
                    f"Failed to set logging priority, argument '{text}' is invalid",
                    f"write one of {', '.join(_LEVEL_NAMES)}",
                )
            values[key] = _accepted(variable, key, value, None)
    return replace(settings, **values)


_VARIABLES = {
    "LIBVIRT_DEBUG": "log_level",
    "LIBVIRT_LOG_FILTERS": "log_filters",
    "LIBVIRT_LOG_OUTPUTS": "log_outputs",
}

_LEVEL_NAMES = {
    "1": 1, "debug": 1, "2": 2, "info": 2, "3": 3, "warning": 3, "4": 4, "error": 4,
}  # fmt: skip


def _checked(file: str, statement: Statement) -> Any:
    key = KEYS[statement.name]
    value = statement.value
    example = _written(key.name, key.example)
    if isinstance(key.default, tuple):
        strings = _strings(file, statement, example)
        if key.name == "policies":
            # (they say in which line each stands)
            return strings
        words = tuple(os.fsdecode(one.value) for one in strings)
        return _accepted(file, key.name, words, statement.line)
    if key.takes_list:
        return _accepted(file, key.name, _string_or_list(file, statement, example), statement.line)
    if isinstance(key.default, str):
        if not isinstance(value, String):
            problem = f"expected a string for '{key.name}' parameter"
            raise ConfigError(file, problem, f"write {example}", statement.line, key.name)
        return _accepted(file, key.name, os.fsdecode(value.value), statement.line)
    if not isinstance(value, Integer) or value.signed:
        problem = f"expected an unsigned integer for '{key.name}' parameter"
        raise ConfigError(file, problem, f"write {example}", statement.line, key.name)
    largest = key.largest
    if value.value > largest:
        problem = f"value for '{key.name}' parameter must be in range 0:{largest}"
        raise ConfigError(file, problem, f"write {example}", statement.line, key.name)
    return _accepted(file, key.name, value.value, statement.line)


def _written(name: str, value: object) -> str:
    """Return a line of a configuration file."""
    return f"{name} = {list(value) if isinstance(value, tuple) else value!r}".replace("'", '"')


def _strings(file: str, statement: Statement, example: str) -> tuple[String, ...]:
    if isinstance(statement.value, List):
        strings = tuple(one for one in statement.value.values if isinstance(one, String))
        if len(strings) == len(statement.value.values):
            return strings
    problem = f"expected a string list for '{statement.name}' parameter"
    raise ConfigError(file, problem, f"write {example}", statement.line, statement.name)


def _string_or_list(file: str, statement: Statement, example: str) -> str | tuple[str, ...]:
    match statement.value:
        case String(value):
            return os.fsdecode(value)
        case List(values):
            words = tuple(os.fsdecode(one.value) for one in values if isinstance(one, String))
            if len(words) == len(values):
                return words
            problem = f"expected a string list for '{statement.name}' parameter"
        case _:
            problem = f"expected a string or string list for '{statement.name}' parameter"
    raise ConfigError(file, problem, f"write {example}", statement.line, statement.name)


def _accepted(file: str, name: str, value: Any, line: int | None) -> Any:
    """Apply a key's own check."""
    check = KEYS[name].check
    if check is not None:
        try:
            remedy = check(value)
        except SpecError as error:
            raise ConfigError(file, str(error), error.remedy, line, name) from error
        if remedy:
            raise ConfigError(file, f"{value!r} is not possible", remedy, line, name)
    return value
