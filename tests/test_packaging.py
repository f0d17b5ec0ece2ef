"""The wheel in a virtual environment: what it puts where, and that nothing is hurt when it goes."""

from __future__ import annotations

import base64
import csv
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[1]


def _run(*command: str | Path) -> str:
    run = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this checkout, which building would leave files in."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    names = _run("git", "-C", CHECKOUT, "ls-files", "-co", "--exclude-standard").splitlines()
    for name in names:
        copy = source / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((CHECKOUT / name).read_bytes())
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", directory, source)
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
    assert not {name for name in names if name.startswith(("tests/", "bench/", "doc/"))}


def test_installing_and_removing_leaves_twisted_whole(wheel: Path, tmp_path: Path) -> None:
    """twistd has the plugin after the installation, and still works after the removal."""
    environment = tmp_path / "environment"
    _run(sys.executable, "-m", "venv", environment)
    binaries = environment / "bin"
    _run(binaries / "python", "-m", "pip", "install", "-q", wheel)
    assert "virtlogd" in _run(binaries / "twistd", "--help")
    assert "virtlogd" in _run(binaries / "twist", "--help")
    assert "--jsonrpc" in _run(binaries / "twistd", "virtlogd", "--help")
    assert "position" in _run(binaries / "virtlogctl", "--help")

    _run(binaries / "python", "-m", "pip", "uninstall", "-q", "-y", "twisted-virtlog")
    assert "virtlogd" not in _run(binaries / "twistd", "--help")
    (record,) = environment.glob("lib/*/site-packages/[Tt]wisted-*.dist-info/RECORD")
    packages = record.parents[1]
    with record.open(newline="") as rows:
        for name, digest, _size in csv.reader(rows):
            algorithm, _, expected = digest.partition("=")
            if expected:
                content = (packages / name).read_bytes()
                actual = base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest())
                assert actual.decode().rstrip("=") == expected, name
    assert not list(packages.glob("twisted_virtlog*"))
    assert not (binaries / "virtlogctl").exists()
