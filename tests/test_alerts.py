"""The rules for Prometheus and the dashboard for Grafana: they parse, they use only figures that there are, each alert
has its runbook, and is seen to fire.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # publishes no types

from bot_frontend.web.metric import Kind
from bot_frontend.web.metric_definitions import METRICS
from devstack.stack import ROOT

RULES = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/ballast.json"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads(DASHBOARD.read_text())["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]

PROMTOOL = shutil.which("promtool")
with_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="no promtool on this machine (Debian: install prometheus)"
)

# What is no metric's name in an expression: label matchers, texts, ranges, and the labels that are grouped by.
_BESIDE = re.compile(r"\{[^}]*\}|\"[^\"]*\"|\[[^\]]*\]|\b(?:by|on)\s*\([^)]*\)")
_WORD = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_OPERATORS = frozenset({"and", "or", "unless"})


def names_in(expression: str) -> set[str]:
    return set(_WORD.findall(_BESIDE.sub(" ", expression))) - _OPERATORS


def documented() -> set[str]:
    names = set()
    for figure in METRICS:
        suffixes = ("_bucket", "_sum", "_count") if figure.kind is Kind.HISTOGRAM else ("",)
        names |= {figure.name + suffix for suffix in suffixes}
    return names


def expressions() -> Iterator[tuple[str, str]]:
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]
    for panel in CHARTS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments], capture_output=True, text=True, timeout=120, check=False, cwd=RULES.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_an_expression_uses_only_figures_that_there_are(name: str, expression: str) -> None:
    used = names_in(expression)
    assert used, f"{name} uses none"
    assert used <= documented()


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    runbooks = re.findall(r"^### (\w+)$", page.partition("\n## Alerts\n")[2], re.MULTILINE)
    assert sorted(runbooks) == sorted(alert["alert"] for alert in ALERTS)
    for alert in ALERTS:
        anchor = alert["alert"].lower()
        page_url = "https://ballast.example.org/docs/operations.md"
        assert alert["annotations"]["runbook_url"] == f"{page_url}#{anchor}"
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_each_alert_is_among_those_that_are_seen_to_fire() -> None:
    tried = (RULES.parent / "alerts.test.yml").read_text()
    assert [alert["alert"] for alert in ALERTS if f'alertname="{alert["alert"]}"' not in tried] == []


@with_promtool
def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", str(RULES))


@with_promtool
def test_each_alert_fires_on_its_trouble_and_none_on_a_fleet_that_is_well() -> None:
    promtool("test", "rules", "alerts.test.yml")


@with_promtool
def test_prometheus_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in CHARTS for target in panel["targets"]]
    asked += [note["expr"] for note in json.loads(DASHBOARD.read_text())["annotations"]["list"]]
    rules = [{"record": f"asked:{number}", "expr": expr} for number, expr in enumerate(asked)]
    file = tmp_path / "asked.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_the_dashboard_can_be_imported() -> None:
    """What Grafana asks of a dashboard: an id for each panel, a place on the grid, a data source to choose."""
    board = json.loads(DASHBOARD.read_text())
    assert board["uid"] == "ballast"
    assert "id" not in board  # Grafana gives it
    (source,) = board["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({panel["title"] for panel in CHARTS} & {""}) == 0
    for panel in CHARTS:
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_no_panel_lies_on_another() -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        place = panel["gridPos"]
        return {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }

    assert all(x < 24 for panel in PANELS for x, _ in cells(panel))
    for one, other in combinations(PANELS, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
