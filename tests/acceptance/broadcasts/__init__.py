"""Broadcasts of one bot, whose processes all these tests share."""
