"""The documentation as a site: every page has its place, every link leads somewhere, every file named exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from devstack.stack import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OUR_FILE = re.compile(
    r"`((?:ballast|bot_frontend|workers|dbcore|devstack|tests|examples|benchmarks)/[\w/.-]+\.\w+)"
)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "docs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "guarantees.html").is_file()


def test_links_of_pages_outside_the_site_lead_somewhere() -> None:
    missing = [
        f"{page.name}: {link}"
        for page in ROOT.glob("*.md")
        for link in LINK.findall(page.read_text())
        if not (page.parent / link).exists()
    ]
    assert missing == []


def test_files_that_pages_name_are_there() -> None:
    """Not those that the changelog tells of: it is about the past."""
    missing = {
        f"{page.relative_to(ROOT)}: {path}"
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for path in OUR_FILE.findall(page.read_text())
        if not (ROOT / path).exists()
    }
    assert missing == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120
