"""The URL of a UNIX socket is one, whatever bytes its name has, and says the name."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.sockets.urls import url_of


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (b"/run/libvirt/virtlogd-jsonrpc-sock", "unix:/run/libvirt/virtlogd-jsonrpc-sock"),
        (b"/tmp/a b/{c}?#%", "unix:/tmp/a%20b/%7Bc%7D%3F%23%25"),
        (b"/tmp/\xc3\xbc\xff", "unix:/tmp/%C3%BC%FF"),
        (b"\0virtlogd/jsonrpc", "unix-abstract:virtlogd/jsonrpc"),
        (b"\0a\0b", "unix-abstract:a%00b"),
    ],
)
def test_urls(address: bytes, url: str) -> None:
    """By path, or of abstract name."""
    assert url_of(address) == url


@given(st.sampled_from([b"/", b"\0"]), st.binary())
def test_any_name_comes_back(first: bytes, rest: bytes) -> None:
    """And nothing of it is taken for another part of the URL."""
    url = url_of(first + rest)
    scheme, _, name = url.partition(":")
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]*", name)
    before = b"" if scheme == "unix" else b"\0"
    assert before + unquote_to_bytes(name) == first + rest
    assert (urlsplit(url).query, urlsplit(url).fragment) == ("", "")
