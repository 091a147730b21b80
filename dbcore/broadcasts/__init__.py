"""Broadcasts in the database: the broadcast, its recipients, and who sends to them. Import from its modules."""
