"""Command lines read as getopt_long(3) reads them; util-linux's getopt(1) is that function."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.effort import examples
from twisted_virtlog.daemon.command.getopt_long import UsageError, options_in
from twisted_virtlog.daemon.command.options import OPTIONS

#: Those that virtlogd has; ours must not be shortened, which the C library knows nothing of.
_TABLE = [option for option in OPTIONS if not option.exact]

_SHORT = "".join(option.short + (":" if option.value else "") for option in _TABLE)
_LONG = ",".join(option.long + (":" if option.value else "") for option in _TABLE)

needs_getopt = pytest.mark.skipif(
    shutil.which("getopt") is None, reason="needs util-linux's getopt"
)


def _theirs(arguments: list[str]) -> list[str] | str:
    """Give the options and values that getopt_long finds, or its first complaint."""
    command = ["getopt", "--name", "x", "--options", _SHORT, "--longoptions", _LONG, "--"]
    run = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if run.stderr:
        return run.stderr.splitlines()[0].removeprefix("x: ")
    words = shlex.split(run.stdout)
    # What is no option stands behind this; a value may be the same word.
    count = len(arguments) - _passed_over(words)
    assert count >= 0
    return words[: len(words) - _passed_over(words) - 1]


def _passed_over(words: list[str]) -> int:
    position = 0
    short = {f"-{option.short}": option for option in _TABLE}
    known = {**short, **{f"--{option.long}": option for option in _TABLE}}
    while words[position] != "--":
        position += 2 if known[words[position]].value else 1
    return len(words) - position - 1


def _ours(arguments: list[str]) -> list[str] | str:
    found: list[str] = []
    names = {name: f"--{name}" for name in (option.long for option in _TABLE)}
    try:
        for option, value in options_in(arguments, _TABLE):
            found.append(names[option.long])
            if value is not None:
                found.append(value)
    except UsageError as error:
        return str(error)
    return found


def _long_names(words: list[str] | str) -> list[str] | str:
    if isinstance(words, str):
        return words
    short = {f"-{option.short}": f"--{option.long}" for option in _TABLE}
    return [short.get(word, word) for word in words]


_words = st.text("-vdftpVhx5=: ", max_size=4)
_names = st.sampled_from([option.long for option in _TABLE]).flatmap(
    lambda name: st.integers(0, len(name)).map(lambda end: f"--{name[:end]}")
)
_arguments = st.lists(
    st.one_of(_words, _names, _names.map("{}=5".format), st.sampled_from(["--", "-", "5", "-dv"])),
    max_size=4,
)


@needs_getopt
@settings(max_examples=examples(100))
@given(_arguments)
@example(["--v"])
@example(["--="])
@example(["--time=5", "--verb=3"])
@example(["-t5x", "-t", "-t"])
@example(["a", "-d", "--", "-x"])
def test_it_reads_what_the_c_library_reads(arguments: list[str]) -> None:
    """The same options with the same values, or the same complaint."""
    assert _long_names(_ours(arguments)) == _long_names(_theirs(arguments))


def test_what_is_before_a_mistake_is_read() -> None:
    """So that --version is answered, whatever follows."""
    options = options_in(["-V", "-x"], OPTIONS)
    assert next(options)[0].long == "version"
    with pytest.raises(UsageError, match="invalid option -- 'x'"):
        next(options)
