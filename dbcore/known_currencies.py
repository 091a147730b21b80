"""No balance is left behind: a currency that is taken out of the settings while people have money in it keeps workers
from starting, for nobody could see, spend or exchange it any more.
"""

from __future__ import annotations

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from dbcore.collisions import Refused
from dbcore.guard import pool
from dbcore.guard.deadline import Deadline
from dbcore.qualified_names import qualified
from dbcore.sentences import sentence
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

LOOK_SECONDS_MAX = 3.0

# Whatever anybody has came from a system account. Users' accounts are looked at only for a currency that is missing.
_LEFT_BEHIND_SQL = """
SELECT s.currency
  FROM (SELECT DISTINCT currency FROM ballast.system_accounts WHERE currency <> ALL(:known)) AS s
 WHERE EXISTS (SELECT FROM ballast.accounts a
                WHERE a.currency = s.currency AND a.user_id IS NOT NULL AND a.balance <> 0)
 ORDER BY 1
"""


def require(settings: Settings) -> None:
    """At a worker's start. A database that cannot tell in time does not keep the worker from starting: each later start
    asks again.

    Raises Refused.
    """
    if settings.database_url is None:
        return
    url, schema = settings.database_url.get_secret_value(), settings.ballast_schema
    known = [each.code for each in settings.known_currencies]
    try:
        with (
            Deadline(LOOK_SECONDS_MAX),
            pool.single(url, application_name="ballast").connect() as connection,
        ):
            found = connection.execute(text(qualified(_LEFT_BEHIND_SQL, schema)), {"known": known})
            left = found.scalars().all()
    except SQLAlchemyError as error:
        log.warning("currencies_unknown", error=type(error).__name__)
        return
    if left:
        raise Refused(
            sentence(
                "CURRENCIES: people have balances in {currencies}, which is neither CURRENCY nor among CURRENCIES. Put "
                "it back there with its decimals; it can be taken out once nobody has any of it",
                currencies=", ".join(left),
            )
        )
