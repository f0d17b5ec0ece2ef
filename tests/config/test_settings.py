"""From a configuration file's text to settings, or to a message that helps."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_virtlog.config.settings import (
    KEYS,
    ConfigError,
    Settings,
    load,
    read,
    with_environment,
)

_LIMIT = 10 * 1024 * 1024


_LOG_ROOTS_REMEDY = (
    'write a list of absolute paths without "." and "..", as ["/var/log/libvirt"], or [] for'
    " everywhere"
)

_FILE_THREADS_REMEDY = (
    'write "auto", "always", "never" or a list of types of file systems and mount points,'
    ' as ["nfs4", "fuse", "/srv/logs"]'
)


def _mistake(text: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load("virtlogd.conf", text)
    return caught.value


def _values(settings: Settings) -> dict[str, object]:
    return {key: getattr(settings, key) for key in KEYS}


def test_an_empty_file_gives_the_defaults() -> None:
    """libvirt's defaults, and ours."""
    settings, warnings = load("virtlogd.conf", b"")
    assert _values(settings) == {
        "log_level": 0,
        "log_filters": "",
        "log_outputs": "",
        "max_clients": 1024,
        "admin_max_clients": 5000,
        "max_size": 2097152,
        "max_backups": 3,
        "max_age_days": 0,
        "log_root": "/var/log/libvirt/",
        "pipe_size": 1048576,
        "on_write_error": "drop",
        "max_open_logs": 0,
        "file_threads": "auto",
        "file_timeout": 5,
        "jsonrpc_ro_group": "",
        "state_dir": "",
        "time_index": 1,
        "keep_on_truncate": 0,
        "policies": (),
        "quota": 0,
        "host_max_use": 0,
        "host_keep_free": 0,
        "metrics_logs": "some",
        "rate": 0,
        "burst": 0,
        "boot_burst": 0,
        "on_rate": "drop",
        "log_roots": (),
        "consumers": (),
        "hold": "",
        "hold_max": 1073741824,
        "hold_max_log": 67108864,
        "compress": "",
        "compress_from": 1,
        "compress_delay": 60,
    }
    assert warnings == []


@pytest.mark.parametrize("key", [*KEYS])
def test_each_key_is_taken(key: str) -> None:
    """A value other than the default arrives under its key, and under no other."""
    values: dict[str, int | str | tuple[str, ...]] = {
        "log_level": 2,
        "policies": ("* max_size=5000", "driver:qemu rate=1"),
        "log_filters": "1:logs",
        "log_outputs": "3:stderr",
        "on_write_error": "block",
        "log_root": "/var/log/guests",
        "file_threads": "always",
        "jsonrpc_ro_group": "adm",
        "state_dir": "/srv/state",
        "time_index": 0,
        "keep_on_truncate": 1,
        "metrics_logs": "all",
        "on_rate": "block",
        "log_roots": ("/srv/logs", "/var/log/guests"),
        "consumers": ("nats:virtlog-ship", "loki:loki"),
        "hold": "nats,loki",
        "compress": "zstd",
    }
    value = values.get(key, 8192)
    written = str(value)
    if not isinstance(value, int):
        written = str(list(value)) if isinstance(value, tuple) else f'"{value}"'
    settings, _ = load("virtlogd.conf", f"{key} = {written}\n".encode())
    assert _values(settings) == {**_values(Settings()), key: value}
    assert settings.named == {key}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"# sizes\n\nmax_size = 2M\n",
            (
                "virtlogd.conf:3: configuration file syntax error: expecting a separator;"
                ' write lines as max_size = 2097152 or log_outputs = "3:stderr"'
            ),
        ),
        (
            b'\nmax_size = "2M"\n',
            (
                "virtlogd.conf:2: max_size: expected an unsigned integer for 'max_size' parameter;"
                " write max_size = 2097152"
            ),
        ),
        (
            b"log_outputs = 3\n",
            (
                "virtlogd.conf:1: log_outputs: expected a string for 'log_outputs' parameter;"
                ' write log_outputs = "3:stderr"'
            ),
        ),
        (
            b"log_filters = 3\n",
            (
                "virtlogd.conf:1: log_filters: expected a string for 'log_filters' parameter;"
                ' write log_filters = "1:logs 3:jsonrpc"'
            ),
        ),
        (
            b"max_clients = 4294967296\n",
            (
                "virtlogd.conf:1: max_clients: value for 'max_clients' parameter must be in range"
                " 0:4294967295; write max_clients = 1024"
            ),
        ),
        (
            b"log_level = 5\n",
            (
                "virtlogd.conf:1: log_level: Failed to set logging priority, argument '5' is"
                " invalid; write 1 (debug), 2 (info), 3 (warning) or 4 (error)"
            ),
        ),
        (
            b'log_filters = "logs"\n',
            (
                "virtlogd.conf:1: log_filters: Malformed format for filter 'logs';"
                " write filters as 1:logs 3:jsonrpc, a level and a part of a module's name"
            ),
        ),
        (
            b'log_outputs = "3:stdout"\n',
            (
                "virtlogd.conf:1: log_outputs: Invalid log destination 'stdout' for log output"
                " '3:stdout'; write outputs as 3:stderr, 3:journald, 3:syslog:virtlogd or"
                " 1:file:/var/log/virtlogd.log"
            ),
        ),
        (
            b"pipe_size = 100\n",
            (
                "virtlogd.conf:1: pipe_size: 100 is not possible;"
                " write a number of bytes from 4096 to 2147483648"
            ),
        ),
        (
            b'on_write_error = "wait"\n',
            'virtlogd.conf:1: on_write_error: \'wait\' is not possible; write "drop" or "block"',
        ),
        (
            b'on_rate = "wait"\n',
            'virtlogd.conf:1: on_rate: \'wait\' is not possible; write "drop" or "block"',
        ),
        (
            b'log_roots = "/srv"\n',
            (
                "virtlogd.conf:1: log_roots: expected a string list for 'log_roots' parameter;"
                ' write log_roots = ["/var/log/libvirt"]'
            ),
        ),
        (
            b'log_roots = ["/srv", "logs"]\n',
            (
                "virtlogd.conf:1: log_roots: 'logs' is not possible in the list;"
                f" {_LOG_ROOTS_REMEDY}"
            ),
        ),
        (
            b'log_root = "libvirt"\n',
            (
                "virtlogd.conf:1: log_root: 'libvirt' is not possible;"
                ' write an absolute path, as "/var/log/libvirt/"'
            ),
        ),
        (
            b'file_threads = "nfs4"\n',
            f"virtlogd.conf:1: file_threads: 'nfs4' is not possible; {_FILE_THREADS_REMEDY}",
        ),
        (
            b'file_threads = ["/srv", "auto"]\n',
            (
                "virtlogd.conf:1: file_threads: 'auto' is not possible in a list;"
                f" {_FILE_THREADS_REMEDY}"
            ),
        ),
        (
            b'file_threads = ["nfs4", "srv/logs"]\n',
            f"virtlogd.conf:1: file_threads: 'srv/logs' is no mount point; {_FILE_THREADS_REMEDY}",
        ),
        (
            b'file_threads = ["nfs.*"]\n',
            (
                "virtlogd.conf:1: file_threads: 'nfs.*' is no type of file systems;"
                f" {_FILE_THREADS_REMEDY}"
            ),
        ),
        (
            b"file_threads = 1\n",
            (
                "virtlogd.conf:1: file_threads: expected a string or string list for"
                ' \'file_threads\' parameter; write file_threads = ["nfs4", "/srv/logs"]'
            ),
        ),
        (
            b'file_threads = ["nfs4", 1]\n',
            (
                "virtlogd.conf:1: file_threads: expected a string list for 'file_threads'"
                ' parameter; write file_threads = ["nfs4", "/srv/logs"]'
            ),
        ),
        (
            b'file_timeout = "5"\n',
            (
                "virtlogd.conf:1: file_timeout: expected an unsigned integer for 'file_timeout'"
                " parameter; write file_timeout = 5"
            ),
        ),
    ],
)
def test_a_mistake_names_file_line_key_and_what_would_be_right(text: bytes, message: str) -> None:
    """The whole message, as the user reads it."""
    assert str(_mistake(text)) == message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_clients", "-0"),
        ("max_size", "[1]"),
        ("pipe_size", "4095"),
        ("pipe_size", "2147483649"),
        ("max_open_logs", "4294967296"),
        ("on_write_error", "1"),
        ("on_write_error", '"DROP"'),
        ("file_threads", '""'),
        ("file_threads", '["never"]'),
        ("file_threads", '[["nfs4"]]'),
        ("file_threads", '[""]'),
        ("file_threads", '["NFS4"]'),
        ("file_threads", '["nfs4 cifs"]'),
        ("file_threads", '["/a/../b"]'),
        ("file_threads", '["//a"]'),
        ("file_threads", '["fuse.ssh*"]'),
        ("file_threads", '["/a\0b"]'),
        ("file_timeout", "-1"),
        ("time_index", "2"),
        ("keep_on_truncate", "2"),
        ("rate", "-1"),
        ("on_rate", "1"),
        ("log_root", '"logs"'),
        ("log_roots", "1"),
        ("log_roots", '["/srv", 1]'),
        ("log_roots", '["/srv/../etc"]'),
        ("log_roots", '[""]'),
        ("log_roots", '["/a\0b"]'),
        ("log_root", '""'),
        ("log_root", '"/a\0b"'),
        ("log_outputs", '"1:file:/a\0b"'),
    ],
)
def test_a_mistake_tells_its_parts(key: str, value: str) -> None:
    """Programs find key, line, problem and remedy without reading the message."""
    error = _mistake(f"# one\n{key} = {value}\n".encode())
    assert (error.file, error.line, error.key) == ("virtlogd.conf", 2, key)
    assert error.problem
    assert error.remedy.startswith("write ")


_pieces = st.lists(
    st.sampled_from(
        [
            *[key.encode() for key in KEYS],
            *b'= = = = ; \n \n # \' " """ [ ] , - 0 3 99999999999 foo \x00 \xff'.split(b" "),
            *b'"auto" ["nfs4"] "/srv"'.split(b" "),
            b"3:file:/x",
            b"9:",
            b" ",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(_pieces)
def test_any_file_gives_settings_or_a_mistake(text: bytes) -> None:
    """No other exception comes out, whatever stands in the file."""
    with suppress(ConfigError):
        assert isinstance(load("virtlogd.conf", text)[0], Settings)


def test_the_first_of_two_values_holds() -> None:
    """As in libvirt, and the second is pointed out."""
    settings, warnings = load("a.conf", b"max_clients = 7\nmax_clients = 8\n")
    assert settings.max_clients == 7
    assert warnings == ["a.conf:2: max_clients: set before; the first value holds"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"auto"', "auto"),
        ('"never"', "never"),
        ("[]", ()),
        ('[ "nfs4",\n"fuse.*", "/", "/srv/logs/", ]', ("nfs4", "fuse.*", "/", "/srv/logs/")),
        ('["fuse.sshfs", "fuseblk", "9p"]', ("fuse.sshfs", "fuseblk", "9p")),
    ],
)
def test_file_threads_is_a_word_or_a_list(written: str, value: str | tuple[str, ...]) -> None:
    """As ``Choice`` takes it."""
    settings, warnings = load("a.conf", f"file_threads = {written}\n".encode())
    assert settings.file_threads == value
    assert warnings == []


def test_an_unknown_key_is_pointed_out_and_no_error() -> None:
    """A file of another libvirt version still works; a typing error is seen."""
    settings, warnings = load("a.conf", b"max_cleints = 7\n")
    assert settings == Settings()
    assert warnings == ["a.conf:1: max_cleints: no such key; it has no effect"]


def test_too_many_backups_are_pointed_out() -> None:
    """libvirt accepts the number, and then every open fails; so do we, but with a warning."""
    settings, warnings = load("a.conf", b"# one\nmax_backups = 33")
    assert settings.max_backups == 33
    assert warnings == [
        "a.conf:2: max_backups: 33 is more than 32; every open, read and append will be refused"
    ]
    assert load("a.conf", b"max_backups = 32")[1] == []


def test_bytes_that_are_no_utf8_survive_in_paths() -> None:
    """A path is what the file system has, not text."""
    settings, _ = load("a.conf", b'log_outputs = "1:file:/x\xff"')
    assert os.fsencode(settings.log_outputs) == b"1:file:/x\xff"


# Files.


def test_a_missing_file_is_an_error_when_it_was_named(tmp_path: Path) -> None:
    """The default one may be missing."""
    path = str(tmp_path / "virtlogd.conf")
    assert read(path, required=False) == (Settings(), [])
    with pytest.raises(ConfigError) as caught:
        read(path, required=True)
    assert str(caught.value) == (
        f"{path}: Failed to open file '{path}': No such file or directory; name a file that exists"
    )


@pytest.mark.parametrize("required", [True, False])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, required: bool) -> None:
    """A directory in its place is not passed over, even at the default path."""
    with pytest.raises(ConfigError) as caught:
        read(str(tmp_path), required)
    assert caught.value.problem == f"Failed to read file '{tmp_path}': Is a directory"


def test_a_file_is_read(tmp_path: Path) -> None:
    """What stands in it holds, and mistakes carry its name."""
    path = tmp_path / "virtlogd.conf"
    path.write_text("max_clients = 7")
    assert read(str(path), required=True) == (Settings(max_clients=7), [])
    path.write_text("max_clients")
    with pytest.raises(ConfigError, match=f"^{path}:1: configuration file syntax error"):
        read(str(path), required=True)


def test_a_file_is_at_most_10_mib(tmp_path: Path) -> None:
    """As in libvirt; the message is its, too."""
    path = tmp_path / "virtlogd.conf"
    path.write_bytes(b"#" * _LIMIT)
    assert read(str(path), required=True) == (Settings(), [])
    path.write_bytes(b"#" * (_LIMIT + 1))
    with pytest.raises(ConfigError) as caught:
        read(str(path), required=True)
    assert caught.value.problem == (
        f"Failed to read file '{path}': Value too large for defined data type"
    )


# Environment.


@pytest.mark.parametrize(
    ("variable", "value", "key", "setting"),
    [
        ("LIBVIRT_DEBUG", "1", "log_level", 1),
        ("LIBVIRT_DEBUG", "debug", "log_level", 1),
        ("LIBVIRT_DEBUG", "info", "log_level", 2),
        ("LIBVIRT_DEBUG", "warning", "log_level", 3),
        ("LIBVIRT_DEBUG", "4", "log_level", 4),
        ("LIBVIRT_LOG_FILTERS", "1:logs", "log_filters", "1:logs"),
        ("LIBVIRT_LOG_OUTPUTS", "1:stderr", "log_outputs", "1:stderr"),
    ],
)
def test_the_environment_is_stronger_than_the_file(
    variable: str, value: str, key: str, setting: int | str
) -> None:
    """libvirt's variables override its keys, each its own."""
    settings = Settings(log_level=4, log_filters="4:x", log_outputs="4:journald", max_clients=7)
    expected = {**_values(settings), key: setting}
    assert _values(with_environment(settings, {variable: value})) == expected


def test_an_empty_variable_is_none() -> None:
    """As if it were not set."""
    settings = Settings(log_level=4, log_filters="4:x", log_outputs="4:journald")
    variables = ("LIBVIRT_DEBUG", "LIBVIRT_LOG_FILTERS", "LIBVIRT_LOG_OUTPUTS")
    assert with_environment(settings, dict.fromkeys(variables, "")) == settings


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "LIBVIRT_DEBUG",
            "loud",
            (
                "LIBVIRT_DEBUG: Failed to set logging priority, argument 'loud' is invalid;"
                " write one of 1, debug, 2, info, 3, warning, 4, error"
            ),
        ),
        (
            "LIBVIRT_LOG_FILTERS",
            "7:x",
            (
                "LIBVIRT_LOG_FILTERS: log_filters: Invalid priority '7' for filter '7:x';"
                " write filters as 1:logs 3:jsonrpc, a level and a part of a module's name"
            ),
        ),
        (
            "LIBVIRT_LOG_OUTPUTS",
            "3:file",
            (
                "LIBVIRT_LOG_OUTPUTS: log_outputs: Log output '3:file' does not meet the format"
                " requirements for destination type 'file'; write outputs as 3:stderr, 3:journald,"
                " 3:syslog:virtlogd or 1:file:/var/log/virtlogd.log"
            ),
        ),
    ],
)
def test_a_mistake_in_the_environment_is_told(variable: str, value: str, message: str) -> None:
    """The variable stands in the place of the file."""
    with pytest.raises(ConfigError) as caught:
        with_environment(Settings(), {variable: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(("size", "warns"), [(0, False), (1, True), (4095, True), (4096, False)])
def test_a_size_that_keeps_next_to_nothing_is_a_warning(size: int, warns: bool) -> None:
    """It holds all the same, as in libvirt; 0 is no size."""
    settings, warnings = load("a.conf", b"max_size = %d\n" % size)
    assert settings.max_size == size
    assert len(warnings) == warns
    for text in warnings:
        assert text.startswith(f"a.conf:1: max_size: {size} bytes are so few")
        assert "write at least 4096, or 0" in text


SOME = 'policies = ["{}"]\n'


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("quota = 9999\nmax_size = 10000\n", ["1: quota: quota=9999"]),
        ("max_size = 10000\nhost_max_use = 9999\n", ["2: host_max_use: host_max_use=9999"]),
        (
            "max_size = 10000\n" + SOME.format("domain:a quota=9999"),
            ["2: policies: entry 'domain:a quota=9999': quota=9999"],
        ),
        (
            "max_size = 5000\nquota = 9999\n" + SOME.format("domain:a max_size=10000"),
            ["3: policies: entry 'domain:a max_size=10000': quota=9999"],
        ),
        (
            "max_size = 5000\nhost_max_use = 9999\n" + SOME.format("domain:a max_size=10000"),
            ["3: policies: entry 'domain:a max_size=10000': host_max_use=9999"],
        ),
    ],
)
def test_a_bound_below_a_full_file_is_warned_about(text: str, where: list[str]) -> None:
    """It works, so it is no mistake."""
    said = [f"f:{one} is below max_size=10000: " for one in where]
    warnings = load("f", text.encode())[1]
    assert [warning.partition("no file")[0] for warning in warnings] == said


@pytest.mark.parametrize(
    "text",
    [
        "quota = 10000\nhost_max_use = 10000\nmax_size = 10000\n",
        "quota = 9999\nmax_size = 0\n",
        "max_size = 10000\n",
        'policies = ["domain:a quota=9999", "* max_size=5000"]\n',
    ],
)
def test_no_other_bound_is(text: str) -> None:
    """As large as a file, beside files without an end, or where an entry for all logs says so."""
    assert load("f", text.encode())[1] == []
