"""The entries of ``policies``: which logs they are for, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.config.logging import SpecError
from twisted_virtlog.config.policies import Entry, Kind, ParseValue, Value, examine, parse
from twisted_virtlog.config.settings import POLICY_WORDS, Settings, load, policy_entries
from twisted_virtlog.config.settings import examine as examine_file
from twisted_virtlog.values import Domain

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
WEB = Domain(UUID, "web")
PATH = "/var/log/libvirt/qemu/web-serial0.log"


def _number(text: str) -> int:
    if not text.isdecimal():
        raise SpecError("not a number", "write a number")
    return int(text)


WORDS: Mapping[str, ParseValue] = {"size": _number, "mode": lambda text: text}


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("* size=1", Entry(Kind.ANY, "", (("size", 1),))),
        ("domain:ci-*  size=1\tmode=a", Entry(Kind.DOMAIN, "ci-*", (("size", 1), ("mode", "a")))),
        (" domain:web size=1 ", Entry(Kind.DOMAIN, "web", (("size", 1),))),
        ("domain:'a guest'\n size=1", Entry(Kind.DOMAIN, "a guest", (("size", 1),))),
        ("path:'/a b/*' size=1", Entry(Kind.PATH, "/a b/*", (("size", 1),))),
        ("path:**/c.log size=1", Entry(Kind.PATH, "**/c.log", (("size", 1),))),
        ("driver:'QEMU' mode=b", Entry(Kind.DRIVER, "QEMU", (("mode", "b"),))),
        ("domain:o'neil size=1", Entry(Kind.DOMAIN, "o'neil", (("size", 1),))),
        ("domain:a:b mode=a=b", Entry(Kind.DOMAIN, "a:b", (("mode", "a=b"),))),
        (f"uuid:{UUID.upper()} size=1", Entry(Kind.UUID, UUID, (("size", 1),))),
        (f"uuid:{UUID.replace('-', '')} size=1", Entry(Kind.UUID, UUID, (("size", 1),))),
    ],
)
def test_an_entry_is_a_matcher_and_words(text: str, entry: Entry) -> None:
    """Separated by blanks, which a value has in quotes."""
    assert parse(text, WORDS) == entry


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["'' does not say which logs it is for"]),
        ("size=1", ["'size=1' does not say which logs it is for"]),
        ("guest:a size=1", ["'guest:a' does not say which logs it is for"]),
        ("*:a size=1", ["'*:a' does not say which logs it is for"]),
        ("domain size=1", ["'domain' does not say which logs it is for"]),
        ("domain: size=1", ["'domain:' names nothing"]),
        ("domain:'' size=1", ["\"domain:''\" names nothing"]),
        ("domain:'a b size=1", ['"domain:\'a b size=1": its quote is not closed']),
        ("domain:'a'b size=1", ["\"domain:'a'b\": 'b' follows the quote"]),
        ("uuid:c7a5 size=1", ["'c7a5' is no UUID"]),
        (f"uuid:{UUID}0 size=1", [f"'{UUID}0' is no UUID"]),
        ("path:a/b size=1", ["'a/b' matches no path, as each begins with /"]),
        ("path:*/b size=1", ["'*/b' matches no path, as each begins with /"]),
        ("domain:web", ["it sets nothing"]),
        ("* sise=1", ["'sise=1': there is no such word"]),
        ("* size", ["'size' has no value"]),
        ("* size=", ["'size=' has no value"]),
        ("* size=x", ["'size=x': not a number"]),
        ("* size=1 size=1", ["'size=1': size is set before"]),
        (
            "uuid:1 sise=1 size=x",
            ["'1' is no UUID", "'sise=1': there is no such word", "'size=x': not a number"],
        ),
    ],
)
def test_all_mistakes_of_an_entry_are_told(text: str, problems: Sequence[str]) -> None:
    """Each with what would be right."""
    entry, mistakes = examine(text, WORDS)
    assert entry is None
    assert [str(one) for one in mistakes] == problems
    assert all(one.remedy.startswith("write ") for one in mistakes)
    with pytest.raises(SpecError):
        parse(text, WORDS)


@pytest.mark.parametrize(
    ("matcher", "is_for"),
    [
        ("*", True),
        ("domain:web", True),
        ("domain:w*", True),
        ("domain:WEB", False),
        ("domain:we", False),
        (f"uuid:{UUID.upper()}", True),
        (f"uuid:{UUID[:-1]}0", False),
        ("driver:qemu", True),
        ("driver:Q*", True),
        ("driver:lxc", False),
        (f"path:{PATH}", True),
        ("path:/var/log/libvirt/qemu/*.log", True),
        ("path:/var/log/*/web-serial0.log", False),
        ("path:/var/log/**/web-serial?.log", True),
    ],
)
def test_an_entry_is_for_the_logs_that_it_describes(matcher: str, is_for: bool) -> None:
    """By the guest, the path or who opened it, whom newer versions of libvirt call QEMU."""
    entry = parse(f"{matcher} size=1", WORDS)
    assert entry.matches(PATH, "qemu", WEB) is is_for
    assert entry.matches(PATH, "QEMU", Domain(UUID.upper(), "web")) is is_for


def test_what_nobody_knows_matches_nothing() -> None:
    """Of a log that nobody opened only the path is known."""
    matchers = ["domain:*", f"uuid:{UUID}", "driver:*", "path:**", "*"]
    found = [parse(f"{one} size=1", WORDS).matches(PATH, None, None) for one in matchers]
    assert found == [False, False, False, True, True]


_values = st.text(st.characters(exclude_characters="'", codec="utf-8"), min_size=1, max_size=8)
_matchers = st.one_of(
    st.just((Kind.ANY, "")),
    st.tuples(st.sampled_from([Kind.DOMAIN, Kind.DRIVER]), _values),
    st.tuples(st.just(Kind.PATH), _values.map(lambda value: f"/{value}")),
    st.tuples(st.just(Kind.UUID), st.uuids().map(str)),
)
_words = st.dictionaries(st.sampled_from(["size", "size2"]), st.integers(0, 2**64), min_size=1).map(
    lambda words: tuple(words.items())
)


@given(_matchers, _words)
def test_an_entry_is_what_it_is_written_as(
    matcher: tuple[Kind, str], words: tuple[tuple[str, Value], ...]
) -> None:
    """Quotes stand where they are needed."""
    entry = Entry(*matcher, words)
    assert parse(str(entry), {"size": _number, "size2": _number}) == entry


_pieces = st.sampled_from(
    [*(f"{one.value}:" for one in Kind), "*", "'", " ", "\t", "=", "1", "size", "size=1", "/", "["]
)


@given(st.one_of(st.text(max_size=30), st.lists(_pieces, max_size=10).map("".join)))
def test_any_text_is_an_entry_or_has_mistakes(text: str) -> None:
    """And one that is accepted has words, and can be asked."""
    entry, mistakes = examine(text, WORDS)
    assert (entry is None) is bool(mistakes)
    if entry is not None:
        assert entry.words
        assert entry.matches(PATH, "qemu", WEB) in {True, False}
        assert parse(str(entry), WORDS) == entry


# In a file.


def test_a_file_s_entries_are_kept_in_their_order() -> None:
    """As they are written, and without a look at them once more."""
    text = b'policies = [\n  "domain:ci-*  max_size=8192",\n  "* on_write_error=block"\n]\n'
    settings, warnings = load("a.conf", text)
    assert settings.policies == ("domain:ci-*  max_size=8192", "* on_write_error=block")
    assert warnings == []
    assert [entry.words for entry in policy_entries(settings)] == [
        (("max_size", 8192),),
        (("on_write_error", "block"),),
    ]


def test_each_mistake_names_file_line_entry_word_and_what_would_be_right() -> None:
    """The line is that of the entry, in a list of many; those that are right are kept."""
    text = b"""\
max_size = 8192
policies = [
  "domain:a max_size=2M rat=1",
  "* max_size=9999",

  "driver:lxc on_write_error=wait",
  "path:/a keep_on_truncate=2", "path:/a pipe_size=1 pipe_size=8192",
]
"""
    examined = examine_file("a.conf", text)
    one = "a.conf:3: policies: entry 'domain:a max_size=2M rat=1'"
    assert [str(error) for error in examined.errors] == [
        f"{one}: 'max_size=2M': expected an unsigned integer; write max_size=2097152",
        f"{one}: 'rat=1': there is no such word; write one of {', '.join(POLICY_WORDS)}",
        (
            "a.conf:6: policies: entry 'driver:lxc on_write_error=wait': 'on_write_error=wait':"
            " 'wait' is not possible; write drop or block"
        ),
        (
            "a.conf:7: policies: entry 'path:/a keep_on_truncate=2': 'keep_on_truncate=2': the"
            " value must be in range 0:1; write keep_on_truncate=0"
        ),
        (
            "a.conf:7: policies: entry 'path:/a pipe_size=1 pipe_size=8192': 'pipe_size=1': 1 is"
            " not possible; write a number of bytes from 4096 to 2147483648"
        ),
    ]
    assert examined.settings == Settings(max_size=8192, policies=("* max_size=9999",))


def test_what_is_said_of_keys_is_said_of_words() -> None:
    """Few bytes, and more backups than there can be."""
    settings, warnings = load("a.conf", b'policies = ["* max_size=100",\n"* max_backups=33"]')
    assert settings.policies == ("* max_size=100", "* max_backups=33")
    assert warnings == [
        (
            "a.conf:1: policies: entry '* max_size=100': max_size: 100 bytes are so few that a log"
            " is rotated again and again and keeps next to nothing; write at least 4096, or 0 to"
            " let logs grow without end"
        ),
        (
            "a.conf:2: policies: entry '* max_backups=33': max_backups: 33 is more than 32; every"
            " open, read and append will be refused"
        ),
    ]


@pytest.mark.parametrize("written", ['"* max_size=8192"', "1", "[1]", '[["* max_size=8192"]]'])
def test_the_key_takes_a_list_of_strings(written: str) -> None:
    """And nothing else."""
    (error,) = examine_file("a.conf", f"policies = {written}".encode()).errors
    assert str(error) == (
        "a.conf:1: policies: expected a string list for 'policies' parameter; write"
        ' policies = ["domain:ci-* max_size=1048576"]'
    )


@pytest.mark.parametrize("digits", ["9" * 20, "1" + "0" * 10_000])
def test_a_number_beyond_all_measure_is_a_mistake(digits: str) -> None:
    """However many digits it has."""
    (error,) = examine_file("a.conf", f'policies = ["* max_size={digits}"]'.encode()).errors
    assert "the value must be in range 0:18446744073709551615" in str(error)


def test_zeros_before_a_number_do_not_count() -> None:
    """As in the file's own numbers."""
    (entry,) = policy_entries(Settings(policies=("* max_size=" + "0" * 5000 + "8192",)))
    assert entry.words == (("max_size", 8192),)


def test_an_entry_may_have_any_bytes() -> None:
    """As paths and names have."""
    settings, _ = load("a.conf", b'policies = ["path:/\xff/* max_size=8192"]')
    (entry,) = policy_entries(settings)
    assert entry.matches("/\udcff/a.log", None, None)
