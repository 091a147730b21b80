"""A migrated database, and `run_import`, which imports into it as the command does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ballast.cli import import_report
from dbcore.guard.engine import GuardedEngine
from dbcore.importing.reading import Rules
from dbcore.settings import Settings
from tests.conftest import MakeSettings
from tests.dbcore.conftest import Sql, statements_on


class Imported(NamedTuple):
    """What an import came to, and what it printed without the progress bar."""

    agrees: bool
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


RunImport = Callable[..., Imported]


@pytest.fixture
def settings(make_settings: MakeSettings, database_url: str) -> Settings:
    return make_settings(database_url=database_url)


@pytest.fixture
def engine(settings: Settings) -> Iterator[GuardedEngine]:
    engine = GuardedEngine(settings)
    yield engine
    engine.dispose()


@pytest.fixture
def run_import(
    engine: GuardedEngine, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> RunImport:
    """Import a CSV text, a list of objects as JSON lines, or what `where` names. The audit passes after each."""

    def write(content: str | list[dict[str, Any]], name: str) -> str:
        path = tmp_path / (name + (".csv" if isinstance(content, str) else ".jsonl"))
        path.write_text(
            content if isinstance(content, str) else "".join(f"{json.dumps(row)}\n" for row in content)
        )
        return str(path)

    def run_import(
        people: str | list[dict[str, Any]] = "",
        *,
        where: str = "",
        source: str = "shop",
        history: str | list[dict[str, Any]] | None = None,
        names: dict[str, str | None] | None = None,
        zone: tzinfo | None = None,
        minor: bool = False,
        negative_as_zero: bool = False,
        audit_passes: bool = True,
        **options: Any,
    ) -> Imported:
        rules = Rules(
            exponent=settings.currency_exponent,
            currency=settings.currency,
            names=names or {},
            minor=minor,
            negative_as_zero=negative_as_zero,
            **({"zone": zone} if zone else {}),
        )
        ordered = import_report.ImportOptions(
            source=source,
            where=where or write(people, "people"),
            history=None if history is None else write(history, "history"),
            rules=rules,
            **options,
        )
        capsys.readouterr()
        agrees = import_report.run_import(engine, settings, ordered)
        imported = Imported(agrees, capsys.readouterr().out.splitlines())
        assert ("FAIL" not in imported.text) == audit_passes
        return imported

    return run_import


@pytest.fixture
def undo(engine: GuardedEngine, settings: Settings, capsys: pytest.CaptureFixture[str]) -> RunImport:
    def undo(*, dry: bool = False) -> Imported:
        capsys.readouterr()
        agrees = import_report.undo(engine, settings, "shop", dry=dry)
        return Imported(agrees, capsys.readouterr().out.splitlines())

    return undo


@pytest.fixture
def sql(database_url: str) -> Iterator[Sql]:
    """Rows of a statement on the test's database, past the engine."""
    with statements_on(database_url) as run:
        yield run


@pytest.fixture
def balances(sql: Sql) -> Callable[[], dict[int, int]]:
    """Minor units by Telegram ID."""
    return lambda: dict(
        sql("SELECT u.telegram_id, a.balance FROM users u JOIN accounts a ON a.user_id = u.id ORDER BY 1")
    )
