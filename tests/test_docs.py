"""The documentation as a site: every page has its place, every link leads somewhere, every file named exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.stack import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OUR_FILE = re.compile(
    r"`((?:ballast|bot_frontend|workers|dbcore|devstack|tests|examples|benchmarks)/[\w/.-]+\.\w+)"
)
STATIC = [
    *(ROOT / "bot_frontend/web/static").glob("*.html"),
    *(ROOT / "bot_frontend/web/static").glob("*.js"),
    ROOT / "ballast/texts/locale/ballast.pot",
]
PRIVATE_WORDS = (
    r"(?i)\b(?:database|postgresql|redis|telegram) (?:is|was|has been|are|were) away\b",
    r"(?i)(?<![\w`/.-])dead letters?\b(?!_)",
    r"\bwhat came of (?:it|them|that)\b",
    r"\bon the books\b|\bin the books\b|\binto the books\b",
    r"\bweather\b|\bthe house (?:comes|rests)\b",
    r"\bfor ever\b",
    r"\bpurse\b|\bvalve\b|\bthe courier\b|\bthe pacer\b",
    r"operator's word|until the next word",
    r"(?i)\btaken down, in one\b|hold all back|let all through",
    r"It goes like this|Left\. Nothing was moved",
    r"\btold of alarms\b",
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


@pytest.mark.parametrize("phrase", PRIVATE_WORDS)
def test_pages_use_the_fields_words(phrase: str) -> None:
    """Not those of Ballast's own that a reader would have to guess at. The changelog quotes old texts."""
    found = [
        f"{page.relative_to(ROOT)}: {line}"
        for page in [*PAGES, *STATIC]
        if page.name != "CHANGELOG.md"
        for line in page.read_text().splitlines()
        if re.search(phrase, line)
    ]
    assert found == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120
