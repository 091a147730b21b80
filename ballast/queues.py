"""The queues that workers consume."""

QUEUES = ("users", "balances", "transactions", "broadcasts", "replies", "health")

DATABASE_QUEUES = ("users", "balances", "transactions", "broadcasts")
"""Those that are shut while the database is unavailable."""
