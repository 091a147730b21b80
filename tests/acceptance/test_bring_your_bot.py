"""docs/bring-your-bot.md works as it stands, from a bot's own database to its people's answers."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, make_url

from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.images import png
from tests.acceptance.conftest import MakeStack
from tests.acceptance.people import all_settled, assert_audit_passes, say
from tests.acceptance.test_guides import converse, run_commands, write_files
from tests.bots_database import SCHEMA

PAGE = "bring-your-bot.md"
ITS_TABLES = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('e5f6a7b8c9d0');
CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL, balance numeric(12, 2) NOT NULL);
CREATE TABLE items (name text PRIMARY KEY, price numeric(12, 2) NOT NULL, "left" int NOT NULL);
INSERT INTO items VALUES ('lamp', 3.50, 1), ('rug', 20, 5);
"""


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    return empty_database_url


def its_database(stack: Stack, *people: int) -> None:
    engine = create_engine(make_url(stack.database_url).set(drivername="postgresql+psycopg2"))
    with engine.begin() as connection:
        connection.exec_driver_sql(ITS_TABLES)
        for person in people:
            connection.exec_driver_sql("INSERT INTO people VALUES (%s, 'Ann', 12.50)", (person,))
    engine.dispose()


async def test_each_step_of_the_move_works(make_stack: MakeStack, telegram: TelegramControl) -> None:
    stack = make_stack(BALLAST_APPS="shopbot.bot", BALLAST_SCHEMA=SCHEMA)
    ann, boris = [(await telegram.create_user(name)).id for name in ("Ann", "Boris")]
    its_database(stack, ann, boris)
    write_files(PAGE, stack.folder)
    run_commands(PAGE, stack)
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    await converse(PAGE, telegram, ann)
    sent = await telegram.send_photo(ann, png(8, 8))
    await telegram.wait_for_message(
        ann, lambda message: message.text == "Thank you for the picture.", after=sent.message.revision
    )
    run_commands(PAGE, stack)  # any number of times
    assert "Your balance is 9.00" in (await say(telegram, ann, "/balance")).text
    await all_settled(stack, telegram)
    assert stack.query('SELECT "left" FROM public.items ORDER BY name') == [(0,), (5,)]
    assert_audit_passes(stack)
