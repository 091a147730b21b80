"""The queues that workers consume, and the workers that there are to be."""

QUEUES = ("users", "balances", "transactions", "broadcasts", "replies", "health")

WORKERS = {
    # Replies too: while the database's queues are shut, all hands are free for them.
    "main": ("users,balances,transactions,replies", 2),
    # Apart, so that a million messages keep nobody's balance waiting.
    "bulk": ("broadcasts", 1),
    # Behind no backlog of the database's.
    "light": ("replies,health", 1),
}
"""Of each its queues, and how many jobs at a time. deploy/systemd and docker-compose.yml have the same."""

DATABASE_QUEUES = ("users", "balances", "transactions", "broadcasts")
"""Those that are shut while the database is unavailable."""

DIRECT_QUEUES = ("users", "balances", "transactions")
"""Whose jobs a process that waits may be handed without a message, if it does those of all three."""
