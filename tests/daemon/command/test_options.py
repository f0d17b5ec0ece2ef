"""virtlogd's options: what they mean, and which values they take."""

from __future__ import annotations

import pytest

from twisted_virtlog.daemon.command.getopt_long import UsageError
from twisted_virtlog.daemon.command.options import (
    OPTIONS,
    Arguments,
    BadTimeout,
    ShowHelp,
    ShowVersion,
    parse,
    usage,
)


@pytest.mark.parametrize(
    ("arguments", "meaning"),
    [
        ("", Arguments()),
        ("-d", Arguments(daemon=True)),
        ("-dv", Arguments(daemon=True, verbose=True)),
        ("--daemon --verbose", Arguments(daemon=True, verbose=True)),
        ("-f a -p b", Arguments(config="a", pid_file="b")),
        ("--config=a --pid-file b", Arguments(config="a", pid_file="b")),
        ("--pid= --conf=", Arguments(config="", pid_file="")),
        ("--metrics /m --jsonrpc-ro=none", Arguments(metrics="/m", jsonrpc_ro="none")),
        ("--check -f x", Arguments(check=True, config="x")),
        # As in virtlogd, where no other option begins so.
        ("--c x", Arguments(config="x")),
        ("-t5 --timeout=7", Arguments(timeout=7)),
        ("-t 5 here and there", Arguments(timeout=5)),
        ("-- -t 5", Arguments()),
        ("-h -x", ShowHelp()),
        ("-dV --timeout=never", ShowVersion()),
    ],
)
def test_what_command_lines_mean(arguments: str, meaning: object) -> None:
    """From left to right; the later of two values holds."""
    assert parse(arguments.split()) == meaning


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("5x", 5),
        ("010", 10),
        ("0x10", 0),
        (" +7 ", 7),
        ("-0", 0),
        ("0" * 9999 + "1", 1),
        ("2147483", 2147483),
    ],
)
def test_a_timeout_is_read_as_c_reads_numbers(text: str, seconds: int) -> None:
    """In decimal; what follows the digits does not matter."""
    assert parse(["-t", text]) == Arguments(timeout=seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "2147484", "9" * 9999, "+-1", "\u0661"])
def test_a_timeout_that_is_none_is_refused(text: str) -> None:
    """With the value, and what would be right."""
    with pytest.raises(BadTimeout, match=r"Invalid value for timeout: .*; write seconds"):
        parse(["-t", text])


def test_a_mistake_is_refused_before_a_later_question() -> None:
    """As it is found first."""
    with pytest.raises(UsageError, match="invalid option -- 'x'"):
        parse(["-x", "-V"])


def test_the_help_tells_all_options() -> None:
    """In both forms, with what their values are."""
    text = usage("virtlogd")
    assert text.startswith("Usage: virtlogd [OPTION]...\n")
    for option in OPTIONS:
        short = f"-{option.short}," if option.short else "   "
        assert f"  {short} --{option.long} {option.value}" in text
    assert max(map(len, text.splitlines())) <= 88
