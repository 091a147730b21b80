from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from dbcore.ledger.users import Profile, UserRef, UserRefError, UserStatus
from tests.dbcore.conftest import MakeEngine, Person, Sql


def test_someone_new_gets_one_empty_account(engine: GuardedEngine) -> None:
    account = users.get_or_create(engine, profile=Profile(7, "ann", "Ann"))
    assert (account.created, account.balance, account.version) == (True, 0, 0)
    assert account.currency == "CREDIT"
    again = users.get_or_create(engine, profile=Profile(7, "ann", "Ann"))
    assert (again.created, again.user_id, again.account_id) == (False, account.user_id, account.account_id)


def test_someone_new_from_eight_threads_is_made_once(make_engine: MakeEngine, sql: Sql) -> None:
    engine = make_engine(settings={"db_pool_size": 8, "db_deadline_seconds": 30})
    for telegram_id in range(1, 11):
        profile = Profile(telegram_id, None, "New")
        with ThreadPoolExecutor(8) as threads:
            accounts = list(threads.map(lambda _: users.get_or_create(engine, profile=profile), range(8)))  # noqa: B023
        assert [account.created for account in accounts].count(True) == 1
        assert len({(account.user_id, account.account_id) for account in accounts}) == 1
    assert sql("SELECT count(*) FROM users") == [(10,)]
    assert sql("SELECT count(*) FROM accounts WHERE user_id IS NOT NULL") == [(10,)]


def test_an_unchanged_user_is_not_written(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    profile = person()
    row = "SELECT xmin, last_seen_at FROM users WHERE telegram_id = %s"
    before = sql(row, profile.telegram_id)
    users.get_or_create(engine, profile=profile)
    assert sql(row, profile.telegram_id) == before


def test_a_user_seen_again_after_an_hour_is_noted(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    profile = person()
    sql("UPDATE users SET last_seen_at = now() - interval '61 minutes'")
    users.get_or_create(engine, profile=profile)
    assert sql("SELECT last_seen_at > now() - interval '1 minute' FROM users") == [(True,)]


def test_a_new_name_is_kept(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    profile = person(username="old")
    users.get_or_create(engine, profile=Profile(profile.telegram_id, None, "<b>New</b>"))
    assert sql("SELECT username, first_name FROM users") == [(None, "<b>New</b>")]


def test_who_writes_has_not_blocked_us(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    profile = person()
    for status in (UserStatus.BLOCKED, UserStatus.DEACTIVATED):
        users.set_status(engine, telegram_id=profile.telegram_id, status=status)
        assert sql("SELECT status FROM users") == [(status.value,)]
        assert users.get_or_create(engine, profile=profile).status is UserStatus.ACTIVE


def test_the_status_of_a_stranger_is_not_kept(engine: GuardedEngine, sql: Sql) -> None:
    users.set_status(engine, telegram_id=404, status=UserStatus.BLOCKED)
    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_a_known_user_is_answered_on_a_read_only_server(
    engine: GuardedEngine, person: Person, sql: Sql, make_engine: MakeEngine, database_url: str
) -> None:
    profile = person(50)
    sql("UPDATE users SET last_seen_at = now() - interval '1 day'")
    read_only = make_engine(f"{database_url}?options=-c%20default_transaction_read_only%3Don")
    assert users.get_or_create(read_only, profile=profile).balance == 50


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("@bob", UserRef(username="bob")),
        (" @Bob_99 ", UserRef(username="Bob_99")),
        ("12345", UserRef(telegram_id=12345)),
        ("bob", UserRef(username="bob")),
        ("\u2068@bob\u2069", UserRef(username="bob")),
        ("\u00a0@bob\u200e", UserRef(username="bob")),
        ("t.me/bob", UserRef(username="bob")),
        ("https://t.me/bob", UserRef(username="bob")),
        ("HTTP://T.ME/Bob/", UserRef(username="Bob")),
        ("https://t.me/bob?start=x", UserRef(username="bob")),
        ("https://www.telegram.me/bob", UserRef(username="bob")),
        ("telegram.dog/@bob", UserRef(username="bob")),
        ("https://bobby.t.me", UserRef(username="bobby")),
        ("tg://resolve?domain=bob&start=x", UserRef(username="bob")),
        ("tg://user?id=12345", UserRef(telegram_id=12345)),
    ],
)
def test_a_user_is_named_by_username_id_or_link(text: str, ref: UserRef) -> None:
    assert UserRef.parse(text) == ref


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "_bob",
        "5bob",
        "0",
        "-5",
        "1.5",
        "@bo b",
        "bo b",
        "@böb",
        "böb",
        "9" * 17,
        "١٢٣",
        "@" + "x" * 33,
        "x" * 33,
        "$5",
        "tg://user?id=0",
        "tg://user?id=x",
        "https://t.me/+abcdef",
        "https://t.me/c/123/4",
        "https://t.me/news/5",
        "https://evil.org/bob",
        "https://t.me.evil.org/bob",
        "t.me/",
    ],
)
def test_what_names_nobody_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(UserRefError, match=r"\.$"):
        UserRef.parse(text)


def test_a_bare_word_or_a_number_is_no_certain_name() -> None:
    assert UserRef.certain("@bob") == UserRef.certain("t.me/bob") == UserRef(username="bob")
    assert UserRef.certain("bob") is UserRef.certain("12345") is None


def held_by(sql: Sql, name: str) -> list[int]:
    return [each for (each,) in sql("SELECT telegram_id FROM users WHERE lower(username) = lower(%s)", name)]


def test_a_username_belongs_to_whom_telegram_showed_it_with_last(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    first, second = person(username="Coin"), person()
    users.get_or_create(engine, profile=Profile(second.telegram_id, "coin", "Second"))
    assert held_by(sql, "coin") == [second.telegram_id]
    users.get_or_create(engine, profile=first)
    assert held_by(sql, "coin") == [first.telegram_id]
    users.get_or_create(engine, profile=Profile(99, "COIN", "New"))
    assert held_by(sql, "coin") == [99]
    assert sql("SELECT count(*) FROM users WHERE username = ''") == [(0,)]


def test_an_operator_s_look_by_id_changes_no_name(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    holder, other = person(username="coin"), person(username="other")
    names = "SELECT username, first_name FROM users ORDER BY telegram_id"
    before = sql(names)
    sql("UPDATE users SET last_seen_at = now() - interval '61 minutes'")
    for username in (None, "coin"):
        for each in (holder, other):
            users.get_or_create(engine, profile=Profile(each.telegram_id, username, ""))
    assert sql(names) == before
    users.get_or_create(engine, profile=Profile(5, "Coin", ""))
    users.get_or_create(engine, profile=Profile(6, "free", ""))
    assert (held_by(sql, "coin"), held_by(sql, "free")) == ([holder.telegram_id], [6])
    users.get_or_create(engine, profile=Profile(7, "Free", "Free"))
    assert held_by(sql, "free") == [7]


def test_two_who_swap_their_names_at_once_both_get_them(
    make_engine: MakeEngine, person: Person, sql: Sql
) -> None:
    engine = make_engine(settings={"db_pool_size": 8, "db_deadline_seconds": 30})
    ann, bob = person(username="ann"), person(username="bob")
    names = ["ann", "bob"]
    for _ in range(10):
        names.reverse()
        with ThreadPoolExecutor(2) as threads:
            for each in (
                threads.submit(users.get_or_create, engine, profile=Profile(one.telegram_id, name, "X"))
                for one, name in zip((ann, bob), names, strict=True)
            ):
                each.result()
        # One may be told of the swap first and lose the name to the other, who has yet to speak.
        for one, name in zip((ann, bob), names, strict=True):
            users.get_or_create(engine, profile=Profile(one.telegram_id, name, "X"))
            assert held_by(sql, name) == [one.telegram_id]


def test_eight_who_take_one_name_at_once_leave_it_with_one(make_engine: MakeEngine, sql: Sql) -> None:
    engine = make_engine(settings={"db_pool_size": 8, "db_deadline_seconds": 30})
    for round_ in range(5):
        people = range(100 * round_ + 1, 100 * round_ + 9)
        with ThreadPoolExecutor(8) as threads:
            list(
                threads.map(
                    lambda one: users.get_or_create(engine, profile=Profile(one, "prize", "X")), people
                )
            )
        assert len(held_by(sql, "prize")) == 1


def test_someone_new_from_eight_threads_keeps_their_name(make_engine: MakeEngine, sql: Sql) -> None:
    engine = make_engine(settings={"db_pool_size": 8, "db_deadline_seconds": 30})
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: users.get_or_create(engine, profile=Profile(7, "ann", "Ann")), range(8)))
    assert held_by(sql, "ann") == [7]


def test_users_read_together_are_what_they_are_one_by_one(
    make_engine: MakeEngine, database_url: str, person: Person
) -> None:
    """In their order: known, new, renamed, one twice, and one by whose name another goes by now."""
    engine = make_engine()
    known, renamed, holder = person(50), person(70), person(1)
    profiles = [
        Profile(telegram_id=9_000_000_002, username="ne\x00w", first_name="New", language_code="de"),
        known,
        replace(renamed, first_name="Other", username=holder.username),
        known,
        Profile(telegram_id=9_000_000_001, username=None, first_name="Newer"),
    ]
    accounts = users.get_or_create_many(engine, profiles=profiles)
    assert [account.telegram_id for account in accounts] == [profile.telegram_id for profile in profiles]
    assert [account.balance for account in accounts] == [0, 50, 70, 50, 0]
    assert [account.created for account in accounts] == [True, False, False, False, True]
    again = [users.get_or_create(engine, profile=profile) for profile in profiles]
    assert [replace(account, created=False) for account in accounts] == again
    read_only = make_engine(f"{database_url}?options=-c%20default_transaction_read_only%3Don")
    assert users.get_or_create_many(read_only, profiles=profiles) == again
