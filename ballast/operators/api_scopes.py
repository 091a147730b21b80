"""What a key of the HTTP API may do. OPS_TOKEN may do all of it."""

from __future__ import annotations

SCOPES = {
    "users:read": "find users, with their balances and movements",
    "users:write": "freeze and unfreeze accounts, write to users, and erase their data",
    "money:write": "credit and debit users, reverse transfers, post and void holds, and approve withdrawals",
    "transfers:read": "list transfers, holds and withdrawals",
    "broadcasts:read": "list broadcasts and how far they are",
    "broadcasts:write": "draw up, start, pause, resume and cancel broadcasts",
    "jobs:read": "list jobs that failed or wait, queues and workers",
    "jobs:write": "retry and discard failed jobs",
    "fleet:write": "pause queues, and drain workers",
    "audit:read": "search the audit log",
}
"""In the order in which they are shown."""
