"""What a database holds, in figures: the same before a dump and after it was restored."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, text

from dbcore.qualified_names import qualified
from dbcore.sentences import Sentence, sentence

# Not what an extension brings: a new database has what the extension puts there.
_RELATIONS = """
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
_TABLES = f"""
SELECT format('%I.%I', n.nspname, c.relname) {_RELATIONS}
   AND c.relkind = 'r' AND c.relpersistence = 'p'
   AND (CAST(:schemas AS text[]) IS NULL OR n.nspname = ANY(CAST(:schemas AS text[])))
 ORDER BY 1
"""
_COUNT = f"""
SELECT count(*) {_RELATIONS}
   AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND n.nspname IS DISTINCT FROM CAST(:but AS text)
"""  # noqa: S608  our own text
_SUMS = {
    "balances": "SELECT currency, sum(balance)::bigint FROM ballast.accounts WHERE balance IS NOT NULL GROUP BY 1",
    "entries": "SELECT a.currency, sum(e.amount)::bigint FROM ballast.entries e JOIN ballast.accounts a "
    "ON a.id = e.account_id WHERE a.user_id IS NOT NULL GROUP BY 1",
    "transfers": "SELECT currency, sum(amount)::bigint FROM ballast.transfers WHERE status = 'applied' GROUP BY 1",
}


class Facts(BaseModel):
    """tables -- the rows of each. sums -- minor units, by currency."""

    model_config = ConfigDict(frozen=True)

    tables: dict[str, int]
    sums: dict[str, dict[str, int]]

    def differences(self, found: Facts) -> list[Sentence]:
        """What another database has otherwise, a phrase each."""
        wrong = [
            sentence(
                "{table} has {rows} rows instead of {expected}",
                table=name,
                rows=found.tables.get(name, 0),
                expected=rows,
            )
            if name in found.tables
            else sentence("{table} is missing, which had {expected} rows", table=name, expected=rows)
            for name, rows in self.tables.items()
            if found.tables.get(name) != rows
        ]
        for name, sums in self.sums.items():
            if found.sums.get(name) != sums:
                wrong.append(
                    sentence(
                        "the sum of {name} is {sums} instead of {expected}",
                        name=name,
                        sums=str(found.sums.get(name)),
                        expected=str(sums),
                    )
                )
        return wrong


def read_facts(connection: Connection, schema: str | None, schemas: Sequence[str]) -> Facts:
    """schema -- BALLAST_SCHEMA. schemas -- of which the tables are counted; empty: of all."""
    names = connection.execute(text(_TABLES), {"schemas": list(schemas) or None}).scalars().all()
    tables = {
        name: int(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one())  # noqa: S608  quoted by the server
        for name in names
    }
    sums = {}
    for name, statement in _SUMS.items():
        rows = connection.exec_driver_sql(qualified(statement, schema))
        sums[name] = {row[0]: int(row[1]) for row in rows}
    return Facts(tables=tables, sums=sums)


def count_relations(connection: Connection, *, but: str | None = None) -> int:
    """How many tables, views and sequences of people's own there are. but -- a schema that does not count."""
    return int(connection.execute(text(_COUNT), {"but": but}).scalar_one())
