"""The ledger: users, their accounts, and money that moves between them. Import from its modules."""
