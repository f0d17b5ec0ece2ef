"""The sample configuration file, and what doc/configuration.md says of the keys."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.logs.test_sighup import KEY_SCENARIOS, SCENARIOS
from twisted_virtlog.config.settings import (
    KEYS,
    POLICY_WORDS,
    ConfigError,
    Settings,
    load,
    with_environment,
)

SAMPLE = files("twisted_virtlog.config").joinpath("virtlogd.conf").read_text()
DOCUMENT = (Path(__file__).parents[2] / "doc" / "configuration.md").read_text()

_COMMENTED_KEY = re.compile(r"^#(?=\w+ = )", re.MULTILINE)


def _quoted(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_quoted(one) for one in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_the_sample_as_it_is_changes_nothing() -> None:
    """It can be installed without a look."""
    assert load("virtlogd.conf", SAMPLE.encode()) == (Settings(), [])


def test_the_sample_names_every_key_with_its_default() -> None:
    """With the marks of comments removed it says what the defaults are, in the same order."""
    text, count = _COMMENTED_KEY.subn("", SAMPLE)
    assert load("virtlogd.conf", text.encode()) == (Settings(), [])
    assert count == len(KEYS)
    assert re.findall(r"^(\w+) = (.*)$", text, re.MULTILINE) == [
        (one.name, _quoted(one.default)) for one in KEYS.values()
    ]


@pytest.mark.parametrize("key", KEYS)
def test_each_key_of_the_sample_can_be_changed_alone(key: str) -> None:
    """Removing one mark and changing the value sets that key."""
    default = getattr(Settings(), key)
    changes: dict[str, Any] = {
        "log_filters": "1:x",
        "log_outputs": "4:stderr",
        "on_write_error": "block",
        "log_root": "/var/log/guests",
        "file_threads": "always",
        "jsonrpc_ro_group": "adm",
        "state_dir": "/srv/virtlogd",
        "time_index": 0,
        "keep_on_truncate": 1,
        "metrics_logs": "all",
        "policies": ("driver:lxc max_backups=2",),
        "on_rate": "block",
        "log_roots": ("/srv/logs", "/var/log/guests"),
        "consumers": ("nats:virtlog-ship", "loki:loki"),
        "hold": "nats",
        "compress": "zstd",
    }
    value: Any = changes.get(key, 4 if key == "log_level" else 8192)
    written = f"#{key} = {_quoted(default)}\n"
    assert SAMPLE.count(written) == 1
    text = SAMPLE.replace(written, f"{key} = {_quoted(value)}\n")
    assert load("virtlogd.conf", text.encode())[0] == Settings(**{key: value})


def test_the_document_s_table_is_complete() -> None:
    """Each key with its default, libvirt's first."""
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| `(.*?)` \|", DOCUMENT, re.MULTILINE)
    assert rows == [(one.name, _quoted(one.default)) for one in KEYS.values()]


def test_the_document_s_examples_are_accepted() -> None:
    """Whoever copies one has a working file."""
    examples = re.findall(r"^```conf\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 3
    for text in examples:
        settings, warnings = load("virtlogd.conf", text.encode())
        assert settings != Settings()
        assert warnings == []


def test_the_document_s_variables_are_those_that_are_heeded() -> None:
    """Each variable of the table overrides its key."""
    rows = dict(re.findall(r"^\| `(LIBVIRT_\w+)` \| `(\w+)` \|", DOCUMENT, re.MULTILINE))
    values = {"LIBVIRT_DEBUG": "4", "LIBVIRT_LOG_FILTERS": "1:x", "LIBVIRT_LOG_OUTPUTS": "1:stderr"}
    assert rows.keys() == values.keys()
    for variable, key in rows.items():
        settings = with_environment(Settings(), {variable: values[variable]})
        assert str(getattr(settings, key)) == values[variable]


def test_the_document_s_messages_are_those_that_are_told() -> None:
    """Each is what the daemon says of the file shown before it."""
    pairs = re.findall(r"^    (\w.*)\n\n[^\n]*\n\n    virtlogd: (/.*)$", DOCUMENT, re.MULTILINE)
    assert len(pairs) >= 2
    for text, message in pairs:
        file, line, _ = message.split(":", 2)
        with pytest.raises(ConfigError) as caught:
            load(file, b"#\n" * (int(line) - 1) + text.encode())
        assert str(caught.value) == message


def test_the_document_says_of_each_word_when_a_change_holds() -> None:
    """For logs that are open; and that is tried."""
    section = DOCUMENT.split("\n## What SIGHUP changes")[1].split("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    words, keys = named[: len(POLICY_WORDS)], named[len(POLICY_WORDS) :]
    assert words == [*POLICY_WORDS]
    assert SCENARIOS.keys() == POLICY_WORDS.keys()
    # (tests/logs/lanes/test_policies.py and tests/logs/test_recording.py try those of threads, and
    # tests/logs/packing/test_packing.py that of the clock)
    elsewhere = {"file_threads", "file_timeout", "time_index", "compress_delay"}
    assert {*keys} - KEY_SCENARIOS.keys() == elsewhere
