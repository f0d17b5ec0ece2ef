"""doc/examples/prometheus: alerts, a dashboard and units that go with the metrics there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.metrics.values import World, failing, log
from twisted_virtlog.loop.durations import Durations
from twisted_virtlog.loop.stalls import StallCounts
from twisted_virtlog.metrics.families import LOG_ROWS, ROWS
from twisted_virtlog.metrics.family import Kind
from twisted_virtlog.values import MetricsLogs, MountThread, Space

EXAMPLES = Path(__file__).parents[2] / "doc" / "examples" / "prometheus"
RULES = EXAMPLES / "virtlogd.rules.yml"
DASHBOARD = json.loads((EXAMPLES / "virtlogd-dashboard.json").read_text())


def known_names() -> set[str]:
    """Return the names of all samples."""
    names = set()
    for row in (*ROWS, *LOG_ROWS):
        family = row.family
        if family.kind is Kind.HISTOGRAM:
            names |= {f"{family.name}_{one}" for one in ("bucket", "count", "sum")}
        else:
            names.add(family.sample)
    return names


def expressions(value: Any) -> Iterator[str]:
    """Yield the expressions of a dashboard."""
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            yield value["expr"]
        for one in value.values():
            yield from expressions(one)
    elif isinstance(value, list):
        for one in value:
            yield from expressions(one)


def promtool(*arguments: str | Path, stdin: str | None = None) -> str:
    """Run promtool, which must have nothing to complain of; return what it says."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["virtlogd.rules.yml", "virtlogd-dashboard.json"])
def test_what_is_asked_for_is_there(name: str) -> None:
    """There is no name that the daemon does not tell."""
    used = set(re.findall(r"\b(?:virtlogd|process)_[a-z_]+\b", (EXAMPLES / name).read_text()))
    assert used - known_names() == set()
    assert used


def test_each_panel_has_its_place() -> None:
    """No two overlap, none is wider than the page, and numbers are unique."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.promtool
def test_the_rules_are_rules() -> None:
    """As Prometheus reads them; likewise the expressions of the dashboard."""
    assert "SUCCESS: 15 rules found" in promtool("check", "rules", RULES)
    promtool("check", "config", "--syntax-only", EXAMPLES / "prometheus.yml")


@pytest.mark.promtool
def test_the_dashboard_s_expressions_are_understood(tmp_path: Path) -> None:
    """With what Grafana puts in place of its variables."""
    found = [
        one.replace("$__rate_interval", "1m").replace("$instance", ".*")
        for one in expressions(DASHBOARD)
    ]
    assert len(found) > 30
    rules = [{"record": f"a:{number}", "expr": one} for number, one in enumerate(found)]
    file = tmp_path / "rules.yml"
    # (JSON is YAML as well)
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


@pytest.mark.promtool
def test_alerts_tell_trouble_and_nothing_else(tmp_path: Path) -> None:
    """See alerts.yml."""
    file = tmp_path / "alerts.yml"
    text = (Path(__file__).parent / "alerts.yml").read_text()
    file.write_text(text.replace("RULES", str(RULES)))
    promtool("test", "rules", file)


@pytest.mark.promtool
def test_promtool_has_nothing_to_say_about_the_names() -> None:
    """It knows Prometheus' conventions."""
    world = World(log("/a"), failing("/b", lost_bytes=1), shown=MetricsLogs.ALL)
    world.storage.threads = [MountThread("/srv", 1, 0.5)]
    world.storage.found = [Space("/srv", "nfs4", 10, 5, 3, 2)]
    world.calls["jsonrpc"]["log.list"] = Durations()
    world.stalls["log"] = StallCounts(1, 1.0, 1.0)
    assert promtool("check", "metrics", stdin=world.text()) == ""


@pytest.mark.systemd_analyze
def test_the_units_are_understood(tmp_path: Path) -> None:
    """By systemd, where the programs that they name are."""
    if not Path("/lib/systemd/systemd-socket-proxyd").exists():
        pytest.skip("needs systemd-socket-proxyd")
    units = [
        shutil.copy(unit, tmp_path)
        for unit in sorted(EXAMPLES.glob("*.*"))
        if unit.suffix in {".service", ".socket", ".timer"}
    ]
    assert len(units) == 4
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", *units],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert str(tmp_path) not in done.stderr, done.stderr
