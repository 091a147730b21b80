"""The words by which a database that was moved refuses what would change it."""

REFUSAL = "this database was moved to"
"""Host, port and database follow. The refusal of a write has SQLSTATE 25006."""
