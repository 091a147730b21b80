"""What must be so before anything is touched. Each check is a sentence if it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from dbcore import migrate
from dbcore.backups.facts import count_relations
from dbcore.guard import pool
from dbcore.moving.errors import MoveFailed
from dbcore.moving.hold import NAME, tables_of
from dbcore.moving.role_defaults import set_default
from dbcore.sentences import Sentence, sentence

COPY_SCHEMA = "ballast_move"
"""In the new database: says that what is there is the copy of a move, and in charge of nothing."""

_ABOUT = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),
       current_setting('search_path'), pg_database_size(current_database()),
       pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
       has_database_privilege(current_database(), 'CREATE'), current_database()
"""
_EXTENSIONS = "SELECT extname FROM pg_extension"
_AVAILABLE = "SELECT name FROM pg_available_extensions"
_GRANTEES = """
SELECT DISTINCT a.grantee::regrole::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL aclexplode(c.relacl) a
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND a.grantee NOT IN (0, c.relowner)
"""
_ROLES = "SELECT quote_ident(rolname) FROM pg_roles"


@dataclass(frozen=True, slots=True)
class Server:
    """bytes -- of the database. in_recovery -- it cannot be written to at all. read_only -- not by default."""

    major: int
    encoding: str
    search_path: str
    bytes: int
    in_recovery: bool
    read_only: bool
    may_create: bool
    database: str


@dataclass(frozen=True, slots=True)
class Checked:
    """tables -- what is moved, quoted with their schemas. wrong -- why not; empty if all is well. resumes -- the new
    database has an earlier run's copy.
    """

    source: Server
    target: Server
    tables: tuple[str, ...]
    wrong: tuple[Sentence, ...]
    resumes: bool


def check(source: str, target: str, schema: str | None, schemas: Sequence[str]) -> Checked:
    """Touches nothing. schema -- BALLAST_SCHEMA. schemas -- BACKUP_SCHEMAS. Raises SQLAlchemy's errors."""
    wrong: list[Sentence] = []
    with pool.single(source, application_name=NAME, schema=schema).connect() as old:
        here, tables = _server(old), tables_of(old, schemas)
        revision = migrate.current_revision(old, schema)
        extensions = set(old.exec_driver_sql(_EXTENSIONS).scalars())
        grantees = set(old.exec_driver_sql(_GRANTEES).scalars())
    with pool.single(target, application_name=NAME).connect() as new:
        there = _server(new)
        available = set(new.exec_driver_sql(_AVAILABLE).scalars())
        roles = set(new.exec_driver_sql(_ROLES).scalars())
        count = count_relations(new, but=COPY_SCHEMA)
        resumes = _has_copy(new)
    if revision is None:
        wrong.append(sentence("the old database has none of Ballast's tables"))
    elif revision != migrate.newest_revision():
        wrong.append(
            sentence(
                "the old database is at revision {revision}: run `{command}` first",
                revision=revision,
                command="ballast migrate",
            )
        )
    if others := [name for name, is_ours in tables.items() if not is_ours]:
        wrong.append(
            sentence(
                "this login does not own {tables}, so writes to it cannot be held: BACKUP_SCHEMAS limits a move to the "
                "bot's own schemas",
                tables=", ".join(others[:5]),
            )
        )
    if here.in_recovery:
        wrong.append(
            sentence(
                "the old database can only be read, so it cannot be closed: move {option}",
                option="--from-backup",
            )
        )
    if count and not resumes:
        wrong.append(_not_empty())
    if there.major < here.major:
        wrong.append(
            sentence(
                "the new server is PostgreSQL {new}, the old one {old}: it must not be older",
                new=there.major,
                old=here.major,
            )
        )
    if there.encoding != here.encoding:
        wrong.append(
            sentence(
                "the new database has the encoding {new}, the old one {old}",
                new=there.encoding,
                old=here.encoding,
            )
        )
    if there.read_only:
        wrong.append(sentence("the new database can only be read"))
    if not there.may_create:
        wrong.append(_not_ours())
    if missing := extensions - available:
        wrong.append(
            sentence("the new server does not have the extensions {names}", names=", ".join(sorted(missing)))
        )
    if missing := grantees - roles:
        wrong.append(
            sentence(
                "the new server does not have the roles {names}, which have rights here",
                names=", ".join(sorted(missing)),
            )
        )
    return Checked(here, there, tuple(tables), tuple(wrong), resumes)


def require_room(target: str) -> bool:
    """Whether the new database has an earlier run's copy. Raises MoveFailed if it has something else."""
    with pool.single(target, application_name=NAME).connect() as new:
        resumes = _has_copy(new)
        if not resumes and count_relations(new, but=COPY_SCHEMA):
            raise MoveFailed(_not_empty())
        if not _server(new).may_create:
            raise MoveFailed(_not_ours())
    return resumes


def _not_empty() -> Sentence:
    return sentence("the new database is not empty")


def _not_ours() -> Sentence:
    return sentence("this login may not make a schema in the new database: it must own it")


def is_in_recovery(source: str) -> bool:
    """Whether it cannot be written to at all. Raises SQLAlchemy's errors."""
    with pool.single(source, application_name=NAME).connect() as old:
        return _server(old).in_recovery


def mark_copy(target: str, search_path: str) -> None:
    """Say in the new database that a move copies into it. search_path -- the old one's, by which bare names are found
    there too.
    """
    with pool.single(target, application_name=NAME).begin() as new:
        new.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {COPY_SCHEMA}")
        path = new.exec_driver_sql("SELECT current_setting('search_path')").scalar_one()
        if path != search_path:
            set_default(new, "search_path", search_path)


def unmark_copy(target: str) -> None:
    """It is in charge."""
    with pool.single(target, application_name=NAME).begin() as new:
        new.exec_driver_sql(f"DROP SCHEMA IF EXISTS {COPY_SCHEMA} CASCADE")


def _server(connection: Connection) -> Server:
    return Server(*connection.exec_driver_sql(_ABOUT).one())


def _has_copy(connection: Connection) -> bool:
    found = connection.execute(text("SELECT to_regnamespace(:name) IS NOT NULL"), {"name": COPY_SCHEMA})
    return bool(found.scalar_one())
