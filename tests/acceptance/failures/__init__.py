"""What people do with a bot that is well: one bot for all these tests, which neither stop nor reconfigure it."""
