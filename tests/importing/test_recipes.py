"""docs/import.md's queries on the tables that two public shop bots make, as their migrations leave them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg2

from tests.acceptance.test_guides import blocks
from tests.dbcore.conftest import Sql
from tests.importing.conftest import RunImport

Balances = Callable[[], dict[int, int]]

TELEGRAM_SHOP = """
CREATE SCHEMA theirs;
SET search_path TO theirs;
CREATE TABLE roles (id integer PRIMARY KEY, name varchar(64) UNIQUE, "default" boolean, permissions integer);
CREATE TABLE users (
    telegram_id bigint PRIMARY KEY, role_id integer REFERENCES roles, balance numeric(12, 2) NOT NULL,
    referral_id bigint REFERENCES users, registration_date timestamptz NOT NULL DEFAULT now(), is_blocked boolean);
CREATE TABLE operations (
    id serial PRIMARY KEY, user_id bigint REFERENCES users, operation_value numeric(12, 2) NOT NULL,
    operation_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE bought_goods (
    id serial PRIMARY KEY, item_name varchar(100) NOT NULL, value text NOT NULL, price numeric(12, 2) NOT NULL,
    buyer_id bigint REFERENCES users, bought_datetime timestamptz NOT NULL DEFAULT now(),
    unique_id bigint NOT NULL UNIQUE);
CREATE TABLE referral_earnings (
    id serial PRIMARY KEY, referrer_id bigint NOT NULL REFERENCES users, referral_id bigint NOT NULL REFERENCES users,
    amount numeric(12, 2) NOT NULL, original_amount numeric(12, 2) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO roles VALUES (1, 'USER', true, 1);
INSERT INTO users VALUES (7, 1, 62.50, NULL, '2024-01-01+00', false), (8, 1, 0, 7, '2024-02-01+00', true),
                         (9, 1, 5, NULL, '2024-03-01+00', NULL);
INSERT INTO operations VALUES (1, 8, 100, '2024-02-02+00'), (2, 7, 60, '2024-02-03+00');
INSERT INTO bought_goods VALUES (1, 'Licence', 'KEY', 100, 8, '2024-02-04+00', 1),
                                (2, 'Lamp', 'K', 7.50, 7, '2024-02-05+00', 2);
INSERT INTO referral_earnings VALUES (1, 7, 8, 10, 100, '2024-02-02+00');
"""
AIOGRAM_SHOP_BOT = """
CREATE TABLE users (
    id INTEGER NOT NULL PRIMARY KEY, telegram_username VARCHAR UNIQUE, telegram_id INTEGER NOT NULL UNIQUE,
    top_up_amount FLOAT, consume_records FLOAT, registered_at DATETIME, can_receive_messages BOOLEAN,
    referral_code VARCHAR(8), referred_by_user_id INTEGER, referred_at DATETIME);
INSERT INTO users VALUES (1, 'ann', 7, 100.1, 99.8, '2025-11-17 18:39:44.422629', 1, NULL, NULL, NULL),
                         (2, NULL, 8, 0.0, 0.0, '2025-11-18 00:00:00', 0, NULL, NULL, NULL),
                         (3, 'carol', 9, 10.0, 2.55, NULL, NULL, NULL, NULL, NULL);
"""


def query(title: str) -> str:
    """The block of the page whose first line is this comment."""
    return next(block for block in blocks("import.md") if block.startswith(f"-- {title}\n"))


def test_telegram_shop_comes_with_its_history(
    run_import: RunImport, database_url: str, balances: Balances, sql: Sql
) -> None:
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(TELEGRAM_SHOP)
    connection.close()
    imported = run_import(
        where=f"{database_url}?options=-csearch_path%3Dtheirs",
        query=query("telegram-shop-people.sql"),
        history_query=query("telegram-shop-history.sql"),
    )
    assert imported.agrees, imported.text
    assert "         1 owe" not in imported.text
    assert balances() == {7: 6250, 8: 0, 9: 500}
    assert sql(
        "SELECT telegram_id, status, broadcasts_stopped_at IS NOT NULL, created_at::date::text FROM users "
        "ORDER BY 1"
    ) == [
        (7, "active", False, "2024-01-01"),
        (8, "blocked", True, "2024-02-01"),
        (9, "active", False, "2024-03-01"),
    ]
    assert sql("SELECT memo, amount FROM transfers ORDER BY id") == [
        ("Referral", 1000),
        ("Top-up", 6000),
        ("Lamp", 750),
        ("Top-up", 10000),
        ("Licence", 10000),
        ("Opening balance", 500),
    ]


def test_aiogram_shop_bot_comes_with_its_floats_made_exact(
    run_import: RunImport, tmp_path: Path, balances: Balances, sql: Sql
) -> None:
    with sqlite3.connect(tmp_path / "database.db") as database:
        database.executescript(AIOGRAM_SHOP_BOT)
    database.close()
    where = f"sqlite:///{tmp_path / 'database.db'}"
    raw = "SELECT telegram_id, top_up_amount - consume_records AS balance FROM users"
    refused = run_import(where=where, query=raw)
    assert refused.lines[0].startswith(
        "row 1: balance: expected an exact amount such as '12.50', found the float 0.2999"
    )
    imported = run_import(where=where, query=query("aiogram-shop-bot.sql"))
    assert imported.agrees, imported.text
    assert balances() == {7: 30, 8: 0, 9: 745}
    assert sql("SELECT telegram_id, username, status FROM users ORDER BY 1") == [
        (7, "ann", "active"),
        (8, None, "blocked"),
        (9, "carol", "active"),
    ]
