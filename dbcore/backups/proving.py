"""A dump is a backup once it was restored, audited and found to hold what the source held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from dbcore import migrate
from dbcore.backups.errors import BackupFailed
from dbcore.backups.facts import Facts, read_facts
from dbcore.backups.programs import Programs
from dbcore.guard import pool
from dbcore.ledger.audit import Check, audit
from dbcore.sentences import sentence, several


def restore_into(url: str, dump: Path, programs: Programs, *, overwrite: bool = False) -> None:
    """All of it or nothing: in one transaction. Raises BackupFailed."""
    programs.run(
        "pg_restore",
        "--no-owner",
        "--single-transaction",
        *(["--clean", "--if-exists"] if overwrite else []),
        str(dump),
        url=url,
        folder=dump.parent,
        name="ballast restore",
    )


def prove(
    url: str,
    dump: Path,
    facts: Facts,
    programs: Programs,
    *,
    schema: str | None,
    schemas: Sequence[str],
    own_checks: Sequence[Check],
) -> int:
    """Restore into the empty database at `url`, compare and audit; how many checks passed.

    A copy of an older schema is brought to this release first, for the audit is this release's; so a backup before a
    migration rehearses it. Raises BackupFailed with what is wrong.
    """
    restore_into(url, dump, programs)
    return judge(url, facts, schema=schema, schemas=schemas, own_checks=own_checks)


def judge(
    url: str, facts: Facts, *, schema: str | None, schemas: Sequence[str], own_checks: Sequence[Check]
) -> int:
    """As `prove`, of what was restored already."""
    try:
        with pool.single(url, application_name="ballast backup", schema=schema).begin() as connection:
            wrong = facts.differences(read_facts(connection, schema, schemas))
            is_old = migrate.current_revision(connection, schema) != migrate.newest_revision()
        if wrong:
            raise BackupFailed(
                sentence("what was restored is not what was dumped: {wrong}", wrong=several(wrong, "; "))
            )
        if is_old:
            migrate.upgrade(url, schema=schema)
        findings = audit(url, schema, own_checks)
    except SQLAlchemyError as error:
        raise BackupFailed(
            sentence("what was restored cannot be read: {error}", error=" ".join(str(error).split())[:300])
        ) from error
    failed = [finding for finding in findings if not finding.ok or finding.skipped]
    if failed:
        told = "; ".join(": ".join([finding.name, *finding.offenders[:1]]) for finding in failed)
        raise BackupFailed(sentence("the audit of what was restored fails: {told}", told=told))
    return len(findings)
