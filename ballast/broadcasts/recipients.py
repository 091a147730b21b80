"""What became of a broadcast's recipients one by one, as CSV."""

from __future__ import annotations

from ballast.csv_text import Table
from dbcore.broadcasts.deliveries import Delivery

COLUMNS = ("telegram_id", "status", "error", "sent_at")


def recipients_table() -> Table[Delivery]:
    return Table(COLUMNS, lambda row: (row.telegram_id, row.status, row.error, row.sent_at))
