"""A bot with money in its ledger, and the commands as an operator runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest
from click.testing import CliRunner, Result

from ballast.cli.main import cli
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger
from dbcore.ledger.users import Profile, UserRef, get_or_create
from devstack.postgres import EmbeddedPostgres
from tests.conftest import MakeSettings
from tests.dbcore.conftest import Sql, statements_on
from tests.harness.logins import as_admin

Ballast = Callable[..., Result]
BALANCES = (
    "SELECT u.telegram_id, a.balance, a.version FROM users u JOIN accounts a ON a.user_id = u.id ORDER BY 1"
)


@pytest.fixture
def environment(
    make_settings: MakeSettings,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """The options of a run, in a folder of the test's own."""
    make_settings()  # takes the options of whoever runs the tests away
    monkeypatch.chdir(tmp_path)
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "BACKUP_TO": str(tmp_path / "kept")}


@pytest.fixture
def ballast(environment: dict[str, str]) -> Ballast:
    """Runs `ballast` with these arguments, and options by keyword, in this process."""

    def run(*arguments: str, **options: str) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="ballast", env={**environment, **options})

    return run


@pytest.fixture
def people(make_settings: MakeSettings, database_url: str) -> None:
    engine = GuardedEngine(make_settings(database_url=database_url))
    for number in range(1, 6):
        get_or_create(engine, profile=Profile(number, f"user{number}", "A name with ' and <b>"))
        target = UserRef(telegram_id=number)
        ledger.adjust(engine, key=f"k{number}", target=target, amount=100 * number, memo="", actor="test")
    engine.dispose()


@pytest.fixture
def sql(database_url: str, postgres_server: EmbeddedPostgres) -> Iterator[Sql]:
    """As the superuser."""
    with statements_on(as_admin(database_url, postgres_server.admin_url_of("postgres"))) as run:
        yield run


@pytest.fixture
def scratches(postgres_server: EmbeddedPostgres) -> Callable[[], list[str]]:
    """The scratch databases that there are."""

    def names() -> list[str]:
        with statements_on(postgres_server.admin_url_of("postgres")) as run:
            return [
                row[0] for row in run("SELECT datname FROM pg_database WHERE datname LIKE 'ballast_scratch%'")
            ]

    return names


def kept(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first."""
    return sorted(path for path in folder.iterdir() if ".tar" in path.name and path.suffix != ".json")


def listed(ballast: Ballast, **options: str) -> list[dict[str, Any]]:
    done = ballast("backups", "--json", **options)
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """The owner's private key, in a file as age-keygen writes it."""
    path = tmp_path / "key.txt"
    key = pyrage.x25519.Identity.generate()
    path.write_text(f"# public key: {key.to_public()}\n{key}\n")
    return path


def recipient(identity: Path) -> str:
    return identity.read_text().splitlines()[0].removeprefix("# public key: ")
