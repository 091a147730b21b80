"""An app's migrations: a lineage of their own, beside Ballast's."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from dbcore.collisions import Refused
from dbcore.migrate import AppMigrations, upgrade_app

REVISION = """
from alembic import op

revision, down_revision = {revision!r}, {down!r}


def upgrade():
    op.execute({sql!r})
"""


def write(folder: Path, revision: str, down: str | None, sql: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{revision}.py").write_text(REVISION.format(revision=revision, down=down, sql=sql))


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def test_two_apps_have_lineages_of_their_own_and_each_revision_is_applied_once(
    database_url: str, tmp_path: Path
) -> None:
    shop = AppMigrations("shop", tmp_path / "50%", "shop")
    kiosk = AppMigrations("kiosk", tmp_path / "kiosk", None)
    write(shop.folder, "0001", None, "CREATE TABLE shop.goods (id int)")
    write(kiosk.folder / "versions", "0001", None, "CREATE TABLE papers (id int)")  # as `alembic init` has it
    (kiosk.folder / "env.py").write_text("raise SystemExit('not mine')")
    for _ in range(2):
        assert upgrade_app(database_url, shop) == "0001"
        assert upgrade_app(database_url, kiosk) == "0001"
    write(shop.folder, "0002", "0001", "INSERT INTO shop.goods VALUES (1)")
    for _ in range(2):
        assert upgrade_app(database_url, shop) == "0002"
    assert rows(database_url, "SELECT id FROM shop.goods") == [(1,)]
    versions = "SELECT version_num FROM"
    assert rows(database_url, f"{versions} shop.alembic_version_shop") == [("0002",)]
    assert rows(database_url, f"{versions} alembic_version_kiosk") == [("0001",)]


def test_after_a_failure_it_is_at_the_revision_before(database_url: str, tmp_path: Path) -> None:
    shop = AppMigrations("shop", tmp_path / "shop", None)
    write(shop.folder, "0001", None, "CREATE TABLE goods (id int)")
    write(shop.folder, "0002", "0001", "CREATE TABLE papers (id int); SELECT 1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        upgrade_app(database_url, shop)
    assert rows(database_url, "SELECT version_num, to_regclass('papers') FROM alembic_version_shop") == [
        ("0001", None)
    ]


def test_what_cannot_be_applied_is_told_in_one_line(database_url: str, tmp_path: Path) -> None:
    shop = AppMigrations("shop", tmp_path / "shop", None)
    with pytest.raises(Refused, match=r"shop: there is no folder .*shop with its migrations"):
        upgrade_app(database_url, shop)
    write(shop.folder, "0001", None, "SELECT 1")
    write(shop.folder, "0002", "0001", "SELECT 1")
    upgrade_app(database_url, shop)
    (shop.folder / "0002.py").unlink()
    with pytest.raises(Refused, match="shop: the database is at revision 0002, which its migrations do not"):
        upgrade_app(database_url, shop)


UPGRADE = "def upgrade(): pass"


@pytest.mark.parametrize(
    ("revisions", "said"),
    [
        (
            ["revision, down_revision = '0001', '0000'"],
            "Revision 0000 referenced from 0000 -> 0001 (head), is not",
        ),
        (["revision, down_revision = '0001', '0001'"], "Self-loop is detected in revisions (0001)"),
        (["revision, down_revision = '0001', None"] * 2, "Revision 0001 is present more than once"),
        (
            ["revision, down_revision = '0001', None", "revision, down_revision = '0002', None"],
            "have 2 ends, 0001, 0002: expected one line, in which each has the revision before it as its down_revision",
        ),
        (["revision = '0001'"], "AttributeError: module '0_py' has no attribute 'down_revision'"),
        (["revision, down_revision = '0001"], "SyntaxError: unterminated string literal"),
    ],
)
def test_revisions_that_are_no_line_are_refused_in_one_sentence(
    revisions: list[str], said: str, tmp_path: Path
) -> None:
    for number, text in enumerate(revisions):
        (tmp_path / f"{number}.py").write_text(f"{text}\n{UPGRADE}\n")
    with pytest.raises(Refused) as refused:
        upgrade_app("postgresql://nobody:asks@127.0.0.1:1/it", AppMigrations("shop", tmp_path, None))
    assert said in str(refused.value)
    assert str(refused.value).startswith("shop: the migrations in ")
    assert "\n" not in str(refused.value)


def test_a_revision_without_an_upgrade_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001.py").write_text("revision, down_revision = '0001', None")
    with pytest.raises(Refused, match=r"shop: 0001\.py in .* has no function upgrade"):
        upgrade_app("postgresql://nobody:asks@127.0.0.1:1/it", AppMigrations("shop", tmp_path, None))
