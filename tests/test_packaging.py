"""The wheel in a virtual environment: what it puts where, and that nothing is hurt when it goes."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from harness.daemon import wait_until_it_answers
from tests import documented
from tests.daemon.command.command import AS_NOBODY
from tests.documents import CHECKOUT, DOCUMENTS, commands

pytestmark = pytest.mark.slow

#: What Twisted or Python leave beside the sources they run, and what earlier builds leave.
LEFT_BEHIND = shutil.ignore_patterns(
    ".*", "__pycache__", "dropin.cache", "build", "dist", "*.egg-info"
)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _run(
    *command: str | Path, directory: Path, own: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Run a command away from the checkout, whose plugin it would find, and give what it says.

    :param own: more of its environment.
    """
    run = subprocess.run(
        [str(part) for part in command],
        cwd=directory,
        env={**_environment(), **own},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this checkout, which building would leave files in."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    shutil.copytree(CHECKOUT, source, ignore=LEFT_BEHIND)
    pip = (sys.executable, "-m", "pip")
    _run(*pip, "wheel", "-q", "--no-deps", "-w", directory, source, directory=directory)
    (built,) = directory.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_one_plugin(wheel: Path) -> None:
    """Exactly one file goes into Twisted's plugin directory, and none beside it."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in names if name.startswith("twisted/")} == {
        "twisted/plugins/virtlog_plugin.py"
    }
    modules = {str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob("twisted_virtlog/**/*.py")}
    assert modules <= names
    assert {"twisted_virtlog/py.typed", "twisted_virtlog/config/virtlogd.conf"} <= names
    page = (path for path in CHECKOUT.glob("twisted_virtlog/web/static/**/*") if path.is_file())
    assert {str(path.relative_to(CHECKOUT)) for path in page} <= names
    assert not {name for name in names if name.startswith(("tests/", "bench/", "harness/", "doc/"))}


def test_the_wheel_holds_man_pages_and_completion(wheel: Path) -> None:
    """They are where man and the shells look, below the prefix of the installation."""
    with zipfile.ZipFile(wheel) as archive:
        data = {name.partition(".data/data/")[2] for name in archive.namelist()}
    assert {name for name in data if name and not name.startswith("share/doc/")} == {
        "share/man/man1/virtlog-fleet.1",
        "share/man/man1/virtlog-ship.1",
        "share/man/man1/virtlog-web.1",
        "share/man/man1/virtlogctl.1",
        "share/man/man8/twisted-virtlogd.8",
        "share/bash-completion/completions/virtlog-fleet",
        "share/bash-completion/completions/virtlogctl",
        "share/zsh/site-functions/_virtlog-fleet",
        "share/zsh/site-functions/_virtlogctl",
        "share/fish/vendor_completions.d/virtlog-fleet.fish",
        "share/fish/vendor_completions.d/virtlogctl.fish",
    }


def test_installing_and_removing_leaves_twisted_whole(wheel: Path, tmp_path: Path) -> None:
    """twistd has the plugin after the installation, and still works after the removal."""
    environment = tmp_path / "environment"
    binaries = environment / "bin"

    def run(command: str, *arguments: str | Path) -> str:
        return _run(binaries / command, *arguments, directory=tmp_path)

    _run(sys.executable, "-m", "venv", environment, directory=tmp_path)
    run("python", "-m", "pip", "install", "-q", wheel)
    assert "virtlogd" in run("twistd", "--help")
    assert "virtlogd" in run("twist", "--help")
    assert "--jsonrpc" in run("twistd", "virtlogd", "--help")
    assert "position" in run("virtlogctl", "--help")
    with pytest.raises(AssertionError, match="nats-py is not installed here"):
        # (an extra's)
        run("virtlog-ship", "--config", "/dev/null", "--check")
    with pytest.raises(AssertionError, match="nats-py is not installed here"):
        run("virtlog-fleet", "ls")
    assert "grep" in run("virtlog-fleet", "--help")
    assert "--trust-header" in run("virtlog-web", "--help")
    assert run("twisted-virtlogd", "--version").startswith("twisted-virtlogd (twisted-virtlog) ")

    run("python", "-m", "pip", "uninstall", "-q", "-y", "twisted-virtlog")
    assert "virtlogd" not in run("twistd", "--help")
    assert "web" in run("twistd", "--help")
    (record,) = environment.glob("lib/*/site-packages/[Tt]wisted-*.dist-info/RECORD")
    packages = record.parents[1]
    assert _differing(record) == []
    assert not list(packages.glob("twisted_virtlog*"))
    assert not list(packages.glob("twisted/**/virtlog_plugin*"))
    assert not (binaries / "virtlogctl").exists()
    assert not (binaries / "twisted-virtlogd").exists()
    assert not (binaries / "virtlog-ship").exists()
    assert not (binaries / "virtlog-fleet").exists()
    assert not (binaries / "virtlog-web").exists()


def _shown(prompt: str) -> list[str]:
    """Give the texts of the commands in the documents that are run here, each once."""
    texts = {
        command.text: command.prompt
        for document in DOCUMENTS
        for command in commands(document)
        if documented.row(command) in documented.rows(documented.PACKAGING)
    }
    return [text for text, one in texts.items() if one == prompt]


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of an ordinary user, which others may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as directory:
        if os.geteuid() == 0:
            os.chown(directory, 65534, 65534)
        yield Path(directory)


def test_the_description_s_commands_install_and_run(wheel: Path, home: Path) -> None:
    """An ordinary user's, in an environment, where the wheel is."""
    installing, running = _shown("$")
    as_user = AS_NOBODY if os.geteuid() == 0 else []
    own = {
        "PATH": f"{home / 'environment' / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
    }
    _run(*as_user, sys.executable, "-m", "venv", home / "environment", directory=home, own=own)
    _run(*as_user, "bash", "-e", "-c", installing, directory=wheel.parent, own=own)
    log = home / "daemon.log"
    with log.open("wb") as said:
        daemon = subprocess.Popen(
            [*as_user, "bash", "-e", "-c", f"exec {running}"],
            cwd=home,
            env={**_environment(), **own},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        wait_until_it_answers(daemon, home / "libvirt" / "virtlogd-jsonrpc-sock", log)
    finally:
        daemon.terminate()
        daemon.wait(60)
    assert daemon.returncode == 0


@pytest.mark.root
def test_root_s_commands_install_below_opt(tmp_path: Path) -> None:
    """In a checkout, and in a mount namespace of its own, whose /opt goes with it."""
    source = tmp_path / "source"
    shutil.copytree(CHECKOUT, source, ignore=LEFT_BEHIND)
    memory = tmp_path / "memory"
    memory.mkdir()
    script = _OWN_OPT.format(memory=memory) + "\n".join([*_shown("#"), *_INSTALLED])
    enter = ("unshare", "--mount", "--propagation", "private")
    said = _run(*enter, "bash", "-e", "-c", script, directory=source)
    assert said.splitlines()[-1].startswith("twisted-virtlogd (twisted-virtlog) ")


_OWN_OPT = """\
mount -t tmpfs memory {memory}
mkdir {memory}/upper {memory}/work
mount -t overlay -o lowerdir=/opt,upperdir={memory}/upper,workdir={memory}/work overlay /opt
"""
#: What the documents then run.
_INSTALLED = (
    "test -x /opt/twisted-virtlog/bin/twistd",
    "/opt/twisted-virtlog/bin/virtlogctl --help >/dev/null",
    "/opt/twisted-virtlog/bin/python -m twisted_virtlog.systemd --help >/dev/null",
    "/opt/twisted-virtlog/bin/twisted-virtlogd --version",
)


def test_the_documents_commands_are_all_run_here() -> None:
    """The two tests above run all that they are said to run."""
    run = {*_shown("$"), *_shown("#")}
    assert run == {text for _, _, text in documented.rows(documented.PACKAGING)}


def test_all_say_the_same_version(wheel: Path) -> None:
    """The wheel, the Debian package and the list of changes are of one release."""
    version = wheel.name.split("-")[1]
    assert (
        (CHECKOUT / "debian" / "changelog").read_text().startswith(f"twisted-virtlog ({version})")
    )
    assert f"\n## {version} - " in (CHECKOUT / "CHANGELOG.md").read_text()


def test_links_hold_where_the_documents_are_installed(wheel: Path, tmp_path: Path) -> None:
    """A link of the README that is a file's name leads to a file of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (documents,) = tmp_path.glob("*.data/data/share/doc/twisted-virtlog")
    for document in documents.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
    (metadata,) = tmp_path.glob("*.dist-info/METADATA")
    assert "](" not in metadata.read_text()


def test_an_editable_installation_has_the_plugin(tmp_path: Path) -> None:
    """``pip install -e .`` puts the checkout itself on the path, where twistd looks for plugins."""
    source = tmp_path / "source"
    shutil.copytree(CHECKOUT, source, ignore=LEFT_BEHIND)
    environment = tmp_path / "environment"
    _run(sys.executable, "-m", "venv", environment, directory=tmp_path)
    python = environment / "bin" / "python"
    _run(python, "-m", "pip", "install", "-q", "-e", source, directory=tmp_path)
    assert "virtlogd" in _run(environment / "bin" / "twistd", "--help", directory=tmp_path)
    assert "virtlogd" in _run(environment / "bin" / "twist", "--help", directory=tmp_path)


def _differing(record: Path) -> list[str]:
    """Return which files of an installed package are gone or not as its RECORD says."""
    differing = []
    checked = 0
    with record.open(newline="") as rows:
        for name, digest, _size in csv.reader(rows):
            if not digest:
                continue
            algorithm, _, expected = digest.partition("=")
            path = record.parents[1] / name
            content = path.read_bytes() if path.exists() else b"gone"
            actual = base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest())
            checked += 1
            if actual.decode().rstrip("=") != expected:
                differing.append(name)
    assert checked > 0
    return differing
