"""What logs are called in NATS."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.ship.subjects import LONGEST_TOKEN, subject, token

UUID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("node17", "node17"),
        ("node17.example.org", "node17%2Eexample%2Eorg"),
        ("/var/log/libvirt/qemu/web 1.log", "/var/log/libvirt/qemu/web%201%2Elog"),
        ("*>\t%~", "%2A%3E%09%25%7E"),
        ("ä", "%C3%A4"),
        ("\udcff", "%FF"),
    ],
)
def test_what_nats_does_not_allow_is_encoded(name: str, expected: str) -> None:
    """Byte by byte, and what is not ASCII as well."""
    assert token(name) == expected


@given(st.text(min_size=1, max_size=LONGEST_TOKEN // 6))
def test_a_token_says_the_name(name: str) -> None:
    """It is a token of NATS, and nothing is lost."""
    try:
        data = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return
    found = token(name)
    assert re.fullmatch(r"[!-~]+", found)
    assert not set(found) & set(".*>")
    if len(found) < LONGEST_TOKEN - 17:
        assert unquote_to_bytes(found) == data


@given(st.integers(80, 200), st.sampled_from("aä.%"), st.sampled_from("aä.%"))
def test_a_long_token_is_cut_and_stays_distinct(length: int, letter: str, other: str) -> None:
    """No byte is cut in two, and the hash of what is missing is different."""
    long, longer = token(letter * length + other), token(letter * length + other + "x")
    assert max(len(long), len(longer)) <= LONGEST_TOKEN
    assert long != longer
    for one in (long, longer):
        assert not re.search(r"%(?![0-9A-F]{2})", one)


def test_a_subject_has_four_parts() -> None:
    """A log that belongs to no guest has a dash in place of the guest."""
    assert subject("virtlog", "n.1", UUID, "/a.log") == f"virtlog.n%2E1.{UUID}./a%2Elog"
    assert subject("site.logs", "n1", None, "/a") == "site.logs.n1.-./a"
