"""The configuration in force: who is stronger, and what a second reading changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from twisted.logger import Logger

from twisted_virtlog.config.settings import ConfigError, Settings
from twisted_virtlog.daemon.check import check
from twisted_virtlog.daemon.configuration import Configuration, LastGood, Source
from twisted_virtlog.daemon.log import outputs
from twisted_virtlog.errors import OutputError


@pytest.fixture(autouse=True)
def no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "JOURNAL_SOCKET", str(tmp_path / "no-journal"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "virtlogd.conf"


@pytest.mark.parametrize(
    ("text", "level"), [("# nothing", 2), ("log_level = 4", 2), ("log_level = 1", 1)]
)
def test_verbose_is_the_strongest(file: Path, text: str, level: int) -> None:
    """At least level info, whatever the file and the environment say."""
    file.write_text(text)
    environment = {} if "1" in text else {"LIBVIRT_DEBUG": "error"}
    configuration = Configuration(Source(str(file), True, environment, verbose=True))
    assert configuration.own_log.logging().level == level
    assert [str(one) for one in configuration.own_log.logging().outputs] == [f"{level}:stderr"]


def test_a_second_reading_changes_settings_and_the_own_log(file: Path, tmp_path: Path) -> None:
    """And the environment is stronger still."""
    file.write_text("max_size = 5")
    configuration = Configuration(Source(str(file), True, {"LIBVIRT_DEBUG": "error"}))
    own = tmp_path / "own.log"
    file.write_text(
        f'max_size = 6\nlog_level = 1\nlog_filters = "2:logs"\nlog_outputs = "1:file:{own}"\nnone=1'
    )
    configuration.reread()
    assert configuration.settings.max_size == 6
    assert configuration.own_log.logging().level == 4
    assert [str(one) for one in configuration.own_log.logging().filters] == ["2:*logs*"]
    assert [str(one) for one in configuration.own_log.logging().outputs] == [f"1:file:{own}"]
    configuration.own_log.close()


def test_warnings_of_a_second_reading_are_in_the_own_log(file: Path, tmp_path: Path) -> None:
    """In the one that is new."""
    file.write_text("max_size = 5")
    configuration = Configuration(Source(str(file), True, {}))
    own = tmp_path / "own.log"
    file.write_text(f'log_outputs = "1:file:{own}"\nmax_sizes = 1')
    configuration.reread()
    assert configuration.own_log.flush(_PATIENCE)
    assert own.read_text().endswith(f"{file}:2: max_sizes: no such key; it has no effect\n")
    configuration.own_log.close()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('max_size = 6\nlog_level = 9\nlog_filters = "1:x"', ConfigError),
        ('max_size = 6\nlog_level = 1\nlog_outputs = "1:file:/no/dir/x"', OutputError),
        (None, ConfigError),
    ],
)
def test_a_mistake_changes_nothing(
    file: Path, tmp_path: Path, text: str | None, error: type[Exception]
) -> None:
    """Neither the settings nor the own log, which goes on."""
    own = tmp_path / "own.log"
    file.write_text(f'max_size = 5\nlog_outputs = "1:file:{own}"')
    configuration = Configuration(Source(str(file), True, {}))
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(error):
        configuration.reread()
    assert configuration.settings == Settings(max_size=5, log_outputs=f"1:file:{own}")
    assert configuration.own_log.logging().level == 3
    assert configuration.own_log.logging().filters == ()
    Logger(observer=configuration.own_log).warn("still here")
    assert configuration.own_log.flush(_PATIENCE)
    assert "still here" in own.read_text()
    configuration.own_log.close()


def test_the_own_log_s_file_is_opened_anew(file: Path, tmp_path: Path) -> None:
    """So that one that logrotate moved away is let go."""
    own = tmp_path / "own.log"
    file.write_text(f'log_outputs = "1:file:{own}"')
    configuration = Configuration(Source(str(file), True, {}))
    own.rename(tmp_path / "own.log.1")
    configuration.reread()
    Logger(observer=configuration.own_log).warn("after it")
    assert configuration.own_log.flush(_PATIENCE)
    assert "after it" in own.read_text()
    assert (tmp_path / "own.log.1").read_text() == ""
    configuration.own_log.close()


def test_a_filter_alone_shows_what_it_lets_through(
    file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default output takes all that passes the level and the filters; a named one its own."""
    monkeypatch.setattr("twisted_virtlog.daemon.log.outputs.JOURNAL_SOCKET", "/no/journal")
    file.write_text('log_filters = "2:logs.cleaner"')
    configuration = Configuration(Source(str(file), True, {}))
    own_log = configuration.own_log
    cleaner = Logger("twisted_virtlog.logs.files.cleaner.Cleaner", observer=own_log)
    cleaner.info("removed one")
    Logger("twisted_virtlog.service", observer=own_log).info("of no interest")
    configuration.resume_logging(own_log.logging())
    cleaner.info("removed another")
    file.write_text('log_filters = "2:logs.cleaner"\nlog_outputs = "3:stderr"')
    configuration.reread()
    cleaner.info("not shown")
    assert configuration.own_log.flush(_PATIENCE)
    lines = [line.rpartition(" : ")[2] for line in capfd.readouterr().err.splitlines()]
    assert lines == ["removed one", "removed another"]


#: How long a test waits for the own log, in seconds.
_PATIENCE = 60.0

_MISTAKES = """\
max_size = 2M
max_clients = 7; max_backups = 'x'
max_age_days = 5
none = 1
log_outputs = "3:stderr
on_write_error = "wait"
"""


def test_all_mistakes_are_found_at_once(file: Path) -> None:
    """Those of the text, of the keys and of the environment; what is right is there."""
    file.write_text(_MISTAKES)
    examined = Source(str(file), True, {"LIBVIRT_DEBUG": "loud"}).examine()
    assert sorted((one.line or 0, one.key) for one in examined.errors) == [
        (0, None),
        (1, None),
        (2, "max_backups"),
        (5, None),
        (6, "on_write_error"),
    ]
    assert examined.settings == Settings(max_clients=7, max_age_days=5)
    assert [f"{file}:4: none: no such key; it has no effect"] == list(examined.warnings)


def test_the_check_says_all_that_is_wrong_with_policies(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each mistake with the line and the text of its entry, which may have several."""
    file.write_text('policies = [\n"* max_size=x rat=1",\n"* max_size=8192",\n"guest:a rate=1"]\n')
    assert check("virtlogd", Source(str(file), False, {})) == 1
    said = [
        "2: policies: entry '* max_size=x rat=1': 'max_size=x': expected an unsigned integer;",
        "2: policies: entry '* max_size=x rat=1': 'rat=1': there is no such word;",
        "4: policies: entry 'guest:a rate=1': 'guest:a' does not say which logs it is for;",
    ]
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition("; write ")[0] + ";" for line in lines] == [
        f"virtlogd: {file}:{one}" for one in said
    ]


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("max_backups = 5", 0, "no mistakes"),
        (None, 0, "there is no such file; the defaults hold"),
        ("max_size = 5M\nmax_size = 'x'\n\x1b = 1", 1, ""),
    ],
)
def test_the_check_says_all_and_starts_nothing(
    file: Path, capfd: pytest.CaptureFixture[str], text: str | None, status: int, said: str
) -> None:
    """Mistakes on standard error, one a line; that there are none on standard output."""
    if text is not None:
        file.write_text(text)
    assert check("virtlogd", Source(str(file), False, {})) == status
    out, err = capfd.readouterr()
    assert out == (f"{file}: {said}\n" if said else "")
    lines = [line.removeprefix(f"virtlogd: {file}:")[:2] for line in err.splitlines()]
    assert lines == (["1:", "2:", "3:"] if status else [])


@pytest.mark.parametrize("good", [None, b"max_size = 9\nmax_age_days = 3\nmax_clients = 1\n"])
@pytest.mark.parametrize("text", [_MISTAKES, None])
def test_a_daemon_that_must_serve_serves_whatever_the_file_says(
    file: Path, capfd: pytest.CaptureFixture[str], text: str | None, good: bytes | None
) -> None:
    """By the last good text, or by what is right in the present one; it says so in the own log."""
    if text is not None:
        file.write_text(text)
    environment = {"LIBVIRT_LOG_OUTPUTS": "3:stderr"}
    configuration = Configuration(Source(str(file), True, environment), last_good=LastGood(good))
    assert configuration.problem is not None
    assert str(file) in configuration.problem
    assert configuration.own_log.flush(_PATIENCE)
    assert configuration.problem in capfd.readouterr().err
    settings = replace(configuration.settings, log_outputs="")
    if good is not None:
        assert configuration.text == good
        assert settings == Settings(max_size=9, max_age_days=3, max_clients=1)
    else:
        assert configuration.text is None
        # (no old logs are removed by what may be half of what was meant)
        assert settings == Settings(max_clients=7 if text else 1024)
    file.write_text("max_size = 1")
    configuration.reread()
    assert (configuration.problem, configuration.text) == (None, b"max_size = 1")


def test_a_daemon_that_must_serve_logs_to_standard_error_if_nowhere_else(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An output that cannot be opened is no reason to end."""
    file.write_text('max_size = 5\nlog_outputs = "1:file:/no/dir/x"')
    configuration = Configuration(Source(str(file), True, {}), last_good=LastGood(None))
    assert configuration.settings.max_size == 5
    assert configuration.own_log.flush(_PATIENCE)
    assert "failed to open /no/dir/x" in capfd.readouterr().err


def test_a_root_that_is_not_there_is_told(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The daemon would start, and refuse its logs."""
    file.write_text(f'log_roots = ["{tmp_path}", "{file}", "{tmp_path}/missing"]\n')
    assert check("virtlogd", Source(str(file), False, {})) == 0
    warnings = capfd.readouterr().err.splitlines()
    assert [line.split("no directory ")[1].split(";")[0] for line in warnings] == [
        str(file),
        f"{tmp_path}/missing",
    ]
