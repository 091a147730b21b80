"""The public names are a contract: each is listed here, described, and its example runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import ballast
import dbcore
from ballast import testing
from devstack.stack import ROOT

PAGE = (ROOT / "docs/reference/api.md").read_text()
PLUGIN = (ROOT / "ballast/pytest_plugin.py").read_text()

PUBLIC = [
    "LAST_KNOWN",
    "Adjustment",
    "Amount",
    "App",
    "Ask",
    "AsyncGuard",
    "BatchContext",
    "BatchTx",
    "BuiltInAnswer",
    "Button",
    "DatabaseAway",
    "Discard",
    "Effect",
    "FailureKind",
    "Guard",
    "GuardedSQLAlchemy",
    "Held",
    "Job",
    "JobContext",
    "Known",
    "Moved",
    "OutcomeUnknown",
    "Received",
    "Refuse",
    "Reply",
    "RetryPolicy",
    "SettingsError",
    "Snooze",
    "Transfer",
    "Tx",
    "Unavailable",
    "UsageError",
    "User",
    "WebhookRequest",
    "__version__",
    "attach_engine",
    "bot_safe_adjust_balance",
    "bot_safe_broadcast",
    "bot_safe_create_transaction",
    "bot_safe_get_or_create_user",
]


NOT_TOLD = {
    # Of messages, which tests do without.
    *("from_bot", "date", "silent", "deleted", "revision", "read"),
    "chat",  # of places
}


def test_the_public_names_are_these_and_are_there() -> None:
    assert ballast.__all__ == PUBLIC
    assert all(getattr(ballast, name) is not None for name in PUBLIC)
    assert dir(ballast) == sorted(PUBLIC)
    assert set(dbcore.__all__) < set(PUBLIC)


def test_another_name_is_an_attribute_error() -> None:
    assert not hasattr(ballast, "frob")


def test_without_flask_the_one_name_that_needs_it_says_so() -> None:
    program = (
        "import sys; sys.modules['flask'] = None\n"
        "import ballast, dbcore; ballast.attach_engine, dbcore.Guard\n"
        "try: ballast.GuardedSQLAlchemy\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "pip install 'ballast[flask]'" in done.stdout, done.stderr


def test_every_public_name_is_described() -> None:
    described = set(re.findall(r"^## `(\w+)`$", PAGE, re.MULTILINE))
    assert described == {*ballast.__all__}


def test_what_tests_are_written_with_is_described() -> None:
    chapter = PAGE.partition("\n# Tests: `ballast.testing`\n")[2]
    described = dict(re.findall(r"^## `testing\.(\w+)`$\n((?:(?!## ).*\n)*)", chapter, re.MULTILINE))
    assert described.keys() == {*testing.__all__}
    for name, text in described.items():
        members = {member for member in vars(getattr(testing, name)) if not member.startswith("_")}
        not_told = {member for member in members if not re.search(rf"`(?:[^`]* )?{member}\b", text)}
        assert not_told - NOT_TOLD == set(), name
    fixtures = set(re.findall(r"^@pytest\.fixture.*\ndef ([a-z]\w+)", PLUGIN, re.MULTILINE))
    assert fixtures == set(re.findall(r"^\| `(\w+)` \|", chapter.partition("\n## ")[0], re.MULTILINE))


def test_the_examples_run_as_they_stand(database_url: str) -> None:
    """One after the other; a block that only shows how a function is called is no example."""
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE, re.MULTILINE)
    examples = [block for block in blocks if "->" not in block]
    program = "\n".join(re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in examples)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:4] == [ballast.__version__, "0", "applied", "applied"]
    assert "to 500000001\n" in done.stdout
    assert "\n700 False\nTrue\n" in done.stdout
    assert "\nused_up\n" in done.stdout
    assert "\nfrom a coroutine: True\nattached: 5 closed\nin Flask: 6\n" in done.stdout
    assert "\ncommands: ['redeem']\ngift: 550\nasked by Alice\nescaped: 1 &lt; 2\njob: {" in done.stdout
