"""In SQL, Ballast's tables and functions are written `ballast.users`. BALLAST_SCHEMA says which schema that stands for.

A statement names the schema itself and leaves nothing to `search_path`: behind a transaction pooler a session's
settings are anybody's, and a database may have other tables of the same names.
"""

from __future__ import annotations

import re
from functools import lru_cache

SCHEMA = "ballast"
"""What stands for the schema, in SQL and in dbcore/schema.py."""

_PREFIX = re.compile(rf"\b{SCHEMA}\.")
_STATEMENTS_MAX = 1024  # a few hundred are ours; an author's may hold values


def is_plain_name(name: str) -> bool:
    """One that means the same quoted and bare, so that `psql` finds it as it is written."""
    return re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name) is not None


@lru_cache(maxsize=_STATEMENTS_MAX)
def qualified(sql: str, schema: str | None) -> str:
    """The text as the server gets it; made once per process, for each statement passes here on each call.

    schema -- BALLAST_SCHEMA. None: the names stand alone, and `search_path` finds them.
    """
    return _PREFIX.sub("" if schema is None else f'"{schema}".', sql)


def translation(schema: str | None) -> dict[str, str | None]:
    """SQLAlchemy's `schema_translate_map` for the tables of dbcore/schema.py."""
    return {SCHEMA: schema}
