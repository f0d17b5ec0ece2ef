"""Unit files, and the command that installs them."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from twisted_virtlog.systemd.__main__ import main
from twisted_virtlog.systemd.activation import SERVERS
from twisted_virtlog.systemd.installation import InstallationError, units

NAMES = {"virtlogd.service", *SERVERS} - {"virtlogd-jsonrpc-ro.socket", "virtlogd-metrics.socket"}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment with the program."""
    program = tmp_path / "env" / "bin" / "twisted-virtlogd"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    return tmp_path / "env"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "units").mkdir()
    return tmp_path / "units"


def unit(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_the_units_have_the_names_that_libvirt_depends_on() -> None:
    """And that of JSON-RPC; each socket leads to the service."""
    texts = units(Path("/opt/bin/twisted-virtlogd"))
    assert set(texts) == NAMES
    service = unit(texts["virtlogd.service"])["Service"]
    assert service["ExecStart"] == "/opt/bin/twisted-virtlogd $VIRTLOGD_ARGS"
    for name in NAMES - {"virtlogd.service"}:
        assert unit(texts[name])["Socket"]["Service"] == "virtlogd.service"
        assert unit(texts[name])["Socket"]["SocketMode"] == "0600"
        assert unit(texts[name])["Socket"]["Backlog"] == "4096"


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("virtlogd-jsonrpc-ro.socket", "read_only_group"),
        ("virtlogd-metrics.socket", "metrics_group"),
    ],
)
def test_a_group_gets_a_socket(name: str, option: str) -> None:
    """It is installed only for a group, whose name stands in it; no other unit asks for it."""
    assert name not in units(Path("/d"))["virtlogd.service"]
    texts = units(Path("/d"), **{option: "adm"})  # type: ignore[arg-type]
    assert set(texts) == {*NAMES, name}
    assert texts["virtlogd.service"].count(f" {name}") == 2
    socket = unit(texts[name])["Socket"]
    assert (socket["SocketMode"], socket["SocketGroup"], socket["Backlog"]) == (
        "0660",
        "adm",
        "4096",
    )
    with pytest.raises(InstallationError, match="is not the name of a group"):
        units(Path("/d"), **{option: "a b"})  # type: ignore[arg-type]


def test_each_group_gets_its_own_socket() -> None:
    """They need not be the same."""
    texts = units(Path("/d"), read_only_group="adm", metrics_group="prometheus")
    assert set(texts) == {"virtlogd.service", *SERVERS}
    assert unit(texts["virtlogd-metrics.socket"])["Socket"]["SocketGroup"] == "prometheus"
    assert unit(texts["virtlogd-jsonrpc-ro.socket"])["Socket"]["SocketGroup"] == "adm"


def test_the_service_tells_the_daemon_how_much_is_stored() -> None:
    """Room for 16384 logs, lanes, two journals and the configuration, and descriptors for them."""
    service = unit(units(Path("/d"))["virtlogd.service"])["Service"]
    assert int(service["FileDescriptorStoreMax"]) == 16384 + 96 + 4
    text = units(Path("/d"))["virtlogd.service"]
    assert f"\nEnvironment=FDSTORE={service['FileDescriptorStoreMax']}\n" in text
    assert int(service["LimitNOFILE"]) > 2 * 16384


def test_installing_and_removing(prefix: Path, directory: Path) -> None:
    """Installed twice is installed; and what was installed is removed, and nothing else."""
    (directory / "other.service").write_text("[Service]\n")
    for _ in range(2):
        done = run("install", "--unit-dir", directory, "--prefix", prefix)
        assert done.exit_code == 0, done.output
        assert "systemctl daemon-reload" in done.output
        assert {path.name for path in directory.iterdir()} == {*NAMES, "other.service"}
    assert f"{prefix}/bin/twisted-virtlogd " in (directory / "virtlogd.service").read_text()
    done = run("uninstall", "--unit-dir", directory)
    assert done.exit_code == 0, done.output
    assert {path.name for path in directory.iterdir()} == {"other.service"}
    done = run("uninstall", "--unit-dir", directory)
    assert (done.exit_code, done.output) == (0, "")


def test_a_dry_run_changes_nothing(prefix: Path, directory: Path) -> None:
    """It shows what would be written, or removed."""
    done = run("install", "--unit-dir", directory, "--prefix", prefix, "--dry-run")
    assert "FileDescriptorStoreMax=" in done.output
    assert list(directory.iterdir()) == []
    run("install", "--unit-dir", directory, "--prefix", prefix)
    done = run("uninstall", "--unit-dir", directory, "--dry-run")
    assert str(directory / "virtlogd.socket") in done.output
    assert len(list(directory.iterdir())) == len(NAMES)


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_somebody_elses_unit_is_left_alone(prefix: Path, directory: Path, command: str) -> None:
    """Also a link to nowhere, as of a masked unit; nothing is changed then."""
    arguments = ["--prefix", str(prefix)] if command == "install" else []
    for name in ("virtlogd.socket", "virtlogd.service"):
        (directory / name).symlink_to("/dev/null")
        done = run(command, "--unit-dir", directory, *arguments)
        assert done.exit_code == 1
        assert f"{directory / name} was not installed by twisted-virtlog" in done.output
        assert [path.name for path in directory.iterdir()] == [name]
        (directory / name).unlink()


def test_a_missing_program_or_directory_is_named(prefix: Path, tmp_path: Path) -> None:
    """With what to do about it."""
    done = run("install", "--prefix", tmp_path / "none", "--unit-dir", tmp_path)
    assert done.exit_code == 1
    assert f"{tmp_path}/none/bin/twisted-virtlogd is not a program; see --prefix" in done.output
    done = run("install", "--prefix", prefix, "--unit-dir", tmp_path / "none")
    assert done.exit_code == 1
    assert "/etc/systemd/system" in done.output


@pytest.mark.parametrize("path", ["/a b/x", "/a$b/x", "/a%b/x", '/a"b/x', "/a\\b/x"])
def test_a_path_that_a_unit_cannot_name_is_refused(path: str) -> None:
    """systemd would read another."""
    with pytest.raises(InstallationError, match="special meaning in unit files"):
        units(Path(path))


@pytest.mark.parametrize(("version", "known"), [(0, False), (252, False), (254, True), (257, True)])
def test_only_what_the_installed_systemd_knows_is_in_the_units(version: int, known: bool) -> None:
    """It would warn of the rest."""
    text = units(Path("/d"), version)["virtlogd.service"]
    assert ("\nRestartSteps=" in text) == known
    assert "#@" not in text
