"""Users: Telegram's id is the truth about who someone is; names are what Telegram said last."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from dbcore.errors import Unavailable
from dbcore.failures import FailureKind
from dbcore.qualified_names import qualified
from dbcore.sentences import Refusal, Sentence, sentence
from dbcore.text import storable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dbcore.guard.engine import GuardedEngine

T = TypeVar("T")

_USERNAME = re.compile(r"@([A-Za-z0-9_]{1,32})", re.ASCII)
_BARE_USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}", re.ASCII)
_TELEGRAM_ID = re.compile(r"[0-9]{1,16}", re.ASCII)
_LINK = re.compile(
    r"(?:(?:https?://)?(?:www\.)?(?:t\.me|telegram\.me|telegram\.dog)/@?(?P<name>[a-z][a-z0-9_]{0,31})/?(?:[?#].*)?"
    r"|(?:https?://)?(?P<host>[a-z][a-z0-9_]{3,31})\.t\.me/?"
    r"|tg://resolve/?\?domain=(?P<domain>[a-z][a-z0-9_]{0,31})(?:&.*)?"
    r"|tg://user/?\?id=(?P<id>[0-9]{1,16}))",
    re.ASCII | re.IGNORECASE,
)
_TOUCH = "SELECT * FROM ballast.users_touch(%s, %s, %s, %s, %s)"
_GET_OR_CREATE_SQL = "SELECT account.* {others} FROM ballast.users_account(%s, %s, %s, %s, %s) AS account"
_OTHERS = """
, (SELECT coalesce(json_agg(json_build_array(a.currency, a.balance, a.held, a.version)), '[]')
     FROM ballast.accounts a WHERE a.user_id = account.r_user_id AND a.id <> account.r_account_id)
"""
"""Their accounts in further currencies: asked for if the bot has any."""
# In the order of ids, for rows of users may be written to: two batches are not to wait in a circle.
_GET_OR_CREATE_MANY_SQL = """
SELECT account.* {others}
  FROM (SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[])
                      WITH ORDINALITY AS given (telegram_id, username, first_name, language_code, place)
         ORDER BY telegram_id) AS profile
 CROSS JOIN LATERAL ballast.users_account(profile.telegram_id, profile.username, profile.first_name, %s,
                                          profile.language_code) AS account
 ORDER BY profile.place
"""

CHOICES_PAGE = 1_000

TELEGRAM_ID_LIMIT = 2**52
"""Telegram promises at most 52 significant bits."""

_NAMED_BY = sentence("Name the user as @username or by their numeric ID, such as 12345.")


class UserStatus(StrEnum):
    """Whether our messages reach them. Any message of theirs makes them active again."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    DEACTIVATED = "deactivated"


class UserRefError(Refusal):
    """The text names no user. It says so in a sentence for the person who wrote it."""

    def __init__(self, *sentences: Sentence | str) -> None:
        super().__init__(*(sentences or (_NAMED_BY,)))


@dataclass(frozen=True, slots=True)
class Profile:
    """Someone as Telegram describes them. Names are untouched: not trimmed, not escaped.

    language_code -- such as `de` or `pt-br`; None where Telegram said nothing of it.
    """

    telegram_id: int
    username: str | None
    first_name: str
    language_code: str | None = None

    def parameters(self) -> tuple[int, str | None, str]:
        """The names as the SQL functions take them."""
        return (
            self.telegram_id,
            storable(self.username) if self.username else None,
            storable(self.first_name),
        )


@dataclass(frozen=True, slots=True)
class UserRef:
    """How a person names another: by numeric id or by username (without the @), never both."""

    telegram_id: int | None = None
    username: str | None = None

    def __post_init__(self) -> None:
        if (self.telegram_id is None) == (self.username is None):
            raise ValueError("a UserRef takes either telegram_id or username")

    @classmethod
    def parse(cls, text: str) -> UserRef:
        """Read `@bob`, `bob`, a link such as `t.me/bob`, or `12345`. Raises UserRefError."""
        text = _without_invisible(text)
        if ref := cls.certain(text):
            return ref
        if _BARE_USERNAME.fullmatch(text):
            return cls(username=text)
        if ref := cls._of_id(text):
            return ref
        raise UserRefError

    @classmethod
    def certain(cls, text: str) -> UserRef | None:
        """Read `@bob` or a link: what can be nothing but a user. None for anything else, a bare `bob` or `5` too."""
        text = _without_invisible(text)
        if match := _USERNAME.fullmatch(text):
            return cls(username=match[1])
        link = _LINK.fullmatch(text)
        if link is None:
            return None
        if link["id"]:
            return cls._of_id(link["id"])
        return cls(username=link["name"] or link["host"] or link["domain"])

    @classmethod
    def _of_id(cls, text: str) -> UserRef | None:
        known = _TELEGRAM_ID.fullmatch(text) and 0 < int(text) < TELEGRAM_ID_LIMIT
        return cls(telegram_id=int(text)) if known else None

    def __str__(self) -> str:
        return f"@{self.username}" if self.username is not None else str(self.telegram_id)

    def parameters(self) -> tuple[int | None, str | None]:
        """As the SQL functions take them. Usernames are compared without regard to case."""
        return self.telegram_id, None if self.username is None else storable(self.username.removeprefix("@"))


def _without_invisible(text: str) -> str:
    """What is copied out of a message may bring marks of direction along."""
    return "".join(character for character in text if unicodedata.category(character) != "Cf").strip()


@dataclass(frozen=True, slots=True)
class Balance:
    """What somebody has in one currency, in minor units. held -- what of it is not available."""

    currency: str
    balance: int
    held: int
    version: int


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A user with their account in this bot's first currency. held -- what of the balance is not available. others --
    their accounts in further currencies, in the order of CURRENCIES.
    """

    user_id: int
    telegram_id: int
    username: str | None
    first_name: str
    status: UserStatus
    account_id: int
    balance: int
    currency: str
    version: int
    created: bool
    held: int = 0
    others: tuple[Balance, ...] = ()

    @property
    def available(self) -> int:
        """What the user can spend."""
        return self.balance - self.held

    @property
    def balances(self) -> tuple[Balance, ...]:
        """In each currency, the first one first."""
        return (Balance(self.currency, self.balance, self.held, self.version), *self.others)


def get_or_create(engine: GuardedEngine, *, profile: Profile) -> UserAccount:
    """The user of this profile, made with an empty account where there was none; safe to call at once.

    Writes only when a name or the language changed, to revive someone who had blocked us, and once an hour to note
    that they are still there. A username is taken from whoever had it. A profile without a first name, as operators
    give it by id, changes no name. Where the database cannot be written to, known users are answered.
    """
    row = read_and_note(
        engine,
        _with_others(_GET_OR_CREATE_SQL, engine),
        _touch_parameters(profile, engine.currency),
        name="users.get_or_create",
    )
    return _account(engine, profile, row)


def get_or_create_many(engine: GuardedEngine, *, profiles: Sequence[Profile]) -> list[UserAccount]:
    """The same for each of these profiles, in one round trip and one transaction. An error of one is one of all."""
    ids, usernames, first_names = zip(*(profile.parameters() for profile in profiles), strict=True)
    rows = _read_and_note(
        engine.fetch_rows,
        _with_others(_GET_OR_CREATE_MANY_SQL, engine),
        ([*ids], [*usernames], [*first_names], [_language(each) for each in profiles], engine.currency),
        name="users.get_or_create_many",
    )
    return [_account(engine, profile, row) for profile, row in zip(profiles, rows, strict=True)]


def _language(profile: Profile) -> str | None:
    return storable(profile.language_code) if profile.language_code else None


def _with_others(statement: str, engine: GuardedEngine) -> str:
    return statement.format(others=_OTHERS if len(engine.currencies) > 1 else "")


def _account(engine: GuardedEngine, profile: Profile, row: tuple[Any, ...]) -> UserAccount:
    user_id, status, account_id, balance, version, created, held, *others = row
    found = {each[0]: Balance(*each) for each in others[0]} if others else {}
    return UserAccount(
        user_id=user_id,
        telegram_id=profile.telegram_id,
        username=profile.username or None,
        first_name=profile.first_name,
        status=UserStatus(status),
        account_id=account_id,
        balance=balance,
        currency=engine.currency,
        version=version,
        created=created,
        held=held,
        others=tuple(found[each.code] for each in engine.currencies if each.code in found),
    )


def touch(connection: Connection, profile: Profile, currency: str, schema: str | None) -> int:
    """The same within a transaction of the caller's, who needs them to be there. Returns their balance."""
    _, _, _, balance, _, _ = connection.exec_driver_sql(
        qualified(_TOUCH, schema), _touch_parameters(profile, currency)
    ).one()
    return int(balance)


def _touch_parameters(profile: Profile, currency: str) -> tuple[Any, ...]:
    return (*profile.parameters(), currency, _language(profile))


def read_and_note(
    engine: GuardedEngine, statement: str, parameters: Sequence[Any], *, name: str
) -> tuple[Any, ...]:
    """The row of a read that also notes its user's visit by `users_touch`; on a full disk, of the read alone."""
    return _read_and_note(engine.fetch_row, statement, parameters, name=name)


def _read_and_note(fetch: Callable[..., T], statement: str, parameters: Sequence[Any], *, name: str) -> T:
    try:
        # Made twice, a user is still made once: nothing is ever left unknown.
        return fetch(statement, parameters, name=name, writes=False)
    except Unavailable as away:
        if away.kind is not FailureKind.STORAGE:
            raise
    # Both are one message and so one transaction, in which `users_touch` does not try to write to a known user.
    return fetch(f"SET TRANSACTION READ ONLY; {statement}", parameters, name=name, writes=False)


def set_status(engine: GuardedEngine, *, telegram_id: int, status: UserStatus) -> None:
    """Note what a send or an update told us; who is active has no strikes. Someone we do not know stays unknown."""
    engine.fetch_row(
        "WITH changed AS (UPDATE ballast.users SET status = %s, strikes = CASE WHEN %s THEN 0 ELSE strikes END "
        "WHERE telegram_id = %s AND (status <> %s OR %s AND strikes > 0) RETURNING 1) SELECT count(*) FROM changed",
        (status.value, active := status is UserStatus.ACTIVE, telegram_id, status.value, active),
        name="users.set_status",
    )


def choose_broadcasts(engine: GuardedEngine, *, profile: Profile, wanted: bool) -> UserAccount:
    """The user's own /stop (not wanted) or /resume, for broadcasts alone. Returns them, made where they were new."""
    account = get_or_create(engine, profile=profile)
    engine.fetch_row(
        "WITH changed AS (UPDATE ballast.users SET broadcasts_stopped_at = CASE WHEN %s THEN NULL ELSE now() END "
        "WHERE id = %s AND (broadcasts_stopped_at IS NULL) <> %s RETURNING 1) SELECT count(*) FROM changed",
        (wanted, account.user_id, wanted),
        name="users.choose_broadcasts",
    )
    return account


def choose_language(engine: GuardedEngine, *, profile: Profile, language: str | None) -> UserAccount:
    """The user's own choice, by /language; None is as Telegram says. Returns them, made where they were new."""
    return _choose(engine, profile, "language", language)


def choose_time_zone(engine: GuardedEngine, *, profile: Profile, zone: str | None) -> UserAccount:
    """The user's own choice, by /timezone; None is that of TIMEZONE. Returns them, made where they were new."""
    return _choose(engine, profile, "time_zone", zone)


def _choose(engine: GuardedEngine, profile: Profile, column: str, value: str | None) -> UserAccount:
    account = get_or_create(engine, profile=profile)
    engine.fetch_row(
        f"WITH changed AS (UPDATE ballast.users SET {column} = %s WHERE id = %s AND {column} IS DISTINCT FROM %s "  # noqa: S608
        "RETURNING 1) SELECT count(*) FROM changed",
        (value, account.user_id, value),
        name=f"users.choose_{column}",
    )
    return account


def chosen_languages_and_zones(
    engine: GuardedEngine,
) -> Iterator[list[tuple[int, str | None, str | None]]]:
    """Telegram ids with the language and the time zone that they chose, page by page; None where they did not."""
    after = 0
    while rows := engine.fetch_rows(
        "SELECT id, telegram_id, language, time_zone FROM ballast.users "
        "WHERE (language IS NOT NULL OR time_zone IS NOT NULL) AND id > %s ORDER BY id LIMIT %s",
        (after, CHOICES_PAGE),
        name="users.chosen_languages_and_zones",
        writes=False,
    ):
        after = rows[-1][0]
        yield [(telegram_id, language, zone) for _, telegram_id, language, zone in rows]
